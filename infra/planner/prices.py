"""What AWS charges: `prices.toml`, dated and with its sources, as frozen records. Nothing here asks AWS."""

from __future__ import annotations

import datetime
import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from layers.errors import CatalogueError

PRICES = Path(__file__).parent / "prices.toml"
Architecture = Literal["x86_64", "arm64"]
Dollars = Annotated[float, Field(ge=0, strict=False)]


class Prices(BaseModel):
    """One table of the file: immutable, and no figure that nobody reads."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class PriceSource(Prices):
    """AWS's page for these figures, and where they were read."""

    page: str
    read: str


class FunctionPrices(Prices):
    """Lambda of one architecture; a GB is 1,024 MiB of the memory that was asked for, used or not.

    `provisioned_gb_second` is paid for every second an environment is kept ready, and
    `provisioned_duration_gb_second` in place of `gb_second` for requests served by one.
    """

    gb_second: Dollars
    provisioned_gb_second: Dollars
    provisioned_duration_gb_second: Dollars


class LambdaPrices(Prices):
    """Lambda; requests and SnapStart cost the same on both architectures."""

    million_requests: Dollars
    snapstart_cache_gb_second: Dollars
    snapstart_restore_gb: Dollars
    x86_64: FunctionPrices
    arm64: FunctionPrices

    def of(self, architecture: Architecture) -> FunctionPrices:
        """What duration and provisioned environments cost there."""
        return self.x86_64 if architecture == "x86_64" else self.arm64


class MessagePrices(Prices):
    """What carries a request that does not come over HTTPS."""

    sqs_million_requests: Dollars
    s3_thousand_puts: Dollars
    s3_thousand_gets: Dollars


class InstancePrice(Prices):
    """One SageMaker instance type: dollars an hour, and what it has. `gpu` is None on a CPU instance."""

    hour: Dollars
    vcpus: Annotated[int, Field(ge=1)]
    memory_gib: Annotated[int, Field(ge=1)]
    gpu: str | None = None


class PriceTable(Prices):
    """Everything a plan is paid with."""

    region: str
    as_of: datetime.date
    sources: dict[str, PriceSource]
    functions: LambdaPrices = Field(alias="lambda")
    messages: MessagePrices
    instances: dict[str, InstancePrice]

    @classmethod
    def read(cls, path: Path = PRICES) -> PriceTable:
        """Read a price file. Raises CatalogueError when it is absent, not TOML or not complete."""
        try:
            return cls.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        except (OSError, tomllib.TOMLDecodeError, ValidationError) as error:
            raise CatalogueError(f"{path}: not a price table: {error}") from error
