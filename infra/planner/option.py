"""One way to run a model, with what it can do and what it costs a month."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from infra.planner.prices import Architecture

Mode = Literal["realtime", "asynchronous"]


@dataclass(frozen=True)
class Cost:
    """US dollars a month, by what they are paid for."""

    requests: float = 0.0
    compute: float = 0.0
    provisioned: float = 0.0
    snapstart: float = 0.0
    instances: float = 0.0
    messages: float = 0.0

    @property
    def total(self) -> float:
        """All of it."""
        return math.fsum(getattr(self, field.name) for field in fields(self))


@dataclass(frozen=True)
class Option:
    """A deployment, complete enough to be synthesized.

    `vcpus` is the CPU share of one environment or instance, and may be a fraction. `concurrency` is what a function
    must reserve; for an endpoint it is that of the function that forwards to it. `provisioned` environments are part
    of it. `cold_start_share` is the share of requests that wait for a new environment or instance.
    `requests_per_second` is the highest demand that this size can take, with the concurrency that the table states if
    it does; `each_per_second` is what one instance of an endpoint is given, 0 of functions. `meets_target` says that
    latency, memory and quotas are kept, and `within_budget` that the price is. `refused` says why an option is priced
    and cannot be deployed. `why_not` is None on the chosen option alone. `estimated` names what was not measured, or is
    None.
    """

    target: Literal["lambda", "gpu"]
    architecture: Architecture | None
    memory_mib: int | None
    vcpus: float
    instance_type: str | None
    instances_min: int
    instances_max: int
    concurrency: int
    provisioned: int
    snapstart: bool
    mode: Mode | None
    p50_ms: float
    p95_ms: float
    cold_start_ms: float
    cold_start_share: float
    requests_per_second: float
    cost: Cost
    meets_target: bool = True
    within_budget: bool = True
    refused: str | None = None
    why_not: str | None = None
    estimated: str | None = None
    each_per_second: float = 0.0

    @property
    def monthly_usd(self) -> float:
        """What a month costs."""
        return self.cost.total

    @property
    def can_be_chosen(self) -> bool:
        """It keeps target and budget, and can be deployed."""
        return self.meets_target and self.within_budget and self.refused is None

    @property
    def kind(self) -> str:
        """A few words that tell it from every other option of its plan; the same at any demand."""
        if self.target == "gpu":
            return f"{self.instance_type} {self.mode}"
        start = " provisioned" if self.provisioned else " snapstart" if self.snapstart else ""
        return f"lambda {self.architecture} {self.memory_mib} MiB{start}"

    @property
    def name(self) -> str:
        """`kind`, with how many environments are provisioned."""
        return f"{self.kind} {self.provisioned}" if self.provisioned else self.kind

    def as_json(self) -> dict[str, Any]:
        """Plain values, with `name` and `monthly_usd` beside the parts."""
        return {"name": self.name, "monthly_usd": self.monthly_usd, **asdict(self)}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Option:
        """The option that `as_json` described."""
        parts = {field.name: content[field.name] for field in fields(cls)}
        return cls(**{**parts, "cost": Cost(**content["cost"])})
