"""Clients of AWS, made once a process and only where something is configured that needs one."""

from __future__ import annotations

from typing import Any, Literal

Service = Literal["s3", "sqs", "dynamodb"]

# Results of a batch are written side by side.
CONNECTIONS = 32

# Codes of a conditional write: 412 when the condition does not hold, 409 when another one is under way.
CONFLICT = ("412", "PreconditionFailed", "409", "ConditionalRequestConflict")

_clients: dict[tuple[str, bool], Any] = {}


def client(service: Service, *, patient: bool = True) -> Any:
    """The process's client, which retries what AWS says may be retried (botocore's `standard` mode).

    One that is not `patient` gives up within a second: for what nobody waits for.
    """
    import boto3
    from botocore.config import Config

    if (service, patient) not in _clients:
        config = Config(
            retries={"mode": "standard", "total_max_attempts": 5 if patient else 1},
            max_pool_connections=CONNECTIONS,
            connect_timeout=3 if patient else 0.25,
            read_timeout=30 if patient else 0.4,
        )
        _clients[service, patient] = boto3.client(service, config=config)
    return _clients[service, patient]


def queue_url(sqs: Any, arn: str) -> str:
    """Of a queue's ARN. Raises botocore's errors."""
    _, _, _, _, account, name = arn.split(":")
    return str(sqs.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account)["QueueUrl"])


def renew_connections() -> None:
    """Close every connection, as those of a snapshot that was restored; clients open new ones."""
    for made in _clients.values():
        made.close()


def forget_clients() -> None:
    """Have clients made anew, with the environment of today."""
    renew_connections()
    _clients.clear()


def error_code(error: Exception) -> str:
    """What AWS calls an error that a client raised; empty for other exceptions."""
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""
