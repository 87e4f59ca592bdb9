"""TEI's routes for the OpenAPI document."""

from __future__ import annotations

from layers.serving.schema import (
    FLAG,
    NUMBER,
    STRING,
    TEXTS,
    TEXTS_OR_TOKENS,
    TOKEN_LISTS,
    TOKENS,
    TRUNCATION,
    Schema,
    request_of,
)

VECTOR: Schema = {"oneOf": [{"type": "array", "items": NUMBER}, STRING]}
LABEL: Schema = {
    "type": "object",
    "properties": {"label": STRING, "score": NUMBER},
    "required": ["label", "score"],
}
LABELS: Schema = {"type": "array", "items": LABEL}
EMBEDDING: Schema = {
    "prompt_name": STRING,
    "encoding_format": {"type": "string", "enum": ["float", "base64"], "default": "float"},
    **TRUNCATION,
}
POOLED: Schema = {"normalize": {"type": "boolean", "default": True}, "dimensions": {"type": "integer", "minimum": 1}}

EMBED_REQUEST = request_of(
    {"inputs": TEXTS_OR_TOKENS, **POOLED, **EMBEDDING},
    ["inputs"],
    {"a text": {"inputs": "a chess engine"}, "shorter vectors": {"inputs": ["a chess engine"], "dimensions": 4}},
    answer={"type": "array", "items": VECTOR},
)
EMBED_ALL_REQUEST = request_of(
    {"inputs": TEXTS_OR_TOKENS, **EMBEDDING},
    ["inputs"],
    {"a text": {"inputs": "a chess engine"}},
    answer={"type": "array", "items": {"oneOf": [{"type": "array", "items": VECTOR}, STRING]}},
)
PREDICT_REQUEST = request_of(
    {
        "inputs": {"description": "A text, a pair [text, text], or a list of [text] and [text, text]."},
        "raw_scores": FLAG,
        **TRUNCATION,
    },
    ["inputs"],
    {"a text": {"inputs": "a chess engine"}, "two inputs": {"inputs": [["a chess engine"], ["a game", "of chess"]]}},
    answer={"oneOf": [LABELS, {"type": "array", "items": LABELS}]},
)
RERANK_REQUEST = request_of(
    {
        "query": STRING,
        "texts": {"type": "array", "items": STRING, "minItems": 1},
        "raw_scores": FLAG,
        "return_text": FLAG,
        **TRUNCATION,
    },
    ["query", "texts"],
    {"two texts": {"query": "a game", "texts": ["a chess engine", "bindings to the GTK toolkit"]}},
    answer={
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"index": {"type": "integer"}, "score": NUMBER, "text": STRING},
            "required": ["index", "score"],
        },
    },
)
SIMILARITY_REQUEST = request_of(
    {
        "inputs": {
            "type": "object",
            "properties": {"source_sentence": STRING, "sentences": {"type": "array", "items": STRING, "minItems": 1}},
            "required": ["source_sentence", "sentences"],
        },
        "parameters": {"type": "object"},
    },
    ["inputs"],
    {"two sentences": {"inputs": {"source_sentence": "a game", "sentences": ["a chess engine", "a toolkit"]}}},
    answer={"type": "array", "items": NUMBER},
)
TOKENIZE_REQUEST = request_of(
    {"inputs": TEXTS, "add_special_tokens": {"type": "boolean", "default": True}},
    ["inputs"],
    {"a text": {"inputs": "a chess engine"}},
    answer={
        "type": "array",
        "items": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "id": {"type": "integer"},
                    "text": STRING,
                    "special": {"type": "boolean"},
                    "start": {"type": ["integer", "null"]},
                    "stop": {"type": ["integer", "null"]},
                },
                "required": ["id", "text", "special", "start", "stop"],
            },
        },
    },
)
DECODE_REQUEST = request_of(
    {"ids": {"oneOf": [TOKENS, TOKEN_LISTS]}, "skip_special_tokens": {"type": "boolean", "default": True}},
    ["ids"],
    {"two tokens": {"ids": [546, 521]}},
    answer={"type": "array", "items": STRING},
)
