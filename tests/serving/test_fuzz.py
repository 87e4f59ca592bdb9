"""No body makes the application fail: every answer is 200 or a named 4xx, and JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.serving.conftest import Serve

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)
OPTIONS = st.dictionaries(
    st.sampled_from(["top_k", "function_to_apply", "truncate", "truncation", "normalize", "dimensions", "prompt_name"]),
    SCALARS | st.sampled_from(["softmax", "left", "longest_first", 1, 3]),
    max_size=3,
)
TEXTS = st.text(st.characters(), max_size=60)
INPUTS = (
    TEXTS
    | st.lists(TEXTS, max_size=4)
    | st.fixed_dictionaries({"text": TEXTS, "text_pair": TEXTS})
    | st.fixed_dictionaries({"source_sentence": TEXTS, "sentences": st.lists(TEXTS, max_size=3)})
    | ANYTHING
)
BODIES = st.fixed_dictionaries({"inputs": INPUTS, "parameters": OPTIONS}) | ANYTHING
PATHS = ["/models/toy", "/models/sentences", "/models/sentences/pipeline/sentence-similarity", "/embed", "/predict"]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=BODIES, path=st.sampled_from(PATHS))
def test_every_body_is_answered_or_refused(serve: Serve, body: Any, path: str) -> None:
    post(serve("toy", "sentences"), path, json.dumps(body).encode("ascii"))


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=60), path=st.sampled_from(PATHS))
def test_any_bytes_are_refused(serve: Serve, body: bytes, path: str) -> None:
    post(serve("toy", "sentences"), path, body)


def post(client: TestClient, path: str, content: bytes) -> None:
    answer = client.post(path, content=content)
    assert answer.status_code in (200, 400, 404, 422)
    body = json.loads(answer.content, parse_constant=pytest.fail)
    assert answer.status_code == 200 or set(body) == {"error", "error_type"}
