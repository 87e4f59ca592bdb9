"""Tables of embeddings: as the variant has them (8 bits), or in fp32, which is larger and needs no conversion."""

from __future__ import annotations

from typing import Protocol

from layers.compiler.operators import Axis
from layers.compiler.plan import EXACT_EMBEDDING, EmbeddingForm


class ChoosingTable(Protocol):
    """The form of a table, from the one that the plan has for it."""

    def __call__(self, planned: EmbeddingForm) -> EmbeddingForm: ...


def as_planned(planned: EmbeddingForm) -> EmbeddingForm:
    """The plan's own."""
    return planned


def in_fp32(planned: EmbeddingForm) -> EmbeddingForm:  # noqa: ARG001
    """Rows as they are."""
    return EXACT_EMBEDDING


EMBEDDINGS: Axis[ChoosingTable] = Axis("embeddings", {"int8": as_planned, "fp32": in_fp32})
