"""What becomes of a record, and where that goes: one small protocol, of which each sink is a file beside this one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from layers.errors import InputError
from layers.serving.json_body import json_bytes


@dataclass(frozen=True, slots=True)
class Result:
    """One record's answer, or why there is none. The same record gives the same key whenever it is delivered.

    `fields` are those of the JSON object besides id and model. `work` names what the answer is to, which is more than
    its key: another body under the same id is other work.
    """

    id: str
    model: str
    fields: dict[str, Any]
    work: str = ""

    @property
    def key(self) -> str:
        """MODEL/ID.json: a redelivery overwrites its own result and never makes a second one."""
        return f"{self.model}/{self.id}.json"

    @property
    def is_error(self) -> bool:
        """True when the record was refused."""
        return "error" in self.fields

    def body(self) -> bytes:
        """The JSON object."""
        return json_bytes({"id": self.id, "model": self.model, **self.fields})


class ResultSink(Protocol):
    """Where results go."""

    def publish(self, result: Result) -> None:
        """Keep a result for good before this returns.

        Raises InputError (413) for one that the sink can never hold; anything else may succeed at a later try.
        """


class EverySink:
    """Publishes to several sinks, in order."""

    def __init__(self, *sinks: ResultSink) -> None:
        self._sinks = sinks

    def publish(self, result: Result) -> None:
        """To each of them."""
        for sink in self._sinks:
            sink.publish(result)


def refusal_fields(refusal: InputError) -> dict[str, Any]:
    """A refusal as the HTTPS function words it, with its status."""
    return {"error": str(refusal), "error_type": refusal.error_type, "status": refusal.status}


def is_final(error: Exception) -> bool:
    """True when no later try can succeed: the record itself is at fault, and not that the model is busy."""
    return isinstance(error, InputError) and error.status != 429
