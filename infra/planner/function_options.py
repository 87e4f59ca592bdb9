"""Lambda functions: every architecture, memory size and way to start that a model could run with, priced."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Literal

from infra.planner import demand as streams
from infra.planner.demand import SECONDS_A_MONTH
from infra.planner.latency import MIB_PER_VCPU, Latency, latency_of, pause_ms, vcpus_of
from infra.planner.option import Cost, Option
from infra.planner.prices import Architecture
from infra.planner.workload import Candidate, Workload
from infra.reservations import reserved_by
from layers.artifact import INSTRUCTION_SETS
from layers.catalogue import DeploySpec

# Parts of a vCPU, then whole ones: between them a thread is throttled, and the next size down is as fast or cheaper.
MEMORY_SIZES = (256, 512, 768, 1024, 1280, 1536, *(MIB_PER_VCPU * cpus for cpus in range(1, 6)), 10240)
Start = Literal["cold", "provisioned", "snapstart"]


def function_candidates(work: Workload) -> Iterator[Candidate]:
    """Every function that the model's table leaves open."""
    deploy = work.spec.deploy
    for architecture in architectures(work):
        latency = latency_of(work.manifest, INSTRUCTION_SETS[architecture], work.spec.traffic)
        if latency is None:
            continue
        for memory_mib in MEMORY_SIZES if deploy.memory_mib == "auto" else (deploy.memory_mib,):
            for start in starts(deploy):
                yield partial(
                    function_option, architecture=architecture, memory_mib=memory_mib, start=start, latency=latency
                )


def architectures(work: Workload) -> tuple[Architecture, ...]:
    """Those the table leaves open and the artifact was built for."""
    asked = work.spec.deploy.architecture
    both: tuple[Architecture, ...] = ("x86_64", "arm64")
    return tuple(
        name for name in both if asked in ("auto", name) and set(INSTRUCTION_SETS[name]) & set(work.manifest.chosen)
    )


def starts(deploy: DeploySpec) -> tuple[Start, ...]:
    """Ways to start that the table leaves open: AWS does not combine SnapStart with provisioned environments."""
    if deploy.provisioned:
        return ("provisioned",)
    return ("snapstart",) if deploy.snapstart else ("cold", "provisioned", "snapstart")


def function_option(
    work: Workload, architecture: Architecture, memory_mib: int, start: Start, latency: Latency
) -> Option:
    """One function: its latency, how often it starts cold, how many environments it needs, what it costs."""
    assumed, demand = work.assumed, work.demand
    vcpus = vcpus_of(memory_mib)
    warm_ms = latency.plus(assumed.request_overhead_ms).on_share(vcpus, assumed.throttled_over_share)
    warm_p95_ms = warm_ms * assumed.p95_over_p50 + pause_ms(vcpus, assumed.throttle_period_ms)
    seconds = warm_ms * assumed.mean_over_p50 / 1e3
    provisioned = _provisioned(work, architecture, seconds) if start == "provisioned" else 0
    share = streams.cold_share(demand.rate, seconds, assumed.idle_seconds, provisioned)
    cold_ms = assumed.restore_ms if start == "snapstart" else assumed.sandbox_ms + work.init_ms
    concurrency = max(provisioned, needed_concurrency(work, seconds))
    return Option(
        target="lambda",
        architecture=architecture,
        memory_mib=memory_mib,
        vcpus=vcpus,
        instance_type=None,
        instances_min=0,
        instances_max=concurrency,
        concurrency=concurrency,
        provisioned=provisioned,
        snapstart=start == "snapstart",
        mode=None,
        p50_ms=warm_ms + (cold_ms if share > 0.5 else 0.0),
        p95_ms=max(warm_p95_ms, warm_ms + cold_ms if share > 0.05 else 0.0),
        cold_start_ms=cold_ms,
        cold_start_share=share,
        requests_per_second=capacity(work, concurrency, seconds),
        cost=function_cost(work, architecture, memory_mib, start, seconds, provisioned, work.init_ms),
    )


