"use strict";
// The call that the page makes, for a terminal and for Python.

function curlCall(url, body, streamed) {
  const quoted = JSON.stringify(body).replaceAll("'", "'\\''");
  return `curl ${streamed ? "-N" : "-s"} '${url}' \\\n  -H 'content-type: application/json' \\\n  -d '${quoted}'`;
}

function pythonCall(url, body, streamed) {
  const call = `requests.post(\n    ${JSON.stringify(url)},\n    json=${pythonValue(body, 1)},${streamed ? "\n    stream=True," : ""}\n)`;
  const head = `import requests\n\nanswer = ${call}\nanswer.raise_for_status()\n`;
  return streamed ? `${head}for line in answer.iter_lines(decode_unicode=True):\n    if line:\n        print(line)` : `${head}print(answer.json())`;
}

function pythonValue(value, depth = 0) {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value !== "object") return JSON.stringify(value);
  const pad = "    ".repeat(depth + 1);
  const [open, close, items] = Array.isArray(value)
    ? ["[", "]", value.map((item) => pythonValue(item, depth + 1))]
    : ["{", "}", Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}: ${pythonValue(item, depth + 1)}`)];
  const line = `${open}${items.join(", ")}${close}`;
  if (line.length <= 60 && !line.includes("\n")) return line;
  return `${open}\n${items.map((item) => `${pad}${item},\n`).join("")}${"    ".repeat(depth)}${close}`;
}
