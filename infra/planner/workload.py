"""What every option of a model has in common: the artifact, its demand, prices, and what follows from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from infra.planner.assumptions import Assumptions
from infra.planner.demand import Demand
from infra.planner.option import Option
from infra.planner.prices import PriceTable
from layers.artifact import Manifest
from layers.catalogue import ModelSpec, Trigger

MEBIBYTE = 1 << 20
# SQS bills sending, receiving and deleting; a bucket's object is put and read, its answer put, its notification queued.
SQS_REQUESTS, S3_PUTS, S3_GETS = 3, 2, 1
# An option of fixed size and kind, for whatever demand the workload has.
Candidate = Callable[["Workload"], Option]


@dataclass(frozen=True)
class Workload:
    """`spec` is the catalogue's, which may be newer than the manifest's copy."""

    spec: ModelSpec
    manifest: Manifest
    demand: Demand
    prices: PriceTable
    assumed: Assumptions

    def at(self, rate: float) -> Workload:
        """The same at another rate of requests a second."""
        return replace(self, demand=self.demand.scaled_to(rate))

    @property
    def stated_concurrency(self) -> int | None:
        """What the table reserves, where it says so; 0 is the kill switch, and plans are made as if it were off."""
        deploy = self.spec.deploy
        return deploy.concurrency if "concurrency" in deploy.model_fields_set and deploy.concurrency else None

    @property
    def weights_mib(self) -> float:
        """The largest of the variants that a machine may load."""
        return max(self.manifest.variant(name).bytes for name in self.manifest.chosen.values()) / MEBIBYTE

    @property
    def needed_mib(self) -> float:
        """Memory below which the process would be killed."""
        writes = self.assumed.writing_memory_mib if self.spec.traffic.tokens_out else 0.0
        return self.assumed.base_memory_mib + self.assumed.memory_per_weight * self.weights_mib + writes

    @property
    def init_ms(self) -> float:
        """Process start to first answer."""
        return self.assumed.init_ms + self.assumed.init_ms_per_mib * self.weights_mib

    def message_cost(self, triggers: Sequence[Trigger]) -> float:
        """Dollars a month as if every request came the dearest way that the model answers to."""
        prices = self.prices.messages
        queue = SQS_REQUESTS * prices.sqs_million_requests / 1e6
        bucket = queue + (S3_PUTS * prices.s3_thousand_puts + S3_GETS * prices.s3_thousand_gets) / 1e3
        each = {"https": 0.0, "queue": queue, "bucket": bucket}
        return self.demand.requests * max(each[trigger] for trigger in triggers)
