"""What a task is, and how all of them read texts and parameters: strictly, naming what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator

from layers.artifact import Manifest
from layers.errors import InputError
from layers.runtime.run import Run, StreamEvent, Truncation
from layers.runtime.tokenizer import Direction
from layers.wording import kind, shown


@dataclass(frozen=True, slots=True)
class Task:
    """`answer(run, inputs, parameters)` gives what JSON can carry; `served_by(manifest)` says whose artifacts can.

    `stream` gives the same answer token by token, where there are tokens to give.
    """

    answer: Callable[[Run, Any, Mapping[str, Any]], Any]
    served_by: Callable[[Manifest], bool]
    stream: Callable[[Run, Any, Mapping[str, Any]], Generator[StreamEvent]] | None = None


def built_for(*tasks: str) -> Callable[[Manifest], bool]:
    """`served_by` of a task that any artifact of these catalogue tasks answers."""
    return lambda manifest: manifest.task in tasks


classifies = built_for("text-classification", "zero-shot-classification", "rerank")


class StrictParameters(BaseModel):
    """Parameters that are known by name and of the type they should be. A task's own are fields of a subclass.

    A null is as good as nothing, unless the field may be None and has another default: clients that fill in their
    schemas send one for whatever nobody set.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, stated: Any) -> Any:
        if not isinstance(stated, dict):
            return stated
        return {name: value for name, value in stated.items() if value is not None or not cls._says_nothing(name)}

    @classmethod
    def _says_nothing(cls, name: str) -> bool:
        """Whether null says nothing of this name."""
        field = cls.model_fields.get(name)
        if field is None or field.is_required():
            return False
        return field.default is None or type(None) not in get_args(field.annotation)

    @classmethod
    def read(cls, parameters: Mapping[str, Any]) -> Self:
        """Raises InputError naming the parameter, what came, what was expected, and the valid names."""
        try:
            return cls.model_validate(dict(parameters))
        except ValidationError as error:
            problems = error.errors()
            name = str(problems[0]["loc"][0]) if problems[0]["loc"] else None
            raise InputError("; ".join(cls._explain(item) for item in problems), parameter=name) from error

    @classmethod
    def _explain(cls, item: Any) -> str:
        name = ".".join(str(part) for part in item["loc"][:1])
        if item["type"] == "extra_forbidden":
            return f"unknown parameter {shown(name)}: expected one of {', '.join(cls.model_fields)}"
        return f"parameter {name!r}: got {shown(item['input'])}, {item['msg'][:1].lower()}{item['msg'][1:]}"


class Parameters(StrictParameters):
    """What every task over one text takes."""

    truncate: bool | None = None
    truncation_direction: Direction | None = None
    truncation: bool | Literal["longest_first", "only_first", "only_second", "do_not_truncate"] | None = None

    @field_validator("truncation_direction", mode="before")
    @classmethod
    def _as_written_by_tei_clients(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    def truncation_options(self) -> Truncation:
        """Both spellings as one. Raises InputError when they contradict each other."""
        by_strategy = None if self.truncation is None else self.truncation not in (False, "do_not_truncate")
        if None not in (self.truncate, by_strategy) and self.truncate != by_strategy:
            raise InputError(
                f"parameters contradict each other: truncate is {self.truncate}, truncation is {self.truncation!r}."
            )
        wanted = self.truncate if self.truncate is not None else by_strategy
        return {
            "truncate": wanted is not False,
            "truncation_direction": self.truncation_direction,
            "strategy": self.truncation if self.truncation in ("only_first", "only_second") else "longest_first",
        }


def read_texts(inputs: Any) -> tuple[list[str], bool]:
    """The texts, and whether they came as a list. Raises InputError when they are not text."""
    if isinstance(inputs, str):
        return [inputs], False
    if isinstance(inputs, list):
        for position, text in enumerate(inputs):
            if not isinstance(text, str):
                raise InputError(f"inputs[{position}]: got {kind(text)}, expected a string.")
        return inputs, True
    raise InputError(f"inputs: got {kind(inputs)}, expected a string or a list of strings.")


def read_one_and_many(inputs: Any, one: str, many: str) -> tuple[str, list[str]]:
    """The text under the key `one` and those under `many`. Raises InputError when they are anything else."""
    if not isinstance(inputs, dict) or set(inputs) != {one, many}:
        got = f"the keys {list(inputs)}" if isinstance(inputs, dict) else kind(inputs)
        raise InputError(f'inputs: got {got}, expected {{"{one}": string, "{many}": [string]}}.')
    if not isinstance(inputs[one], str):
        raise InputError(f"inputs.{one}: got {kind(inputs[one])}, expected a string.")
    if not isinstance(inputs[many], list):
        raise InputError(f"inputs.{many}: got {kind(inputs[many])}, expected a list of strings.")
    for position, text in enumerate(inputs[many]):
        if not isinstance(text, str):
            raise InputError(f"inputs.{many}[{position}]: got {kind(text)}, expected a string.")
    return inputs[one], inputs[many]
