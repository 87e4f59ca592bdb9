"""SageMaker endpoints on CPU and GPU instances, real-time and asynchronous, behind a function that forwards to them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from infra import forwarder
from infra.planner import demand as streams
from infra.planner import gpu_estimate
from infra.planner.demand import DAYS_A_MONTH
from infra.planner.function_options import capacity, function_cost, needed_concurrency
from infra.planner.gpu_estimate import CARDS, gpu_request_ms
from infra.planner.latency import latency_of, vcpus_of
from infra.planner.option import Cost, Mode, Option
from infra.planner.prices import InstancePrice
from infra.planner.workload import Candidate, Workload
from layers.artifact import INSTRUCTION_SETS

# Requests wait longer than this share of them for a free instance: what a 95th percentile leaves out.
TAIL = 0.05
MODES: tuple[Mode, ...] = ("realtime", "asynchronous")
CPU_ENDPOINT = "for comparison: the gpu target deploys GPU instances only"
NOT_BUILT = "for comparison: the artifact has no CUDA variant"


@dataclass(frozen=True)
class Instance:
    """One type, with the time it takes for a request and why it could not be deployed, if it could not."""

    kind: str
    price: InstancePrice
    request_ms: float
    refused: str | None
    estimated: str | None


def endpoint_candidates(work: Workload) -> Iterator[Candidate]:
    """What the model's table leaves open of the price table, where latency is known or can be estimated."""
    deploy = work.spec.deploy
    for kind, price in work.prices.instances.items():
        instance = _instance(work, kind, price) if deploy.instance_type in ("auto", kind) else None
        if instance is not None:
            for mode in MODES if deploy.mode == "auto" else (deploy.mode,):
                yield partial(endpoint_option, instance=instance, mode=mode)


def has_cuda(work: Workload) -> bool:
    """Whether the artifact can run on a GPU."""
    return work.manifest.target == "cuda" or any(name.startswith("cuda") for name in work.manifest.chosen)


def _instance(work: Workload, kind: str, price: InstancePrice) -> Instance | None:
    if price.gpu is None:
        latency = latency_of(work.manifest, INSTRUCTION_SETS["x86_64"], work.spec.traffic)
        if latency is None:
            return None
        return Instance(kind, price, latency.on_threads(price.vcpus), CPU_ENDPOINT, None)
    card = CARDS.get(price.gpu)
    if card is None or not gpu_estimate.fits(work.manifest, card):
        return None
    request_ms = gpu_request_ms(work.manifest, work.spec.traffic, card, work.assumed)
    return Instance(kind, price, request_ms, None if has_cuda(work) else NOT_BUILT, gpu_estimate.ESTIMATED)


def endpoint_option(work: Workload, instance: Instance, mode: Mode) -> Option:
    """One endpoint. An instance takes one request at a time, as the application does."""
    assumed, demand = work.assumed, work.demand
    seconds = instance.request_ms * assumed.mean_over_p50 / 1e3
    most = _instances(demand.peak, seconds, assumed.utilization)
    asleep = _asleep(work, seconds) if mode == "asynchronous" else 0.0
    way_ms = assumed.request_overhead_ms / vcpus_of(forwarder.MEMORY_MIB) + assumed.endpoint_ms
    forwarded = way_ms / 1e3 if mode == "asynchronous" else seconds + way_ms / 1e3
    if mode == "asynchronous":
        way_ms += assumed.asynchronous_ms
    kept_warm = work.spec.deploy.provisioned
    concurrency, each = max(kept_warm, needed_concurrency(work, forwarded)), assumed.utilization / seconds
    cold = streams.cold_share(demand.rate, forwarded, assumed.idle_seconds, kept_warm)
    warm = instance.request_ms + way_ms
    waited = _wait95(demand.peak, seconds, most) * 1e3
    starting = _starting_ms(work, cold, asleep)
    return Option(
        target="gpu",
        architecture=None,
        memory_mib=None,
        vcpus=instance.price.vcpus,
        instance_type=instance.kind,
        instances_min=0 if mode == "asynchronous" else 1,
        instances_max=most,
        concurrency=concurrency,
        provisioned=0,
        snapstart=False,
        mode=mode,
        p50_ms=warm + (starting if max(cold, asleep) > 0.5 else 0.0),
        p95_ms=max(warm + starting, instance.request_ms * assumed.p95_over_p50 + waited + way_ms),
        cold_start_ms=assumed.instance_start_ms if mode == "asynchronous" else assumed.sandbox_ms + assumed.init_ms,
        cold_start_share=max(cold, asleep),
        requests_per_second=min(most * each, capacity(work, concurrency, forwarded)),
        each_per_second=each,
        cost=_cost(work, instance, mode, forwarded),
        refused=instance.refused,
        estimated=instance.estimated,
    )


def _instances(rate: float, seconds: float, utilization: float) -> int:
    return max(1, math.ceil(rate * seconds / utilization - 1e-9))


def _wait95(rate: float, seconds: float, instances: int) -> float:
    """Seconds that 95% of requests wait at most for an instance that is as busy as these: M/D/1 in heavy traffic.

    A queue of equal services is longer than t with probability busy * exp(-2 (1 - busy) t / service).
    """
    busy = rate * seconds / instances
    if busy <= TAIL:
        return 0.0
    return seconds * math.log(busy / TAIL) / (2 * (1 - busy))


def _asleep(work: Workload, seconds: float) -> float:
    """Share of requests that find the endpoint at zero: none came while it would still have been up."""
    up = work.assumed.instance_start_ms / 1e3 + work.assumed.instance_idle_seconds + seconds
    return math.exp(-work.demand.rate * up)


def _starting_ms(work: Workload, cold: float, asleep: float) -> float:
    """What a start adds to the slowest 5%: of the endpoint, of the function before it, or nothing."""
    endpoint = work.assumed.instance_start_ms if asleep > TAIL else 0.0
    function = work.assumed.sandbox_ms + work.assumed.init_ms if cold > TAIL else 0.0
    return endpoint + function


def _cost(work: Workload, instance: Instance, mode: Mode, forwarded: float) -> Cost:
    """Instances by the hour, as many as the average needs, and the function that forwards."""
    assumed, demand, prices = work.assumed, work.demand, work.prices.messages
    seconds = instance.request_ms * assumed.mean_over_p50 / 1e3
    busy_hours = demand.busy_hours * DAYS_A_MONTH
    average = _instances(demand.rate, seconds, assumed.utilization)
    if mode == "realtime":
        hours = average * busy_hours + (24 - demand.busy_hours) * DAYS_A_MONTH
        stored = 0.0
    else:
        hours = average * busy_hours * (1 - _asleep(work, seconds))
        stored = demand.requests * 2 * (prices.s3_thousand_puts + prices.s3_thousand_gets) / 1e3
    warm = work.spec.deploy.provisioned
    forwarding = function_cost(
        work, forwarder.ARCHITECTURE, forwarder.MEMORY_MIB, "cold", forwarded, warm, assumed.init_ms
    )
    return Cost(
        requests=forwarding.requests,
        compute=forwarding.compute,
        provisioned=forwarding.provisioned,
        instances=hours * instance.price.hour,
        messages=forwarding.messages + stored,
    )
