"""OpenAI's routes for the OpenAPI document."""

from __future__ import annotations

from layers.serving.schema import (
    FLAG,
    OPENAI_ERROR,
    STRING,
    TEXTS_OR_TOKENS,
    Schema,
    request_of,
)

WRITING: Schema = {
    "model": {**STRING, "description": "Needed where several models can answer."},
    "max_tokens": {"type": "integer", "minimum": 0},
    "n": {"type": "integer", "minimum": 1, "maximum": 16, "default": 1},
    "temperature": {"type": "number", "minimum": 0, "maximum": 2, "default": 1},
    "top_p": {"type": "number", "exclusiveMinimum": 0, "maximum": 1, "default": 1},
    "frequency_penalty": {"type": "number", "minimum": -2, "maximum": 2, "default": 0},
    "presence_penalty": {"type": "number", "minimum": -2, "maximum": 2, "default": 0},
    "seed": {"type": "integer"},
    "stop": {"oneOf": [{**STRING, "minLength": 1}, {"type": "array", "items": {**STRING, "minLength": 1}}]},
    "stream": FLAG,
    "stream_options": {"type": "object", "properties": {"include_usage": FLAG}},
}
OBJECT: Schema = {"type": "object"}

COMPLETION_REQUEST = request_of(
    {**WRITING, "prompt": TEXTS_OR_TOKENS, "logprobs": {"type": "integer", "minimum": 0, "maximum": 20}, "echo": FLAG},
    ["prompt"],
    {
        "a prompt": {"prompt": "python3-requests (python):", "max_tokens": 24, "temperature": 0},
        "a stream": {"prompt": "python3-requests (python):", "stream": True, "stream_options": {"include_usage": True}},
    },
    answer=OBJECT,
    streams=True,
    error=OPENAI_ERROR,
)
CHAT_REQUEST = request_of(
    {
        **WRITING,
        "messages": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "properties": {
                    "role": STRING,
                    "content": {"oneOf": [STRING, {"type": "array", "items": OBJECT}]},
                },
                "required": ["role", "content"],
            },
        },
        "max_completion_tokens": {"type": "integer", "minimum": 1},
        "logprobs": FLAG,
        "top_logprobs": {"type": "integer", "minimum": 0, "maximum": 20},
        "prediction": {
            "type": "object",
            "properties": {
                "type": {"type": "string", "enum": ["content"]},
                "content": {"oneOf": [STRING, {"type": "array", "items": OBJECT}]},
            },
            "required": ["type", "content"],
        },
    },
    ["messages"],
    {"a question": {"messages": [{"role": "user", "content": "What is a package?"}], "max_tokens": 24}},
    answer=OBJECT,
    streams=True,
    error=OPENAI_ERROR,
)
EMBEDDINGS_REQUEST = request_of(
    {
        "model": {**STRING, "description": "Needed where several models can answer."},
        "input": TEXTS_OR_TOKENS,
        "encoding_format": {"type": "string", "enum": ["float", "base64"], "default": "float"},
        "dimensions": {"type": "integer", "minimum": 1},
        "user": STRING,
    },
    ["input"],
    {"two texts": {"model": "any", "input": ["a chess engine", "a game of chess"]}},
    answer=OBJECT,
    error=OPENAI_ERROR,
)
