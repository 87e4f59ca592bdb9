"""Service time for any CPU share, from what the build measured at a few thread counts and lengths."""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from layers.artifact import InstructionSet, Manifest, Variant
from layers.catalogue import TrafficSpec
from layers.errors import ArtifactError, CatalogueError

# Memory that buys one vCPU (documented), and the most a function gets (re:Invent 2020).
MIB_PER_VCPU = 1769
MAXIMUM_VCPUS = 6
PREFILL, DECODE = "prefill ", "decode"


@dataclass(frozen=True)
class Latency:
    """Median milliseconds of one request on whole CPUs, by thread count; rising threads, at least one."""

    by_threads: tuple[tuple[int, float], ...]

    def on_threads(self, threads: int) -> float:
        """The measurement where there is one, else Amdahl's law (a + b / threads) through the nearest two.

        Beyond the most threads measured, the slope of the last two is kept, and never negative: more threads are
        not trusted to be slower, nor faster than the trend. Below the fewest, work divides evenly at worst.
        """
        counts = [count for count, _ in self.by_threads]
        times = [time for _, time in self.by_threads]
        if threads in counts:
            return times[counts.index(threads)]
        if threads < counts[0]:
            return times[0] * counts[0] / threads
        if threads > counts[-1]:
            slope = self._slope(-2, -1) if len(counts) > 1 else 0.0
            return times[-1] + max(slope, 0.0) * (1 / threads - 1 / counts[-1])
        above = bisect.bisect(counts, threads)
        return times[above] + self._slope(above - 1, above) * (1 / threads - 1 / counts[above])

    def on_share(self, vcpus: float, throttled_over_share: float = 1.0) -> float:
        """On a share of CPUs, with as many threads as the runtime starts there: the share, rounded up.

        Threads beyond the share take turns, so time grows by threads / share (below one vCPU that is 1 / share), and
        by `throttled_over_share`, which is what waiting costs besides.
        """
        threads = threads_on(vcpus)
        return self.on_threads(threads) * (threads / vcpus * throttled_over_share if threads > vcpus else 1.0)

    def plus(self, overhead_ms: float) -> Latency:
        """With work that one thread does before and after."""
        return Latency(tuple((count, time + overhead_ms) for count, time in self.by_threads))

    def _slope(self, low: int, high: int) -> float:
        (few, slow), (many, fast) = self.by_threads[low], self.by_threads[high]
        return (slow - fast) / (1 / few - 1 / many)


def threads_on(vcpus: float) -> int:
    """What the runtime starts in a function with such a share."""
    return max(1, min(math.ceil(vcpus), MAXIMUM_VCPUS))


def pause_ms(vcpus: float, period_ms: float) -> float:
    """The longest wait for the next share of a period, once this one is used up; 0 on whole vCPUs."""
    return period_ms * max(0.0, 1 - vcpus / threads_on(vcpus))


def vcpus_of(memory_mib: int) -> float:
    """The CPU share of a function with so much memory."""
    return min(memory_mib / MIB_PER_VCPU, MAXIMUM_VCPUS)


def latency_of(manifest: Manifest, instruction_sets: Sequence[InstructionSet], traffic: TrafficSpec) -> Latency | None:
    """How long a typical request of this demand takes: the slowest of the variants chosen for these CPUs.

    AWS does not say which processor a function gets, so the slowest counts. None where one was not measured.
    Raises CatalogueError when the model writes and the demand does not say how much.
    """
    chosen = {manifest.chosen[name] for name in instruction_sets if name in manifest.chosen}
    measured = [_of_variant(manifest, manifest.variant(name), traffic) for name in sorted(chosen)]
    if not measured or None in measured:
        return None
    return max((latency for latency in measured if latency), key=lambda latency: latency.on_threads(1))


def _of_variant(manifest: Manifest, variant: Variant, traffic: TrafficSpec) -> Latency | None:
    tokens = min(traffic.tokens_in, manifest.limits.max_tokens)
    if not variant.latency_ms:
        return None
    times = {int(threads): _service(manifest.name, row, tokens, traffic) for threads, row in variant.latency_ms.items()}
    return Latency(tuple(sorted(times.items())))


def _service(model: str, row: Mapping[str, float], tokens: int, traffic: TrafficSpec) -> float:
    """One request at one thread count. A model that writes reads its prompt once and then runs once a token."""
    if DECODE not in row:
        return at_length({int(length): time for length, time in row.items()}, tokens)
    if not traffic.tokens_out:
        raise CatalogueError(
            f"[{model}.traffic] tokens_out: got 0 for a model that writes text, expected how many tokens it writes "
            "a request. Set it, and the planner can say how long that takes."
        )
    prompt = next((key for key in row if key.startswith(PREFILL)), None)
    if prompt is None:
        raise ArtifactError(f"{model}: latency_ms has {DECODE!r} and no {PREFILL!r}. Build the model again.")
    reading = row[prompt] * tokens / int(prompt.removeprefix(PREFILL))
    return max(reading, row[DECODE]) + row[DECODE] * traffic.tokens_out


def at_length(times: Mapping[int, float], tokens: int) -> float:
    """Between measured lengths on a straight line; below the shortest its time; above the longest by the last power.

    The power is at least 1: longer texts never cost less a token.
    """
    lengths = sorted(times)
    if tokens <= lengths[0]:
        return times[lengths[0]]
    if tokens > lengths[-1]:
        power = 1.0
        if len(lengths) > 1:
            before, last = lengths[-2], lengths[-1]
            power = max(1.0, math.log(times[last] / times[before]) / math.log(last / before))
        return times[lengths[-1]] * math.pow(tokens / lengths[-1], power)
    above = bisect.bisect_left(lengths, tokens)
    low, high = lengths[above - 1], lengths[above]
    return times[low] + (times[high] - times[low]) * (tokens - low) / (high - low)
