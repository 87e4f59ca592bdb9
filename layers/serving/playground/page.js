"use strict";
// The page at work: the model and task that were chosen, the form, one call at a time, and what came back.

const DATA = JSON.parse(byId("data").textContent);
// A stage of an API gateway stands before the path, with or without a slash at its end.
const BASE = location.origin + location.pathname.replace(/\/*$/, "/");

let model = DATA.models[0];
let task = model.task;
let language = "curl";
let running = null;

const taskForm = () => TASKS[task] ?? ANY;

function choose(nextModel, nextTask) {
  model = nextModel;
  task = nextTask;
  running?.abort();
  byId("model").value = model.name;
  byId("name").textContent = model.name;
  byId("summary").textContent = model.summary;
  byId("tasks").hidden = model.tasks.length < 2;
  byId("tasks").replaceChildren(...model.tasks.map((name) =>
    make("button", { type: "button", "aria-pressed": String(name === task), onclick: () => choose(model, name) }, name)));
  drawForm();
  drawCard();
  byId("result").replaceChildren(make("p", { class: "empty" }, "Choose an example or write a text, then run it."));
  for (const id of ["latency", "raw"]) byId(id).hidden = true;
  byId("status").replaceChildren();
}

function drawForm() {
  const form = taskForm();
  // Most classifiers read one text.
  const fields = form.fields.filter((field) => model.pairs || !field.pairs);
  byId("fields").replaceChildren(...fields.map((field) => make("div", {},
    make("label", { for: `field-${field.name}` }, field.label),
    make("textarea", { id: `field-${field.name}`, rows: field.rows, dir: "auto", spellcheck: "false" }),
    field.mask && model.mask_token ? make("p", { class: "note" }, "The word to guess is written ", make("code", {}, model.mask_token), ".") : null)));
  byId("options").replaceChildren(...form.options.map(drawOption));
  const examples = model.examples[task] ?? [];
  byId("examples").replaceChildren(...examples.map((example) =>
    make("button", { type: "button", onclick: () => { fill(example); submit(); } }, exampleTitle(form.read(example)))));
  if (examples.length) fill(examples[0]);
  showCall();
}

function exampleTitle(values) {
  return shortened(Object.values(values)[0] || "(empty)", 44);
}

function drawOption(option) {
  const id = `option-${option.name}`;
  if (option.kind === "check") return make("label", { class: "check" }, make("input", { type: "checkbox", id, checked: option.value }), option.label);
  const input = option.kind === "select"
    ? make("select", { id }, ...option.choices.map((choice) => make("option", { selected: choice === option.value }, choice)))
    : make("input", { id, type: option.kind, min: option.min, max: option.max, step: option.step, value: option.value, placeholder: option.blank, autocomplete: "off" });
  return make("div", {}, make("label", { for: id }, option.label), input);
}

function fill(example) {
  for (const [name, value] of Object.entries(taskForm().read(example))) {
    const field = byId(`field-${name}`);
    if (field) field.value = value ?? "";
  }
  for (const option of taskForm().options) {
    const input = byId(`option-${option.name}`);
    const value = example.parameters?.[option.name] ?? option.value;
    if (option.kind === "check") input.checked = Boolean(value);
    else input.value = value ?? "";
  }
  showCall();
}

// The body that the form asks for. Raises an Error in words when a field is not what it should be.
function request() {
  const form = taskForm();
  const values = Object.fromEntries(form.fields.map(({ name }) => [name, byId(`field-${name}`)?.value ?? ""]));
  const body = form.body(values);
  const parameters = { ...body.parameters };
  for (const option of form.options.filter((option) => option !== STREAM)) {
    const input = byId(`option-${option.name}`);
    if (option.kind === "check") {
      if (input.checked !== Boolean(option.value)) parameters[option.name] = input.checked;
    } else if (input.value !== "") {
      parameters[option.name] = option.kind === "number" ? Number(input.value) : input.value;
    }
  }
  const extra = byId("extra").value.trim();
  if (extra) Object.assign(parameters, parsed(extra, "More parameters"));
  if (Object.keys(parameters).length) body.parameters = parameters;
  // Several beams are only compared when all have ended.
  if (model.streams.includes(task) && byId("option-stream")?.checked && !(parameters.num_beams > 1)) body.stream = true;
  return body;
}

function address() {
  const own = task === model.task;
  if (own && DATA.models.length === 1) return BASE;
  return `${BASE}models/${encodeURIComponent(model.name)}${own ? "" : `/pipeline/${task}`}`;
}

function showCall() {
  let text;
  try {
    const body = request();
    text = (language === "curl" ? curlCall : pythonCall)(address(), body, Boolean(body.stream));
  } catch (error) {
    text = error.message;
  }
  byId("call").textContent = text;
}

async function submit() {
  running?.abort();
  const stop = (running = new AbortController());
  byId("run").textContent = "Stop";
  byId("result").setAttribute("aria-busy", "true");
  byId("status").textContent = "Running…";
  const began = performance.now();
  try {
    const body = request();
    const headers = { "content-type": "application/json", "x-use-cache": String(byId("use-cache").checked) };
    const response = await fetch(address(), { method: "POST", headers, body: JSON.stringify(body), signal: stop.signal });
    const streamed = response.headers.get("content-type")?.startsWith("text/event-stream");
    const answer = streamed ? await readStream(response, body, began) : await response.text();
    showAnswer(response, answer, body, performance.now() - began, streamed);
  } catch (error) {
    if (error.name === "AbortError") {
      if (running === stop) byId("status").textContent = "Stopped";
    } else if (error instanceof TypeError) showFailure("No answer", `The server could not be reached. ${error.message}`);
    else showFailure("Not sent", error.message);
  } finally {
    if (running === stop) {
      running = null;
      byId("run").textContent = "Run";
      byId("result").removeAttribute("aria-busy");
    }
  }
}

function showAnswer(response, answer, body, elapsed, streamed) {
  let content = answer;
  if (!streamed) {
    try {
      content = JSON.parse(answer);
    } catch {
      return showFailure(`${response.status} ${response.statusText}`, shortened(answer, 300) || "The answer is empty: a gateway before the model may have given up.");
    }
  }
  if (!response.ok) return showRefusal(response, content);
  if (!streamed) byId("result").replaceChildren(...taskForm().show(content, body, model).filter(Boolean));
  byId("raw").hidden = false;
  byId("raw-text").textContent = JSON.stringify(content, null, 1);
  if (!streamed) showTimes(response.headers, elapsed);
}

function showRefusal(response, content) {
  const wait = response.headers.get("retry-after");
  const titles = { 413: "The text is too large", 422: "The request was refused", 429: "The model is busy", 404: "Not found here" };
  const words = content.error?.message ?? content.error ?? content.message ?? JSON.stringify(content);
  showFailure(`${titles[response.status] ?? "The server could not answer"} (${response.status})`, `${words}${wait ? ` Try again in ${wait} s.` : ""}`);
}

function showFailure(title, words) {
  byId("result").replaceChildren(make("div", { class: "failure", role: "alert" }, make("strong", {}, title), make("p", {}, words)));
  byId("status").replaceChildren();
  byId("latency").hidden = true;
  byId("raw").hidden = true;
}

// Server-sent events, one token each: the text grows as they come. Gives the events.
async function readStream(response, body, began) {
  const text = make("span");
  const repeats = task === "text-generation" && body.parameters?.return_full_text !== false;
  const given = make("span", { class: "given" }, repeats ? body.inputs : "");
  byId("result").replaceChildren(make("p", { class: "prose", dir: "auto" }, given, text, make("span", { class: "caret", "aria-hidden": "true" })));
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const events = [];
  let waiting = "";
  let first = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    const complete = (waiting + part.value).split("\n");
    waiting = complete.pop();
    for (const line of complete) {
      if (!line.startsWith("data:") || line.includes("[DONE]")) continue;
      const event = JSON.parse(line.slice(5));
      if (event.error) throw new Error(event.error);
      first ||= performance.now();
      events.push(event);
      if (!event.token?.special) text.append(event.token?.text ?? "");
    }
  }
  byId("result").querySelector(".caret")?.remove();
  showStreamTimes(first - began, performance.now() - first, events.length);
  return events;
}

function drawCard() {
  byId("card").replaceChildren(...model.card.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
  byId("verdict").replaceChildren(make("div", { class: "verdict" }, ...model.verdict.map(([value, words]) =>
    make("div", {}, make("b", {}, value), make("small", {}, words)))));
}

function start() {
  byId("model-picker").hidden = DATA.models.length < 2;
  byId("model").append(...DATA.models.map(({ name }) => make("option", {}, name)));
  byId("model").addEventListener("change", (event) => {
    const next = DATA.models.find(({ name }) => name === event.target.value);
    choose(next, next.task);
  });
  for (const link of document.querySelectorAll("[data-page]")) link.href = BASE + link.dataset.page;
  byId("form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (running) running.abort();
    else submit();
  });
  byId("form").addEventListener("input", showCall);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      submit();
    }
  });
  for (const button of document.querySelectorAll("[data-language]")) button.addEventListener("click", () => chooseLanguage(button));
  byId("copy").addEventListener("click", copy);
  choose(model, task);
}

function chooseLanguage(button) {
  language = button.dataset.language;
  for (const other of document.querySelectorAll("[data-language]")) other.setAttribute("aria-pressed", String(other === button));
  showCall();
}

async function copy() {
  try {
    await navigator.clipboard.writeText(byId("call").textContent);
    byId("copy").textContent = "Copied";
  } catch {
    // Clipboards need https: the text is selected instead, for the keyboard's own copy.
    getSelection().selectAllChildren(byId("call"));
    byId("copy").textContent = "Selected";
  }
  setTimeout(() => (byId("copy").textContent = "Copy"), 1600);
}

start();
