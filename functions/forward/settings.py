"""What the functions before an endpoint read from the environment. The standard library alone.

`FORWARD_` variables are the stack's; `HUNDREDFOLD_` ones are those of functions with a model, as far as there is a
meaning to them here, with the same defaults.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from layers.errors import ArtifactError

# These need what is in a model's image: Powertools, or a laptop's folders.
NOT_HERE = ("tracing", "results_dir", "objects_dir", "bucket_model", "response_cache_table")
# Of a request to a real-time endpoint (AWS support: repost.aws/questions/QUbzR_PqclRoK5dmfEzR53wg).
REALTIME_BYTES = 6 * 10**6


@dataclass(frozen=True)
class ForwardSettings:
    """`exchange_bucket` is there for an asynchronous endpoint alone. The rest: docs/events.md, docs/http.md."""

    endpoint: str
    model: str
    task: str
    digest: str
    variant: str
    column: str
    exchange_bucket: str | None = None
    max_body_bytes: int = 2_000_000
    results_bucket: str | None = None
    results_prefix: str = "results/"
    results_queue_url: str | None = None
    idempotency_table: str | None = None
    idempotency_seconds: int = 3600
    spare_seconds: float = 2.0
    ranges_queue_url: str | None = None
    range_seconds: float = 60.0
    range_bytes: int = 8 * 2**20
    bucket_parameters: Mapping[str, Any] | None = None
    txt_document: bool = False

    @property
    def is_asynchronous(self) -> bool:
        """Whether answers come later, in the exchange bucket."""
        return self.exchange_bucket is not None

    @property
    def most_body_bytes(self) -> int:
        """Of one request: what the application takes, and what SageMaker carries."""
        return self.max_body_bytes if self.is_asynchronous else min(self.max_body_bytes, REALTIME_BYTES)


def read_settings(environment: Mapping[str, str]) -> ForwardSettings:
    """Raises ArtifactError naming each variable that is missing, wrong, or has no meaning before an endpoint."""
    found: dict[str, Any] = {}
    problems: list[str] = []
    for name, read in READERS.items():
        variable = f"{'FORWARD' if name in OF_STACK else 'HUNDREDFOLD'}_{name.upper()}"
        text = environment.get(variable)
        if text:
            try:
                found[name] = read(text)
            except ValueError as error:
                problems.append(f"{variable}: got {text!r}, {error}")
        elif name in REQUIRED:
            problems.append(f"{variable} is not set")
    for variable in (f"HUNDREDFOLD_{name.upper()}" for name in NOT_HERE):
        if environment.get(variable, "false").lower() not in ("", "0", "false"):
            problems.append(f"{variable}: a function before an endpoint has no such thing; unset it")
    if problems:
        raise ArtifactError("; ".join(problems))
    return ForwardSettings(**found)


def _whole(least: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise ValueError(f"expected a whole number of at least {least}")
        return int(text)

    return read


def _seconds(least: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not least <= value < float("inf"):
            raise ValueError(f"expected seconds, at least {least}")
        return value

    return read


def _flag(text: str) -> bool:
    if text.lower() not in ("true", "1", "false", "0"):
        raise ValueError("expected true or false")
    return text.lower() in ("true", "1")


def _prefix(text: str) -> str:
    if not re.fullmatch("[^/].*/", text):
        raise ValueError("expected a prefix that ends in / and does not begin with one")
    return text


def _object(text: str) -> dict[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("expected a JSON object")
    return value


REQUIRED = ("endpoint", "model", "task", "digest", "variant", "column")
OF_STACK = (*REQUIRED, "exchange_bucket")
READERS: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(OF_STACK, str),
    "max_body_bytes": _whole(1),
    "results_bucket": str,
    "results_prefix": _prefix,
    "results_queue_url": str,
    "idempotency_table": str,
    "idempotency_seconds": _whole(60),
    "spare_seconds": _seconds(0),
    "ranges_queue_url": str,
    "range_seconds": _seconds(0.001),
    "range_bytes": _whole(1),
    "bucket_parameters": _object,
    "txt_document": _flag,
}
