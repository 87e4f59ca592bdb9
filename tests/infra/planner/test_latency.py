"""Service time for any CPU share and length, from a few measurements."""

from __future__ import annotations

import pytest

from infra.planner.latency import Latency, at_length, latency_of, pause_ms, vcpus_of
from layers.catalogue import TrafficSpec
from layers.errors import CatalogueError
from tests.infra.planner.manifests import X86, manifest_of

# 20 ms of serial work and 80 ms that divides: Amdahl's law exactly.
AMDAHL = Latency(((1, 100.0), (2, 60.0), (4, 40.0)))


@pytest.mark.parametrize(("threads", "ms"), [(1, 100), (2, 60), (3, 20 + 80 / 3), (4, 40), (6, 20 + 80 / 6)])
def test_threads_follow_amdahl_between_and_beyond_measurements(threads: int, ms: float) -> None:
    assert AMDAHL.on_threads(threads) == pytest.approx(ms)


def test_below_one_vcpu_time_is_inverse_to_the_share() -> None:
    assert AMDAHL.on_share(0.5) == pytest.approx(200)
    assert AMDAHL.on_share(vcpus_of(256)) == pytest.approx(100 * 1769 / 256)


def test_between_whole_vcpus_threads_take_turns() -> None:
    # The runtime starts 2 threads on 1.5 vCPUs; they need 2 x 60 ms of CPU time.
    assert AMDAHL.on_share(1.5) == pytest.approx(60 * 2 / 1.5)
    assert AMDAHL.on_share(2) == pytest.approx(60)


def test_more_threads_than_measured_are_not_trusted_where_they_did_not_help() -> None:
    slower = Latency(((1, 10.0), (2, 12.0)))
    assert slower.on_threads(6) == 12
    assert Latency(((1, 10.0),)).on_threads(6) == 10


def test_fewer_threads_than_measured_divide_evenly_at_worst() -> None:
    assert Latency(((4, 10.0),)).on_threads(1) == 40


@pytest.mark.parametrize(("memory", "share"), [(1769, 1), (3538, 2), (10240, 10240 / 1769), (128, 128 / 1769)])
def test_memory_buys_a_share(memory: int, share: float) -> None:
    assert vcpus_of(memory) == pytest.approx(share)


@pytest.mark.parametrize(
    ("tokens", "ms"),
    [(1, 5), (8, 5), (20, 12.5), (32, 20), (80, 50), (128, 80), (256, 160)],
    ids=["below", "shortest", "between", "measured", "between again", "longest", "beyond"],
)
def test_lengths_are_interpolated(tokens: int, ms: float) -> None:
    assert at_length({8: 5.0, 32: 20.0, 128: 80.0}, tokens) == pytest.approx(ms)


def test_beyond_the_longest_the_last_power_goes_on() -> None:
    assert at_length({10: 1.0, 20: 4.0}, 40) == pytest.approx(16)


def test_a_model_that_writes_reads_once_and_then_runs_once_a_token() -> None:
    manifest = manifest_of({"1": {"prefill 128": 64.0, "decode": 3.0}})
    latency = latency_of(manifest, X86, TrafficSpec(tokens_in=32, tokens_out=10))
    assert latency is not None
    assert latency.on_threads(1) == pytest.approx(16 + 30)
    short = latency_of(manifest, X86, TrafficSpec(tokens_in=1, tokens_out=10))
    assert short is not None
    assert short.on_threads(1) == pytest.approx(3 + 30)


def test_a_model_that_writes_needs_to_know_how_much() -> None:
    manifest = manifest_of({"1": {"prefill 128": 64.0, "decode": 3.0}})
    with pytest.raises(CatalogueError, match=r"\[m.traffic\] tokens_out: got 0"):
        latency_of(manifest, X86, TrafficSpec())


def test_texts_are_cut_where_the_model_cuts_them() -> None:
    manifest = manifest_of(max_tokens=32)
    long, limit = (latency_of(manifest, X86, TrafficSpec(tokens_in=tokens)) for tokens in (500, 32))
    assert long == limit


def test_the_slowest_of_the_processors_counts() -> None:
    manifest = manifest_of()
    slow = manifest.variants[0].model_copy(update={"name": "slow", "latency_ms": {"1": {"32": 33.0}}})
    both = manifest.model_copy(
        update={"variants": (*manifest.variants, slow), "chosen": {"x86_64-vnni": "int8", "x86_64-avx2": "slow"}}
    )
    latency = latency_of(both, X86, TrafficSpec(tokens_in=32))
    assert latency is not None
    assert latency.on_threads(1) == 33


def test_what_was_not_measured_is_not_made_up() -> None:
    assert latency_of(manifest_of({}), X86, TrafficSpec()) is None
    assert latency_of(manifest_of(), ("arm64",), TrafficSpec()) is None


def test_a_share_costs_pauses_and_a_little_more() -> None:
    assert pause_ms(0.25, 20) == pytest.approx(15)
    assert pause_ms(1.5, 20) == pytest.approx(5)  # of 2 threads
    assert pause_ms(1, 20) == pause_ms(2, 20) == 0
    assert AMDAHL.on_share(0.5, throttled_over_share=1.1) == pytest.approx(220)
    assert AMDAHL.on_share(2, throttled_over_share=1.1) == pytest.approx(60)
