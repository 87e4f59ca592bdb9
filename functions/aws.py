"""Clients of AWS, made once a process and only where something is configured that needs one."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

# Results of a batch are written side by side.
CONNECTIONS = 32


@cache
def client(service: Literal["s3", "sqs"]) -> Any:
    """A client that retries what AWS says may be retried (botocore's `standard` mode)."""
    import boto3
    from botocore.config import Config

    config = Config(
        retries={"mode": "standard", "max_attempts": 4},
        max_pool_connections=CONNECTIONS,
        connect_timeout=3,
        read_timeout=30,
    )
    return boto3.client(service, config=config)


def error_code(error: Exception) -> str:
    """What AWS calls an error that a client raised; empty for other exceptions."""
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""
