"use strict";
// What an answer looks like: each function takes an answer and the request that asked for it, and gives elements.

function bars(entries, { even = false, show = percent } = {}) {
  return make("ol", { class: even ? "bars even" : "bars" }, ...entries.map(({ label, score }) => {
    const fill = make("span", { class: "fill" });
    fill.style.width = percent(Math.min(1, Math.max(0, score)), 2);
    const name = typeof label === "string" ? make("span", { dir: "auto" }, label) : label;
    return make("li", {}, make("span", { class: "label" }, name), make("span", { class: "value" }, show(score)),
      make("span", { class: "track", "aria-hidden": "true" }, fill));
  }));
}

function parts(texts, answers, draw) {
  if (answers.length === 1) return [draw(answers[0], 0)];
  return answers.map((answer, place) =>
    make("div", { class: "part" }, make("p", { class: "part-title", dir: "auto" }, shortened(titleOf(texts[place], place), 90)), draw(answer, place)));
}

const titleOf = (text, place) => (typeof text === "string" ? text : text?.text ?? String(place + 1));
const listOf = (value) => (Array.isArray(value) ? value : [value]);

function showLabels(answer, request) {
  const rankings = Array.isArray(answer[0]) ? answer : [answer];
  const asProbability = rankings.flat().every(({ score }) => score >= 0 && score <= 1);
  const show = asProbability ? percent : (score) => score.toFixed(3);
  return parts(listOf(request.inputs), rankings, (ranking) => bars(ranking, { show }));
}

const ENTITY_HUES = [172, 265, 32, 205, 335, 95, 0, 230];

function tint(mark, place) {
  const hue = ENTITY_HUES[place % ENTITY_HUES.length];
  mark.style.background = `hsl(${hue} 65% 50% / 0.22)`;
  mark.style.boxShadow = `inset 0 -2px 0 hsl(${hue} 65% 50%)`;
}

// The text with spans [{start, end, draw}] replaced by what they draw; spans that overlap an earlier one are left out.
function spanned(text, spans) {
  const points = codePoints(text);
  const prose = make("p", { class: "prose", dir: "auto" });
  let at = 0;
  for (const span of [...spans].sort((a, b) => a.start - b.start || b.end - a.end)) {
    if (span.start < at || span.end > points.length) continue;
    prose.append(points.slice(at, span.start).join(""), span.draw(points.slice(span.start, span.end).join("")));
    at = span.end;
  }
  prose.append(points.slice(at).join(""));
  return prose;
}

function showEntities(answer, request) {
  const texts = listOf(request.inputs);
  const found = texts.length > 1 && answer.every(Array.isArray) ? answer : [answer.flat()];
  const kindOf = (entity) => entity.entity_group ?? entity.entity;
  const kinds = [...new Set(found.flat().map((entity) => kindOf(entity).replace(/^[BIES]-/, "")))].sort();
  const place = (entity) => kinds.indexOf(kindOf(entity).replace(/^[BIES]-/, ""));
  return parts(texts, found, (entities, row) => {
    const spans = entities.filter((entity) => entity.start != null).map((entity) => ({
      ...entity,
      draw(words) {
        const mark = make("mark", {}, words, make("span", { class: "kind" }, kindOf(entity)));
        tint(mark, place(entity));
        return mark;
      },
    }));
    const rows = entities.map((entity) => make("tr", {}, make("td", { dir: "auto" }, entity.word), make("td", {}, kindOf(entity)), make("td", {}, percent(entity.score))));
    const table = make("table", { class: "entities" },
      make("thead", {}, make("tr", {}, ...["Found", "Kind", "Score"].map((name) => make("th", { scope: "col" }, name)))), make("tbody", {}, ...rows));
    return make("div", {}, spanned(texts[row], spans), rows.length ? table : make("p", { class: "note" }, "Nothing was found in this text."));
  });
}

function showAnswers(answer, request) {
  const answers = listOf(answer);
  const best = answers[0];
  if (!best || best.answer === "") return [make("p", { class: "big" }, "No answer in this text"), best ? bars([{ label: "no answer", score: best.score }]) : null];
  const mark = { start: best.start, end: best.end, draw: (words) => make("mark", { class: "answer" }, words) };
  return [
    make("p", { class: "big", dir: "auto" }, best.answer),
    bars(answers.map(({ answer: text, score }) => ({ label: text || "no answer", score }))),
    make("div", { class: "part" }, make("p", { class: "part-title" }, "Where it stands"), spanned(request.inputs.context, [mark])),
  ];
}

function showFillings(answer, request, model) {
  const masks = Array.isArray(answer[0]) ? answer : [answer];
  const mask = model.mask_token ?? "[MASK]";
  const pieces = String(listOf(request.inputs)[0]).split(mask);
  const several = masks.length > 1;
  return masks.map((fillings, place) => {
    const entries = fillings.map((filling) => {
      // With several masks each is filled alone, and the others stay as they are.
      const before = pieces.slice(0, place + 1).join(mask);
      const after = pieces.slice(place + 1).join(mask);
      return { label: make("span", { dir: "auto" }, before, make("mark", { class: "answer" }, filling.token_str.trim()), after), score: filling.score };
    });
    return make("div", { class: "part" }, several ? make("p", { class: "part-title" }, `Mask ${place + 1}`) : null, bars(entries));
  });
}

function showRanking(answer, request) {
  const { texts } = request.inputs;
  const within = answer.every(({ score }) => score >= 0 && score <= 1);
  const top = Math.max(...answer.map(({ score }) => Math.abs(score)), 1e-9);
  const show = (score) => score.toFixed(3);
  if (within) return [bars(answer.map(({ index, score }) => ({ label: texts[index], score })), { show })];
  return [bars(answer.map(({ index, score }) => ({ label: texts[index], score: score / top })), { show: (share) => (share * top).toFixed(3) })];
}

function showSimilarities(answer, request) {
  const entries = answer.map((score, place) => ({ label: request.inputs.sentences[place], score }));
  return [bars(entries, { even: true, show: (score) => score.toFixed(3) })];
}

const TEXT_KEYS = ["generated_text", "summary_text", "translation_text"];

function textOf(entry) {
  return entry[TEXT_KEYS.find((key) => key in entry)];
}

function showTexts(answer, request) {
  const texts = listOf(request.inputs);
  const nested = Array.isArray(answer) && Array.isArray(answer[0]);
  const groups = nested ? answer : texts.length > 1 ? listOf(answer).map((entry) => [entry]) : [listOf(answer)];
  return parts(texts, groups, (entries, row) => make("div", {}, ...entries.map((entry) =>
    make("div", { class: "part" }, written(textOf(entry), texts[row])))));
}

// A text that was written; what was given stands before it in a softer colour where the answer repeats it.
function written(text, given) {
  const repeats = typeof given === "string" && given !== "" && text.startsWith(given);
  return make("p", { class: "prose", dir: "auto" }, repeats ? make("span", { class: "given" }, given) : null, repeats ? text.slice(given.length) : text);
}

function showRaw(answer) {
  return [make("pre", {}, JSON.stringify(answer, null, 1))];
}
