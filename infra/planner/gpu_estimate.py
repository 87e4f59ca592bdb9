"""How long a request would take on a GPU, from bytes and operations. An estimate, marked as one wherever it is used.

No build measures the cards that SageMaker rents. A card does no better than its memory and its arithmetic allow, at the
shares of the peak that `Assumptions` states, and no better than launching every operator of the graph.
"""

from __future__ import annotations

from dataclasses import dataclass

from infra.planner.assumptions import Assumptions
from layers.artifact import Manifest, Variant
from layers.catalogue import TrafficSpec

BYTES = {"fp32": 4.0, "fp16": 2.0, "bf16": 2.0, "int8": 1.0, "int4": 0.5}
ESTIMATED = "GPU latency is an estimate from bytes and operations, not a measurement"


@dataclass(frozen=True)
class Card:
    """A GPU: memory, memory bandwidth, and dense fp16 operations a second with tensor cores."""

    memory_gib: int
    bytes_per_second: float
    flops: float


# NVIDIA's figures; docs/planner.md names the pages. A card without a figure in a stored source is not here.
CARDS = {
    "T4": Card(16, 320e9, 65e12),
    "L4": Card(24, 300e9, 121e12),
    "L40S": Card(48, 864e9, 362e12),
}


def gpu_request_ms(manifest: Manifest, traffic: TrafficSpec, card: Card, assumed: Assumptions) -> float:
    """One request in fp16, alone on the card."""
    parameters = parameters_of(manifest)
    launch = assumed.gpu_launch_ms_per_node * sum(_widest(manifest).fused_nodes.values())
    reading = fp16_bytes(manifest) / (card.bytes_per_second * assumed.gpu_share_of_bandwidth) * 1e3
    tokens = min(traffic.tokens_in, manifest.limits.max_tokens)
    computing = 2 * parameters * tokens / (card.flops * assumed.gpu_share_of_flops) * 1e3
    return max(launch, reading, computing) + traffic.tokens_out * max(launch, reading)


def parameters_of(manifest: Manifest) -> float:
    """Weights of the model; embeddings count like the rest."""
    widest = _widest(manifest)
    return widest.bytes / BYTES[widest.precision]


def fp16_bytes(manifest: Manifest) -> float:
    """Of its weights on a card."""
    return 2 * parameters_of(manifest)


def fits(manifest: Manifest, card: Card) -> bool:
    """Whether fp16 weights take at most half of the card; activations, keys and values need the rest."""
    return fp16_bytes(manifest) <= card.memory_gib * 2**30 / 2


def _widest(manifest: Manifest) -> Variant:
    """The least compressed variant: nearest to what a card runs, with no operators that quantize."""
    return max(manifest.variants, key=lambda variant: BYTES[variant.precision])
