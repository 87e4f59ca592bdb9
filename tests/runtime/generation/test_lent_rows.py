"""A device's rows for single requests: each borrower has its own, and memory is kept for the next."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from layers.runtime.device import Device, Place
from layers.runtime.generation.engine import GenerationEngine
from layers.runtime.generation.lent_rows import MOST_IDLE, LentRows

PROMPTS = [np.random.default_rng(5).integers(1, 8000, length) for length in (5, 2, 9, 3)] * 4


@dataclass(frozen=True)
class CountingPlace(Place):
    """A processor's memory, and the shapes that were asked for."""

    kind: Literal["cpu", "cuda"] = "cpu"
    shapes: list[tuple[int, ...]] = field(default_factory=list)

    def allocate(self, shape: Any, element_type: int) -> Any:
        self.shapes.append(tuple(shape))
        return super().allocate(shape, element_type)

    def caches(self) -> int:
        return sum(len(shape) == 4 for shape in self.shapes)


def test_memory_is_kept_for_the_next_request_of_its_size(engine: GenerationEngine) -> None:
    place = CountingPlace()
    lent = LentRows(Device(engine._session, place), None, engine.generation)
    for rows, allocated in ((1, 1), (1, 1), (2, 2), (1, 2)):
        with lent.lend(rows, 8, None):
            pass
        assert place.caches() == allocated * 2 * engine.generation.cache.layers


def test_as_much_is_kept_as_requests_may_need_at_once(engine: GenerationEngine) -> None:
    place = CountingPlace()
    lent = LentRows(Device(engine._session, place), None, engine.generation)
    for rows in range(1, MOST_IDLE + 2):
        with lent.lend(1, 8, None), lent.lend(rows, 8, None):
            pass
    before = place.caches()
    with lent.lend(1, 8, None):
        pass
    assert place.caches() == before


def test_threads_get_rows_of_their_own(engine: GenerationEngine) -> None:
    lent = LentRows(Device(engine._session, CountingPlace()), None, engine.generation)

    def write(prompt: Any) -> list[int]:
        with lent.lend(1, len(prompt) + 6, None) as decoder:
            tokens = [int(decoder.prefill([prompt])[0].argmax())]
            while len(tokens) < 6:
                tokens.append(int(decoder.step(tokens[-1:])[0].argmax()))
        return tokens

    alone = [write(prompt) for prompt in PROMPTS]
    with ThreadPoolExecutor(len(PROMPTS)) as threads:
        assert list(threads.map(write, PROMPTS)) == alone
