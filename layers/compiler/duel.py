"""Two contenders timed against each other as they will be served, and what that says of their speed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter, sleep

import numpy as np

# Calls in a row, so that threads which wait awake are found so; then a pause in which they fall asleep.
BURST = 3
PAUSE_SECONDS = 0.01
MINIMUM_ROUNDS, MAXIMUM_ROUNDS = 8, 60
RESAMPLES = 500


@dataclass(frozen=True)
class Contender:
    """What is timed: one call for each case, the same cases for both."""

    name: str
    calls: Mapping[str, Callable[[], object]]


@dataclass(frozen=True)
class Gain:
    """How many times as fast the second was: the mean over cases of the medians of rounds, with a 95% interval."""

    ratio: float
    interval: tuple[float, float]


# Who stands, who challenges, and the seconds that a case may take.
Dueling = Callable[[Contender, Contender, float], Gain]


def duel(
    first: Contender,
    second: Contender,
    seconds_per_case: float,
    clock: Callable[[], float] = perf_counter,
    pause: Callable[[float], None] = sleep,
) -> Gain:
    """Bursts of both in turn, whoever began last round going second; every case counts alike."""
    logs = []
    for case in first.calls:
        pairs: list[float] = []
        began = clock()
        for turn in range(MAXIMUM_ROUNDS):
            if turn >= MINIMUM_ROUNDS and clock() - began > seconds_per_case:
                break
            order = (first, second) if turn % 2 else (second, first)
            spent = {}
            for contender in order:
                spent[contender.name] = _burst(contender.calls[case], clock)
                pause(PAUSE_SECONDS)
            pairs.append(math.log(spent[first.name] / spent[second.name]))
        logs.append(np.array(pairs))
    draws = np.random.default_rng(0)
    means = np.mean([np.median(draws.choice(pairs, (RESAMPLES, len(pairs))), axis=1) for pairs in logs], axis=0)
    low, high = np.exp(np.quantile(means, [0.025, 0.975]))
    ratio = math.exp(float(np.mean([np.median(pairs) for pairs in logs])))
    return Gain(round(ratio, 3), (round(float(low), 3), round(float(high), 3)))


def _burst(call: Callable[[], object], clock: Callable[[], float]) -> float:
    """The shortest of a burst, after one call that does not count."""
    call()
    times = []
    for _ in range(BURST):
        started = clock()
        call()
        times.append(clock() - started)
    return min(times)
