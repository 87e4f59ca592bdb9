"""Token ids where texts are expected: TEI and OpenAI take both."""

from __future__ import annotations

from typing import Any

from layers.runtime.predictor import Predictor


def as_texts(predictor: Predictor, inputs: Any, max_inputs: int) -> Any:
    """[int] or [[int]] as the texts that they are tokens of, anything else as it is.

    Special tokens are left out: they come back when the text is encoded. Raises InputError (422) for ids that are none.
    """
    return predictor.predict(inputs, task="decode", max_inputs=max_inputs).value if _are_tokens(inputs) else inputs


def _are_tokens(value: Any) -> bool:
    if not isinstance(value, list) or not value:
        return False
    return all(type(item) is int for item in value) or all(
        isinstance(item, list) and item and all(type(token) is int for token in item) for item in value
    )
