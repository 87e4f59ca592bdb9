"""The one way from every route to a model: what is allowed to be cached arrives there."""

from __future__ import annotations

from typing import Any

import pytest

from layers.serving.task_body import read_task_body
from tests.serving.conftest import Serve


@pytest.mark.parametrize(
    ("options", "header", "allowed"),
    [
        (None, None, True),
        ({}, "true", True),
        (None, "false", False),
        (None, "0", False),
        ({"use_cache": False}, None, False),
        ({"use_cache": True}, "false", True),
        ({"wait_for_model": True}, "False", False),
    ],
)
def test_the_cache_is_used_unless_body_or_header_say_otherwise(options: Any, header: str | None, allowed: bool) -> None:
    content = {"inputs": "a text", **({"options": options} if options is not None else {})}
    assert read_task_body(content, header).use_cache is allowed


@pytest.mark.parametrize(
    ("options", "header", "message"),
    [
        ({"use_cache": "no"}, None, "options.use_cache: got a string"),
        ({}, "perhaps", "header x-use-cache: got 'perhaps'"),
    ],
)
def test_what_is_neither_true_nor_false_is_refused(
    serve: Serve, options: Any, header: str | None, message: str
) -> None:
    headers = {"x-use-cache": header} if header else {}
    answer = serve("toy").post("/", json={"inputs": "an editor", "options": options}, headers=headers)
    assert answer.status_code == 422
    assert message in answer.json()["error"]
