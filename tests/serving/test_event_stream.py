"""Server-sent events, as clients take them apart."""

from __future__ import annotations

import json

from layers.serving.event_stream import server_sent


def test_an_event_is_one_line_for_clients_that_know_more_ends_of_lines_than_two() -> None:
    # httpx splits as str.splitlines does, and huggingface_hub reads its lines.
    ends = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
    value = {"text": f"one{'two'.join(ends)}three \u00c5 \u2026 \u2027"}
    data, end = server_sent(value).decode().splitlines()
    assert (json.loads(data.removeprefix("data: ")), end) == (value, "")
