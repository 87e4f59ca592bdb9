"use strict";
// Where the time went, from the answer's x-* headers and the browser's own clock.

function showTimes(headers, elapsed) {
  const header = (name) => Number(headers.get(name) ?? 0);
  const total = header("x-total-time");
  const tokenization = header("x-tokenization-time");
  const inference = header("x-inference-time");
  const stages = [
    ["Tokenization", tokenization],
    ["Inference", inference],
    ["Rest of the server", Math.max(0, total - tokenization - inference)],
    ["Network and browser", Math.max(0, elapsed - total)],
  ];
  const cached = headers.get("x-cache") === "hit";
  const measured = total > 0;
  byId("status").replaceChildren(
    milliseconds(measured ? total : elapsed), ...(cached ? [" ", make("span", { class: "tag" }, "from the cache")] : []),
    ...(headers.has("x-cold-start") ? [" ", make("span", { class: "tag" }, `cold start ${milliseconds(header("x-init-time"))}`)] : []));
  byId("latency").hidden = !measured;
  if (!measured) return;
  drawStages(stages, tokenWords(headers));
}

// Of a stream the browser's clock knows most: its headers come before there is anything to tell.
function showStreamTimes(untilFirst, rest, count) {
  const speed = rest > 0 && count > 1 ? `, ${Math.round((1000 * (count - 1)) / rest).toLocaleString("en")} a second after the first` : "";
  byId("status").replaceChildren(milliseconds(untilFirst + rest));
  byId("latency").hidden = false;
  drawStages([["First token", untilFirst], ["The rest", rest]], `${plural(count, "token")} written${speed}.`);
}

function drawStages(stages, words) {
  const bar = make("div", { class: "stages", "aria-hidden": "true" });
  stages.forEach(([, value], place) => {
    const part = make("span", { class: `stage-${place + 1}` });
    part.style.flexGrow = value;
    bar.append(part);
  });
  const legend = stages.map(([name, value], place) => make("li", {}, make("span", { class: `dot stage-${place + 1}`, "aria-hidden": "true" }), `${name} `, make("b", {}, milliseconds(value))));
  byId("latency").replaceChildren(bar, make("ul", { class: "legend" }, ...legend), make("p", { class: "note" }, words));
}

function tokenWords(headers) {
  const count = (name) => Number(headers.get(name) ?? 0);
  const words = [`${plural(count("x-compute-tokens"), "token")} read`];
  if (count("x-generated-tokens")) {
    const seconds = count("x-inference-time") / 1000;
    words.push(`${plural(count("x-generated-tokens"), "token")} written${seconds ? ` (${Math.round(count("x-generated-tokens") / seconds).toLocaleString("en")} a second)` : ""}`);
  }
  if (count("x-truncated-tokens")) words.push(`${plural(count("x-truncated-tokens"), "token")} cut off: the text is longer than the model takes`);
  return `${words.join(", ")}.`;
}
