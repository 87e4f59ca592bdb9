"""The page as one document: template, style, script and facts together.

One document is one invocation. Style and script as files of their own would be several requests at once, and on Lambda
each of them may start another environment.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from fastapi import Response

from layers.runtime.predictor import Predictor
from layers.serving.playground.card import describe

SCRIPTS = ("dom", "results", "vectors", "tasks", "calls", "latency", "page")


def playground(predictors: Mapping[str, Predictor]) -> Response:
    """The page for these models, the first one chosen."""
    style, script = read_part("page.css"), "\n".join(read_part(f"{name}.js") for name in SCRIPTS)
    models = [describe(predictor) for predictor in predictors.values()]
    names = ", ".join(predictors)
    body = Template(read_part("page.html")).substitute(
        title=escape(f"{names} · Hundredfold" if names else "Hundredfold"),
        style=style,
        script=script,
        data=embedded({"models": models}),
    )
    return Response(body, media_type="text/html", headers=_headers(style, script))


def embedded(value: Any) -> str:
    """JSON that can stand between the tags of a script element, whatever the texts in it hold."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def security_headers(policy: str) -> dict[str, str]:
    """Headers of a document that may do what `policy` says and nothing else; never kept by a cache unasked."""
    return {
        "content-security-policy": f"default-src 'none'; {policy}; base-uri 'none'; frame-ancestors 'none'",
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": "no-cache",
        "vary": "accept",
    }


def hash_source(text: str) -> str:
    """What a content security policy names an inline style or script by."""
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _headers(style: str, script: str) -> dict[str, str]:
    return security_headers(
        f"style-src {hash_source(style)}; script-src {hash_source(script)}; img-src data:; connect-src 'self'; "
        "form-action 'self'"
    )


@cache
def read_part(name: str) -> str:
    """A file of this folder."""
    return (files("layers.serving.playground") / name).read_text(encoding="utf-8")
