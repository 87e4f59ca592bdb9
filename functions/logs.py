"""One JSON line a record on stderr, with the keys that Powertools writes.

Not Powertools itself: importing its logger also imports its metrics, tracing and botocore, 25 ms of
every cold start. Never a payload: what is logged is what the code says, not what callers sent.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import Any

from layers.errors import ArtifactError


class JsonFormatter(logging.Formatter):
    """Formats a record, its `extra={"fields": {...}}` and its exception as one JSON object."""

    def __init__(self) -> None:
        super().__init__()
        self.request_id: str | None = None

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line."""
        line: dict[str, Any] = {
            "level": record.levelname,
            "location": f"{record.funcName}:{record.lineno}",
            "message": record.getMessage(),
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "service": os.environ.get("POWERTOOLS_SERVICE_NAME") or "hundredfold",
        }
        if self.request_id is not None:
            line["function_request_id"] = self.request_id
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def log_to_stderr() -> JsonFormatter:
    """Send the project's records to stderr, and there only; returns the formatter, to name requests to it.

    Raises ArtifactError for a level that is none.
    """
    formatter = JsonFormatter()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logger = logging.getLogger("hundredfold")
    logger.handlers = [handler]
    logger.setLevel(_level())
    # Lambda's runtime has a handler at the root, which would write every record a second time.
    logger.propagate = False
    return formatter


def _level() -> str:
    stated = os.environ.get("POWERTOOLS_LOG_LEVEL") or "INFO"
    levels = logging.getLevelNamesMapping()
    if stated.upper() not in levels:
        raise ArtifactError(f"POWERTOOLS_LOG_LEVEL: got {stated!r}, expected one of {', '.join(levels)}")
    return stated.upper()
