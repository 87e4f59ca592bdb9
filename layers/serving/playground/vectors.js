"use strict";
// Embeddings: a strip of colour a vector, its dimension and length, and how alike several are.

function norm(vector) {
  return Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
}

function cosine(one, other) {
  return one.reduce((sum, value, place) => sum + value * other[place], 0) / (norm(one) * norm(other) || 1);
}

function strip(vector, caption, thin = false) {
  const canvas = make("canvas", { width: vector.length, height: 1, role: "img", "aria-label": `${caption}, as colours: one a number` });
  const pixels = new ImageData(vector.length, 1);
  const scale = Math.max(...vector.map(Math.abs)) || 1;
  vector.forEach((value, place) => {
    const colour = value < 0 ? [37, 99, 235] : [234, 88, 12];
    pixels.data.set([...colour, Math.round(255 * Math.sqrt(Math.abs(value) / scale))], 4 * place);
  });
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  return make("figure", { class: thin ? "strip thin" : "strip" }, make("figcaption", { dir: "auto" }, caption), canvas);
}

function vectorStrip(vector, title = "") {
  const caption = `${title && `${shortened(title, 70)} · `}${plural(vector.length, "dimension")} · length ${norm(vector).toFixed(3)}`;
  return strip(vector, caption);
}

const SHOWN_TOKENS = 24;

function tokenStrips(vectors) {
  const rows = vectors.slice(0, SHOWN_TOKENS).map((vector, place) => strip(vector, `token ${place + 1} · ${norm(vector).toFixed(2)}`, true));
  const rest = vectors.length - rows.length;
  return make("div", {}, make("p", { class: "part-title" }, `One vector a token: ${plural(vectors.length, "token")} of ${plural(vectors[0].length, "dimension")}`),
    ...rows, rest > 0 ? make("p", { class: "note" }, `and ${plural(rest, "more token")}`) : null);
}

function likeness(vectors, texts) {
  const head = make("tr", {}, make("th", {}, ""), ...texts.map((_, place) => make("th", { scope: "col" }, String(place + 1))));
  const rows = vectors.map((one, row) => make("tr", {}, make("th", { scope: "row" }, String(row + 1)), ...vectors.map((other) => {
    const value = cosine(one, other);
    const cell = make("td", {}, value.toFixed(2));
    cell.style.background = `rgb(234 88 12 / ${Math.max(0, value) * 0.55})`;
    return cell;
  })));
  return make("div", { class: "part" }, make("p", { class: "part-title" }, "How alike they are (cosine)"), make("table", { class: "matrix" }, make("thead", {}, head), make("tbody", {}, ...rows)));
}

function showVectors(answer, request) {
  const texts = listOf(request.inputs);
  const perToken = Array.isArray(answer[0][0]) || (!Array.isArray(request.inputs) && answer.length > 1);
  if (perToken) return parts(texts, Array.isArray(answer[0][0]) ? answer : [answer], (vectors) => tokenStrips(vectors));
  const strips = answer.map((vector, place) => vectorStrip(vector, answer.length > 1 ? `${place + 1}. ${texts[place]}` : ""));
  return answer.length > 1 ? [...strips, likeness(answer, texts)] : strips;
}
