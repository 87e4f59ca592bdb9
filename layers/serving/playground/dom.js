"use strict";
// Elements and figures. Text is only ever set as text: nothing that a model or a caller wrote becomes markup.

const byId = (id) => document.getElementById(id);

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") element.className = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

// Offsets in answers count code points, as Python does; JavaScript's strings count UTF-16 units.
const codePoints = (text) => Array.from(text);

function percent(share, digits = 1) {
  return `${(100 * share).toFixed(digits)}%`;
}

function milliseconds(value) {
  if (value >= 1000) return `${(value / 1000).toFixed(2)} s`;
  return `${value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)} ms`;
}

function shortened(text, length = 60) {
  const points = codePoints(text.trim().replace(/\s+/g, " "));
  return points.length <= length ? points.join("") : `${points.slice(0, length - 1).join("")}…`;
}

function plural(count, one, many = `${one}s`) {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
}
