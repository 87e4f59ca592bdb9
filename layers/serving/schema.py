"""Requests and answers for the OpenAPI document; what is checked is checked in the runtime, task by task."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

STRING: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean", "default": False}
NUMBER: Schema = {"type": "number"}
TEXTS: Schema = {"oneOf": [STRING, {"type": "array", "items": STRING, "minItems": 1}]}
TOKENS: Schema = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1}
TOKEN_LISTS: Schema = {"type": "array", "items": TOKENS, "minItems": 1}
TEXTS_OR_TOKENS: Schema = {"oneOf": [*TEXTS["oneOf"], TOKENS, TOKEN_LISTS]}
TRUNCATION: Schema = {
    "truncate": {"type": "boolean", "default": True},
    # Without a default here: it is the model's.
    "truncation_direction": {"type": "string", "enum": ["left", "right", "Left", "Right"]},
}
USE_CACHE: Schema = {
    "name": "x-use-cache",
    "in": "header",
    "required": False,
    "description": "false: the answer is computed anew.",
    "schema": {"type": "string", "enum": ["true", "false", "1", "0"], "default": "true"},
}
ERROR: Schema = {
    "type": "object",
    "properties": {"error": STRING, "error_type": STRING},
    "required": ["error", "error_type"],
}
OPENAI_ERROR: Schema = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "message": STRING,
                "type": STRING,
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
            "required": ["message", "type", "param", "code"],
        }
    },
    "required": ["error"],
}
REFUSALS = {
    "400": "The body is not JSON.",
    "404": "No such model, or none that can.",
    "413": "The body is too large.",
    "422": "Inputs or parameters are wrong.",
    "429": "Too many requests; `retry-after` says in how many seconds to come back.",
    "500": "The server failed.",
}


def request_of(
    properties: Schema,
    required: list[str],
    examples: dict[str, Any],
    *,
    answer: Schema | None = None,
    streams: bool = False,
    error: Schema = ERROR,
) -> Schema:
    """An operation's part of the document: its body with examples, its answers, its errors."""
    body = {"type": "object", "properties": properties, "required": required}
    named = {name: {"value": value} for name, value in examples.items()}
    content: Schema = {"application/json": {"schema": answer or {}}}
    if streams:
        content["text/event-stream"] = {"schema": STRING}
    refusals = {status: text for status, text in REFUSALS.items() if error is ERROR or status != "422"}
    return {
        "parameters": [USE_CACHE],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body, "examples": named}}},
        "responses": {
            "200": {"description": "The answer.", "content": content},
            **{
                status: {"description": text, "content": {"application/json": {"schema": error}}}
                for status, text in refusals.items()
            },
        },
    }


TASK_REQUEST = request_of(
    {
        "inputs": {"description": "By task: a text, texts, or an object."},
        "parameters": {"type": "object"},
        "options": {"type": "object", "properties": {"use_cache": {"type": "boolean", "default": True}}},
        "stream": {**FLAG, "description": "Server-sent events, of a task that writes."},
    },
    ["inputs"],
    {
        "classification": {"inputs": "a chess engine", "parameters": {"top_k": 2}},
        "several texts": {"inputs": ["a chess engine", "bindings to the GTK toolkit"]},
        "similarity": {"inputs": {"source_sentence": "a chess engine", "sentences": ["a game", "a toolkit"]}},
        "generation": {"inputs": "python3-requests (python):", "parameters": {"max_new_tokens": 24}},
        "a stream": {"inputs": "python3-requests (python):", "parameters": {"max_new_tokens": 24}, "stream": True},
    },
    streams=True,
)
GENERATE_REQUEST = request_of(
    {
        "inputs": STRING,
        "parameters": {"type": "object"},
        "stream": {"type": "boolean", "description": "As the route has it: false of /generate."},
    },
    ["inputs"],
    {"a prompt": {"inputs": "python3-requests (python):", "parameters": {"max_new_tokens": 24, "details": True}}},
    streams=True,
)
