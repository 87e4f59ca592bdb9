"""Demand over a month, and what a Poisson stream of it does to environments: how many are busy, how many start cold."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from layers.catalogue import TrafficSpec

DAYS_A_MONTH = 365 / 12
HOURS_A_MONTH = 24 * DAYS_A_MONTH
SECONDS_A_MONTH = 3600 * HOURS_A_MONTH
# Terms of a sum over environments that no longer matter.
NEGLIGIBLE = 1e-9
MOST_ENVIRONMENTS = 4000


@dataclass(frozen=True)
class Demand:
    """`rate` requests a second during `busy_hours` of each day and none outside; never more than `peak`."""

    rate: float
    peak: float
    busy_hours: float

    @classmethod
    def of(cls, traffic: TrafficSpec) -> Demand:
        """The catalogue's demand profile."""
        return cls(traffic.requests_per_second, traffic.requests_per_second, 24.0)

    @property
    def busy_seconds(self) -> float:
        """Seconds a month with demand."""
        return self.busy_hours * 3600 * DAYS_A_MONTH

    @property
    def requests(self) -> float:
        """Requests a month."""
        return self.rate * self.busy_seconds


@dataclass(frozen=True)
class Environment:
    """The nth environment of a function: requests it serves a second, and the share of all that reach none before."""

    served: float
    missed_before: float


def environments(rate: float, service_seconds: float) -> Iterator[Environment]:
    """What each environment serves when the first free one takes a request (Erlang's overflow), most used first."""
    load = rate * service_seconds
    missed = 1.0
    number = 0
    while rate * missed > NEGLIGIBLE and number < MOST_ENVIRONMENTS:
        number += 1
        missed_after = load * missed / (number + load * missed)
        yield Environment(rate * (missed - missed_after), missed)
        missed = missed_after


def cold_share(rate: float, service_seconds: float, idle_seconds: float, provisioned: int = 0) -> float:
    """Share of requests that start an environment: its last request is longer ago than it lives idle.

    Requests come as a Poisson stream. The first `provisioned` environments never go away.
    """
    if rate == 0:
        return 0.0 if provisioned else 1.0
    cold = 0.0
    for number, environment in enumerate(environments(rate, service_seconds), start=1):
        if number > provisioned:
            cold += environment.served * math.exp(-environment.served * idle_seconds)
    return cold / rate


def billed_cold_rate(rate: float, service_seconds: float, idle_seconds: float, provisioned: int = 0) -> float:
    """Most cold starts a second at this demand or any lower one: demand dips, and the bill should not be a surprise.

    An environment starts cold most often when it is used once in `idle_seconds`.
    """
    most = 0.0
    for number, environment in enumerate(environments(rate, service_seconds), start=1):
        if number > provisioned:
            served = min(environment.served, 1 / idle_seconds)
            most += served * math.exp(-served * idle_seconds)
    return most


def required(busy: float, z: float) -> int:
    """Environments for a Poisson number of requests at once: mean and z standard deviations."""
    return max(1, math.ceil(busy + z * math.sqrt(busy) - NEGLIGIBLE))


def bearable(count: float, z: float) -> float:
    """The mean that `required` answers with `count`: its inverse."""
    root = (-z + math.sqrt(z * z + 4 * count)) / 2
    return root * root
