"""How fast variants are on this machine, measured through the runtime: contenders in turn, medians per length."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import perf_counter

import numpy as np

from layers.runtime.alignment import Encoding
from layers.runtime.engine import Engine

LENGTHS = (8, 32, 128, 384)
MINIMUM_ROUNDS, MAXIMUM_ROUNDS = 7, 40
SECONDS_PER_LENGTH = 4.0


def lengths_for(max_tokens: int) -> tuple[int, ...]:
    """The lengths to time: the usual ones that fit, or the model's own limit where none does."""
    fitting = tuple(length for length in LENGTHS if length <= max_tokens)
    return fitting or (max_tokens,)


def time_variants(
    engines: Mapping[str, Engine], texts: Sequence[Encoding], lengths: Sequence[int]
) -> dict[str, dict[str, float]]:
    """Median milliseconds of one text, by variant and tokens. Rounds alternate, so a slow spell hits all alike.

    Ends a length after SECONDS_PER_LENGTH, but never before MINIMUM_ROUNDS.
    """
    medians: dict[str, dict[str, float]] = {name: {} for name in engines}
    calls = {name: calls_of(engine, texts, lengths) for name, engine in engines.items()}
    for length in map(str, lengths):
        for name, median in alternate({name: by_length[length] for name, by_length in calls.items()}).items():
            medians[name][length] = median
    return medians


def calls_of(engine: Engine, texts: Sequence[Encoding], lengths: Sequence[int]) -> dict[str, Callable[[], object]]:
    """A run of one text, by its tokens."""
    return {str(length): partial(engine.forward, [_of_length(texts, length)]) for length in lengths}


def alternate(calls: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Median milliseconds of each call; they take turns, after one call each that does not count."""
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    began = perf_counter()
    for turn in range(MAXIMUM_ROUNDS):
        for name, call in calls.items():
            started = perf_counter()
            call()
            samples[name].append((perf_counter() - started) * 1e3)
        if turn + 1 >= MINIMUM_ROUNDS and perf_counter() - began > SECONDS_PER_LENGTH:
            break
    return {name: round(statistics.median(values), 3) for name, values in samples.items()}


def geometric_mean(latencies: Mapping[str, float]) -> float:
    """One figure for a variant: every length counts alike, whatever its milliseconds."""
    return math.exp(sum(math.log(value) for value in latencies.values()) / len(latencies))


def _of_length(texts: Sequence[Encoding], length: int) -> Encoding:
    """Real tokens, cut or joined to exactly `length`."""
    joined = np.concatenate([encoding.input_ids for encoding in texts])
    input_ids = np.resize(joined, length)
    return Encoding(input_ids, np.zeros(length, np.int64), 0)
