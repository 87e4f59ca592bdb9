"""What a plan takes for granted: figures that no artifact holds, each with where it comes from. Printed with a plan."""

from __future__ import annotations

from dataclasses import dataclass

from infra.reservations import DEFAULT_QUOTA, reservable
from layers import footprint


@dataclass(frozen=True)
class Assumptions:
    """Pass others to `plan_model` to see what they change; docs/planner.md explains each."""

    p95_over_p50: float = 1.5
    """Warm requests on whole vCPUs: the largest of the measured ones on one (`benchmarks memory_sizes`: 1.0 to 1.5)."""
    mean_over_p50: float = 1.05
    """Bills and concurrency follow the mean (`benchmarks memory_sizes`: 1.00 to 1.10 on one vCPU)."""
    throttled_over_share: float = 1.1
    """Where threads wait for their share, beyond what the share explains (`benchmarks memory_sizes`, in the middle)."""
    throttle_period_ms: float = 20.0
    """A function that has used up its share waits for the rest of such a period: reported of Lambda, and set there."""
    request_overhead_ms: float = 2.3
    """On one vCPU: HTTP stack and tokenization (`benchmarks events`, MiniLM: 1.2), runtime interface client (1.1)."""
    init_ms: float = 720.0
    """Process start to first answer of a small model, without the model's part (`benchmarks cold_start`)."""
    init_ms_per_mib: float = 1.4
    """What each MiB of weights adds to it (`benchmarks cold_start`, the same three models, warm page cache)."""
    sandbox_ms: float = 500.0
    """A new Lambda environment with its image, before the process starts. Not measured: it needs an account."""
    restore_ms: float = 1000.0
    """SnapStart's restore. AWS promises "as low as sub-second"; not measured: it needs an account."""
    idle_seconds: float = 300.0
    """How long an unused Lambda environment lives. AWS promises nothing; 5 minutes is at the short end of reports."""
    concurrency_z: float = 3.0
    """Concurrency is planned for a Poisson number of requests: mean plus this many standard deviations."""
    reservable_concurrency: int = reservable(DEFAULT_QUOTA)
    """What an account's functions in a region may reserve together. A quota increase moves it."""
    requests_per_reserved: float = 10.0
    """A function URL takes this many requests a second for each reserved environment (AWS quota)."""
    base_memory_mib: float = footprint.PROCESS_MIB
    """Python, onnxruntime and the HTTP stack; this figure and the next two are those that the runtime keeps to."""
    memory_per_weight: float = footprint.MEMORY_PER_WEIGHT
    """Resident MiB for each MiB of weights: mapped once, and once more where a kernel packs them."""
    writing_memory_mib: float = footprint.WRITING_MIB
    """Keys and values of the texts that are being written, for models that write."""
    utilization: float = 0.6
    """Endpoints scale out when their instances are busy this share of the time; `infra` sets the same target."""
    endpoint_ms: float = 10.0
    """From the forwarding function to the endpoint and back. Not measured: it needs an account."""
    asynchronous_ms: float = 1000.0
    """An asynchronous answer's way through S3 and the internal queue. Not measured: it needs an account."""
    instance_start_ms: float = 300_000.0
    """An endpoint instance from nothing to its first answer. Not measured; AWS's own limit for it is longer."""
    instance_idle_seconds: float = 600.0
    """Without work for so long, an asynchronous endpoint scales to zero; `infra` sets the same."""
    gpu_launch_ms_per_node: float = 0.01
    """What an operator of the graph costs on a GPU at least: an estimate of a kernel's launch."""
    gpu_share_of_flops: float = 0.3
    """Of a card's peak, in prompts and encoders: an estimate."""
    gpu_share_of_bandwidth: float = 0.6
    """Of a card's peak, one token at a time: an estimate."""