def _provisioned(work: Workload, architecture: Architecture, seconds: float) -> int:
    """As the table says, else the fewest that serve 95% of requests warm, and further ones that pay for themselves."""
    if work.spec.deploy.provisioned:
        return work.spec.deploy.provisioned
    demand = work.demand
    needed = 1
    for number, environment in enumerate(streams.environments(demand.peak, seconds)):
        if environment.missed_before <= 0.05:
            needed = max(1, number)
            break
    price = work.prices.functions.of(architecture)
    fee = SECONDS_A_MONTH * price.provisioned_gb_second
    for number, environment in enumerate(streams.environments(demand.rate, seconds), start=1):
        served = environment.served * _billed(seconds) * (price.gb_second - price.provisioned_duration_gb_second)
        started = environment.billed_starts(work.assumed.idle_seconds) * work.init_ms / 1e3 * price.gb_second
        if number > needed and demand.busy_seconds * (served + started) <= fee:
            return number - 1
    return needed


def needed_concurrency(work: Workload, seconds: float) -> int:
    """Environments for the peak: those that are busy when a request comes (Little's law), and one for itself.

    A function URL's quota of requests for each may ask for more.
    """
    peak, z = work.demand.peak, work.assumed.concurrency_z
    quota = streams.most_of(peak, z) / work.assumed.requests_per_reserved
    return math.ceil(max(streams.most_of(peak * seconds, z) + 1, quota) - streams.NEGLIGIBLE)


def capacity(work: Workload, needed: int, seconds: float) -> float:
    """Requests a second that a function can take: with as many environments as the table states, else those needed."""
    concurrency, z = work.stated_concurrency or needed, work.assumed.concurrency_z
    busy = streams.mean_below(concurrency - 1, z) / seconds if seconds else math.inf
    return min(busy, streams.mean_below(concurrency * work.assumed.requests_per_reserved, z))


def function_cost(
    work: Workload,
    architecture: Architecture,
    memory_mib: int,
    start: Start,
    seconds: float,
    provisioned: int,
    init_ms: float,
) -> Cost:
    """A month. Durations are billed in whole milliseconds; starting an environment is billed like a request."""
    demand, prices, assumed = work.demand, work.prices.functions, work.assumed
    price, gigabytes = prices.of(architecture), memory_mib / 1024
    billed = _billed(seconds)
    warm = _served_by(demand.rate, seconds, provisioned)
    starts_a_month = demand.busy_seconds * streams.billed_cold_rate(
        demand.rate, seconds, assumed.idle_seconds, provisioned
    )
    snapstart = start == "snapstart"
    initializing = 0.0 if snapstart else starts_a_month * init_ms / 1e3
    on_demand = demand.requests * (1 - warm) * billed + initializing
    reserved = demand.requests * warm * billed
    restores = starts_a_month * gigabytes * prices.snapstart_restore_gb
    functions = reserved_by(work.spec.deploy.triggers, 1)
    cached = functions * SECONDS_A_MONTH * gigabytes * prices.snapstart_cache_gb_second
    return Cost(
        requests=demand.requests * prices.million_requests / 1e6,
        compute=gigabytes * (on_demand * price.gb_second + reserved * price.provisioned_duration_gb_second),
        provisioned=provisioned * gigabytes * SECONDS_A_MONTH * price.provisioned_gb_second,
        snapstart=restores + cached if snapstart else 0.0,
        messages=work.message_cost(work.spec.deploy.triggers),
    )


def _served_by(rate: float, seconds: float, provisioned: int) -> float:
    """Share of requests that the first so many environments serve."""
    missed = 1.0
    for number in range(1, provisioned + 1):
        load = rate * seconds
        missed = load * missed / (number + load * missed)
    return 1 - missed if provisioned else 0.0


def _billed(seconds: float) -> float:
    return math.ceil(seconds * 1e3 - 1e-6) / 1e3
