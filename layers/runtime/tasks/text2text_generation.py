"""text2text-generation: a source rewritten, whatever the checkpoint was trained to make of it."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

from layers.runtime.run import Run, StreamEvent
from layers.runtime.tasks import sequence_to_sequence
from layers.runtime.tasks.task import Task, built_for

NAME = "text2text-generation"


def answer(run: Run, inputs: Any, parameters: Mapping[str, Any]) -> list[Any]:
    """[{"generated_text"}], one a text."""
    wanted = sequence_to_sequence.SequenceParameters.read(parameters)
    opening = sequence_to_sequence.plain_opening(run.writer.generation, NAME)
    return sequence_to_sequence.answer(run, inputs, wanted, opening, "generated_text")


def stream(run: Run, inputs: Any, parameters: Mapping[str, Any]) -> Generator[StreamEvent]:
    """The same, token by token, for one text."""
    wanted = sequence_to_sequence.SequenceParameters.read(parameters)
    opening = sequence_to_sequence.plain_opening(run.writer.generation, NAME)
    return sequence_to_sequence.stream(run, inputs, wanted, opening)


TASK = Task(answer, served_by=built_for(NAME), stream=stream)
