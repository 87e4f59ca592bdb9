"""Lambda functions: every architecture, memory size and way to start that a model could run with, priced."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from infra.planner import demand as streams
from infra.planner.assumptions import Assumptions
from infra.planner.demand import SECONDS_A_MONTH, Demand
from infra.planner.latency import MIB_PER_VCPU, Latency, latency_of, vcpus_of
from infra.planner.option import Cost, Option
from infra.planner.prices import Architecture, PriceTable
from layers.artifact import INSTRUCTION_SETS, Manifest
from layers.catalogue import DeploySpec, ModelSpec, Trigger

# Parts of a vCPU, then whole ones: between them a thread is throttled, and the next size down is as fast or cheaper.
MEMORY_SIZES = (256, 512, 768, 1024, 1280, 1536, *(MIB_PER_VCPU * cpus for cpus in range(1, 6)), 10240)
MEBIBYTE = 1 << 20
Start = Literal["cold", "provisioned", "snapstart"]
# SQS bills sending, receiving and deleting; a bucket's object is put and read, its answer put, its notification queued.
SQS_REQUESTS, S3_PUTS, S3_GETS = 3, 2, 1


@dataclass(frozen=True)
class Workload:
    """What every option of a model has in common."""

    spec: ModelSpec
    manifest: Manifest
    demand: Demand
    prices: PriceTable
    assumed: Assumptions

    @property
    def weights_mib(self) -> float:
        """The largest of the variants that a CPU may load."""
        return max(self.manifest.variant(name).bytes for name in self.manifest.chosen.values()) / MEBIBYTE

    @property
    def needed_mib(self) -> float:
        """Memory below which the process would be killed."""
        writes = self.assumed.writing_memory_mib if self.spec.traffic.tokens_out else 0.0
        return self.assumed.base_memory_mib + self.assumed.memory_per_weight * self.weights_mib + writes

    @property
    def cold_start_ms(self) -> float:
        """A new environment until it has answered, beside the request's own time."""
        assumed = self.assumed
        return assumed.sandbox_ms + assumed.init_ms + assumed.init_ms_per_mib * self.weights_mib


def function_options(work: Workload) -> Iterator[Option]:
    """Every function that the model's table leaves open."""
    deploy = work.spec.deploy
    for architecture in architectures(work):
        latency = latency_of(work.manifest, INSTRUCTION_SETS[architecture], work.spec.traffic)
        if latency is None:
            continue
        for memory_mib in MEMORY_SIZES if deploy.memory_mib == "auto" else (deploy.memory_mib,):
            for start in starts(deploy):
                yield function_option(work, architecture, memory_mib, start, latency)


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
    p50_ms = latency.plus(assumed.request_overhead_ms).on_share(vcpus)
    seconds = p50_ms / 1e3
    provisioned = _provisioned(work, seconds) if start == "provisioned" else 0
    share = streams.cold_share(demand.rate, seconds, assumed.idle_seconds, provisioned)
    cold_ms = assumed.restore_ms if start == "snapstart" else work.cold_start_ms
    concurrency = max(provisioned, _concurrency(work, seconds))
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
        p50_ms=p50_ms,
        p95_ms=cold_ms + p50_ms if share > 0.05 else p50_ms * assumed.p95_over_p50,
        cold_start_ms=cold_ms,
        cold_start_share=share,
        requests_per_second=_capacity(work, concurrency, seconds),
        cost=_cost(work, architecture, memory_mib / 1024, start, seconds, provisioned),
    )


def message_cost(work: Workload, triggers: Sequence[Trigger]) -> float:
    """Dollars a month as if every request came the dearest way that the model answers to."""
    prices = work.prices.messages
    queue = SQS_REQUESTS * prices.sqs_million_requests / 1e6
    bucket = queue + (S3_PUTS * prices.s3_thousand_puts + S3_GETS * prices.s3_thousand_gets) / 1e3
    each = {"https": 0.0, "queue": queue, "bucket": bucket}
    return work.demand.requests * max(each[trigger] for trigger in triggers)


def _provisioned(work: Workload, seconds: float) -> int:
    """As the table says, else the fewest that serve 95% of requests warm."""
    if work.spec.deploy.provisioned:
        return work.spec.deploy.provisioned
    for number, environment in enumerate(streams.environments(work.demand.peak, seconds)):
        if environment.missed_before <= 0.05:
            return number
    return 1


def _concurrency(work: Workload, seconds: float) -> int:
    """Environments for the peak; a function URL's quota of requests for each may ask for more."""
    peak, z = work.demand.peak, work.assumed.concurrency_z
    quota = streams.required(peak, z) / work.assumed.requests_per_reserved
    return max(streams.required(peak * seconds, z), math.ceil(quota))


def _capacity(work: Workload, concurrency: int, seconds: float) -> float:
    z = work.assumed.concurrency_z
    busy = streams.bearable(concurrency, z) / seconds
    return min(busy, streams.bearable(concurrency * work.assumed.requests_per_reserved, z))


def _cost(
    work: Workload, architecture: Architecture, gigabytes: float, start: Start, seconds: float, provisioned: int
) -> Cost:
    """A month. Durations are billed in whole milliseconds; starting an environment is billed like a request."""
    demand, prices, assumed = work.demand, work.prices.functions, work.assumed
    price = prices.of(architecture)
    billed = math.ceil(seconds * 1e3 - 1e-6) / 1e3
    warm = _served_by(demand.rate, seconds, provisioned)
    starts_a_month = demand.busy_seconds * streams.billed_cold_rate(
        demand.rate, seconds, assumed.idle_seconds, provisioned
    )
    snapstart = start == "snapstart"
    initializing = 0.0 if snapstart else starts_a_month * (work.cold_start_ms - assumed.sandbox_ms) / 1e3
    on_demand = demand.requests * (1 - warm) * billed + initializing
    reserved = demand.requests * warm * billed
    restores = starts_a_month * gigabytes * prices.snapstart_restore_gb
    cached = SECONDS_A_MONTH * gigabytes * prices.snapstart_cache_gb_second
    return Cost(
        requests=demand.requests * prices.million_requests / 1e6,
        compute=gigabytes * (on_demand * price.gb_second + reserved * price.provisioned_duration_gb_second),
        provisioned=provisioned * gigabytes * SECONDS_A_MONTH * price.provisioned_gb_second,
        snapstart=restores + cached if snapstart else 0.0,
        messages=message_cost(work, work.spec.deploy.triggers),
    )


def _served_by(rate: float, seconds: float, provisioned: int) -> float:
    """Share of requests that the first so many environments serve."""
    missed = 1.0
    for number in range(1, provisioned + 1):
        load = rate * seconds
        missed = load * missed / (number + load * missed)
    return 1 - missed if provisioned else 0.0
