"""Request bodies for the OpenAPI document; what is checked is checked in the runtime, task by task."""

from __future__ import annotations

from typing import Any

TEXTS: dict[str, Any] = {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
TRUNCATION: dict[str, Any] = {
    "truncate": {"type": "boolean", "default": True},
    "truncation_direction": {"type": "string", "enum": ["left", "right"], "default": "right"},
}


def _body(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": required}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


TASK_REQUEST = _body(
    {"inputs": {"description": "By task: a text, texts, or an object."}, "parameters": {"type": "object"}}, ["inputs"]
)
EMBED_REQUEST = _body(
    {
        "inputs": TEXTS,
        "normalize": {"type": "boolean", "default": True},
        "prompt_name": {"type": "string"},
        "dimensions": {"type": "integer", "minimum": 1},
        "encoding_format": {"type": "string", "enum": ["float", "base64"], "default": "float"},
        **TRUNCATION,
    },
    ["inputs"],
)
PREDICT_REQUEST = _body(
    {
        "inputs": {"description": "A text, a pair [text, text], or a list of [text] and [text, text]."},
        "raw_scores": {"type": "boolean", "default": False},
        **TRUNCATION,
    },
    ["inputs"],
)
GENERATE_REQUEST = _body({"inputs": {"type": "string"}, "parameters": {"type": "object"}}, ["inputs"])
