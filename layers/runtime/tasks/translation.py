"""translation: a text in another language, which the checkpoint knows or the request names."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

from layers.errors import InputError
from layers.generation import Generation
from layers.runtime.run import Run, StreamEvent
from layers.runtime.tasks import sequence_to_sequence
from layers.runtime.tasks.sequence_to_sequence import Opening, SequenceParameters
from layers.runtime.tasks.task import Task, built_for
from layers.wording import shown


class TranslationParameters(SequenceParameters):
    """`src_lang` and `tgt_lang` are codes that the checkpoint has: both or neither."""

    src_lang: str | None = None
    tgt_lang: str | None = None


def answer(run: Run, inputs: Any, parameters: Mapping[str, Any]) -> list[Any]:
    """[{"translation_text"}], one a text."""
    wanted = TranslationParameters.read(parameters)
    opening = _opening(run.writer.generation, wanted)
    return sequence_to_sequence.answer(run, inputs, wanted, opening, "translation_text")


def stream(run: Run, inputs: Any, parameters: Mapping[str, Any]) -> Generator[StreamEvent]:
    """The same, token by token, for one text."""
    wanted = TranslationParameters.read(parameters)
    return sequence_to_sequence.stream(run, inputs, wanted, _opening(run.writer.generation, wanted))


def _opening(generation: Generation, wanted: TranslationParameters) -> Opening:
    """Tokens of the languages, or the sentence that names them (T5: `translation_en_to_de`)."""
    source, target = wanted.src_lang, wanted.tgt_lang
    if source is None and target is None:
        return sequence_to_sequence.plain_opening(generation, "translation")
    if source is None or target is None:
        raise InputError("src_lang and tgt_lang: got one of them, expected both or neither.")
    sentence = generation.task_prefixes.get(f"translation_{source}_to_{target}")
    if sentence is not None:
        return sentence, (), ()
    for parameter, name, code in (("src_lang", "source", source), ("tgt_lang", "target", target)):
        if f"{name}:{code}" not in generation.prefixes:
            known = [other.partition(":")[2] for other in generation.prefixes if other.startswith(f"{name}:")]
            pairs = [other.removeprefix("translation_") for other in generation.task_prefixes if "_to_" in other]
            expected = f"one of {', '.join(known or pairs)}" if known or pairs else "none: this model has one pair"
            raise InputError(f"parameter {parameter!r}: got {shown(code)}, expected {expected}.")
    return "", generation.prefixes[f"source:{source}"], generation.prefixes[f"target:{target}"]


TASK = Task(answer, served_by=built_for("translation"), stream=stream)
