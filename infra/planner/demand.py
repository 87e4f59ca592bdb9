"""Demand over a month, and what a Poisson stream of it does to environments: how many are busy, how many start cold."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

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
        return cls(traffic.requests_per_second, traffic.peak, traffic.busy_hours_per_day)

    def scaled_to(self, rate: float) -> Demand:
        """The same day at another rate; the peak keeps its distance."""
        return Demand(rate, rate * self.peak / self.rate if self.rate else rate, self.busy_hours)

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

    def starts(self, idle_seconds: float) -> float:
        """Cold starts a second: its last request is longer ago than it lives idle. Requests are a Poisson stream."""
        return self.served * math.exp(-self.served * idle_seconds)

    def billed_starts(self, idle_seconds: float) -> float:
        """The most there are at this demand or any lower one; once in `idle_seconds` is worst."""
        served = min(self.served, 1 / idle_seconds)
        return served * math.exp(-served * idle_seconds)


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
    """Share of requests that start an environment. The first `provisioned` ones never go away."""
    if rate == 0:
        return 0.0 if provisioned else 1.0
    on_demand = islice(environments(rate, service_seconds), provisioned, None)
    return sum(environment.starts(idle_seconds) for environment in on_demand) / rate


def billed_cold_rate(rate: float, service_seconds: float, idle_seconds: float, provisioned: int = 0) -> float:
    """Cold starts a second to pay for: demand dips, and the bill should not be a surprise."""
    on_demand = islice(environments(rate, service_seconds), provisioned, None)
    return sum(environment.billed_starts(idle_seconds) for environment in on_demand)


def most_of(mean: float, z: float) -> float:
    """What a Poisson number stays below: its mean and z standard deviations, which are its root."""
    return mean + z * math.sqrt(mean)


def mean_below(count: float, z: float) -> float:
    """The mean that `most_of` takes to `count`: its inverse."""
    root = (-z + math.sqrt(z * z + 4 * count)) / 2
    return root * root
