"""What a record asks: the HTTPS function's body, which names model and task inside since there is no path to do so."""

from __future__ import annotations

from typing import Any

from layers.errors import InputError
from layers.runtime.request import Request
from layers.serving.task_body import read_task_body, take_stream
from layers.wording import kind


def read_request(content: dict[str, Any]) -> tuple[str | None, Request]:
    """The model that is named, if one is, and what it is asked. Raises InputError."""
    content = dict(content)
    named = {key: content.pop(key, None) for key in ("model", "task")}
    for key, value in named.items():
        if value is not None and not isinstance(value, str):
            raise InputError(f"{key}: got {kind(value)}, expected a string.")
    task_body = read_task_body(content)
    streamed, parameters = take_stream(task_body.parameters)
    if streamed:
        raise InputError(
            "parameter 'stream': got true, expected false: results hold whole answers.", parameter="stream"
        )
    return named["model"], Request(task_body.inputs, parameters, named["task"])
