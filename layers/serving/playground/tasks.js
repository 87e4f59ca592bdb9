"use strict";
// The tasks: which fields a form has, the body that they make, and how the answer is shown. `read` fills the fields
// from a body, which is what examples are.

const lines = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean);
const oneOrMore = (text) => (lines(text).length > 1 ? lines(text) : text.trim());
const asLines = (value) => listOf(value).join("\n");

const TEXT = { name: "text", label: "Text", rows: 5 };
const TOP_K = { name: "top_k", label: "Most labels", kind: "number", min: 1, value: 5 };
const NEW_TOKENS = { name: "max_new_tokens", label: "New tokens, at most", kind: "number", min: 1, value: 40 };
const BEAMS = { name: "num_beams", label: "Beams", kind: "number", min: 1, max: 16, value: 1 };
const AGGREGATIONS = ["simple", "first", "average", "max", "none"];

function oneText(field = TEXT) {
  return { fields: [field], body: (values) => ({ inputs: values.text }), read: ({ inputs }) => ({ text: typeof inputs === "string" ? inputs : inputs.text ?? asLines(inputs) }) };
}

function severalTexts() {
  return {
    fields: [{ name: "text", label: "Texts, one a line", rows: 5 }],
    body: (values) => ({ inputs: oneOrMore(values.text) }),
    read: ({ inputs }) => ({ text: asLines(inputs) }),
  };
}

const RANKED = {
  fields: [{ name: "query", label: "Query", rows: 1 }, { name: "texts", label: "Texts to rank, one a line", rows: 5 }],
  body: (values) => ({ inputs: { query: values.query, texts: lines(values.texts) } }),
  read: ({ inputs }) => ({ query: inputs.query, texts: asLines(inputs.texts) }),
  options: [], show: showRanking,
};

// Not a parameter of the task, but how its answer is sent.
const STREAM = { name: "stream", label: "Show it as it is written", kind: "check", value: true };
const WRITER = { ...oneText({ name: "text", label: "Text to read", rows: 6 }), options: [{ ...NEW_TOKENS, value: 60 }, BEAMS, STREAM], show: showTexts };

const TASKS = {
  "text-classification": {
    fields: [TEXT, { name: "pair", label: "Second text", rows: 1, pairs: true }],
    body: ({ text, pair }) => ({ inputs: pair ? { text, text_pair: pair } : text }),
    read: ({ inputs }) => (inputs.text === undefined ? { text: asLines(inputs), pair: "" } : { text: inputs.text, pair: inputs.text_pair }),
    options: [TOP_K], show: showLabels,
  },
  "token-classification": {
    ...oneText(), show: showEntities,
    options: [{ name: "aggregation_strategy", label: "Join tokens", kind: "select", choices: AGGREGATIONS, value: "simple" }],
  },
  "question-answering": {
    fields: [{ name: "question", label: "Question", rows: 1 }, { name: "context", label: "Text to find the answer in", rows: 6 }],
    body: ({ question, context }) => ({ inputs: { question, context } }),
    read: ({ inputs }) => inputs,
    options: [{ name: "top_k", label: "Most answers", kind: "number", min: 1, value: 3 }, { name: "handle_impossible_answer", label: "Allow no answer", kind: "check" }],
    show: showAnswers,
  },
  "fill-mask": { ...oneText({ ...TEXT, rows: 3, mask: true }), options: [{ ...TOP_K, label: "Most words" }], show: showFillings },
  "feature-extraction": { ...severalTexts(), options: [], show: showVectors },
  embed: { ...severalTexts(), options: [{ name: "normalize", label: "Length 1", kind: "check", value: true }], show: showVectors },
  "sentence-similarity": {
    fields: [{ name: "source_sentence", label: "Sentence", rows: 1 }, { name: "sentences", label: "Sentences to compare with, one a line", rows: 5 }],
    body: (values) => ({ inputs: { source_sentence: values.source_sentence, sentences: lines(values.sentences) } }),
    read: ({ inputs }) => ({ source_sentence: inputs.source_sentence, sentences: asLines(inputs.sentences) }),
    options: [], show: showSimilarities,
  },
  rerank: RANKED,
  "zero-shot-classification": {
    fields: [TEXT, { name: "labels", label: "Labels, with commas between", rows: 1 }],
    body: (values) => ({ inputs: values.text, parameters: { candidate_labels: values.labels.split(",").map((label) => label.trim()).filter(Boolean) } }),
    read: ({ inputs, parameters }) => ({ text: inputs, labels: (parameters?.candidate_labels ?? []).join(", ") }),
    options: [{ name: "multi_label", label: "Several may hold", kind: "check" }], show: showLabels,
  },
  "text-generation": {
    ...oneText({ name: "text", label: "Prompt", rows: 4 }), show: showTexts,
    options: [NEW_TOKENS, { name: "temperature", label: "Temperature", kind: "number", min: 0.01, step: "any", blank: "none: likeliest" }, { name: "seed", label: "Seed", kind: "number", min: 0, blank: "random" }, STREAM],
  },
  "text2text-generation": WRITER,
  summarization: WRITER,
  translation: {
    ...WRITER,
    options: [{ name: "src_lang", label: "From (code)", kind: "text" }, { name: "tgt_lang", label: "To (code)", kind: "text" }, ...WRITER.options],
  },
};

// A task that this page does not know: its inputs and its answer as JSON.
const ANY = {
  fields: [{ name: "json", label: "inputs, as JSON", rows: 5 }],
  body: (values) => ({ inputs: parsed(values.json, "inputs") }),
  read: ({ inputs }) => ({ json: JSON.stringify(inputs) }),
  options: [], show: showRaw,
};

function parsed(text, what) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`${what}: not JSON. ${error.message}`);
  }
}
