"""What functions reserve of an account's concurrent executions in a region, which all of its functions share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from layers.catalogue import DeploySpec, Trigger

# AWS's default, and what of any quota Lambda keeps for functions that reserve nothing.
DEFAULT_QUOTA = 1000
UNRESERVED = 100
# The function that the golden check alone asks, where no trigger is HTTPS.
CHECKED = 1
MOST_NAMED = 8


def reservable(quota: int) -> int:
    """How much functions may reserve together."""
    return max(0, quota - UNRESERVED)


def reserved_each(deploy: DeploySpec, needed: int) -> int:
    """By each function: what the table states, or else what the plan needs, and no less than the table's default."""
    stated = "concurrency" in deploy.model_fields_set
    return deploy.concurrency if stated else max(deploy.concurrency, needed)


def reserved_by(triggers: Sequence[Trigger], each: int) -> int:
    """By a model, or a group: one function for each trigger, and one more to be checked where there is no URL."""
    return each * len(triggers) + (0 if "https" in triggers else CHECKED)


def excess(reserved: Mapping[str, int], quota: int) -> str | None:
    """Why these models or groups cannot reserve so much together; None where they can."""
    total, most = sum(reserved.values()), reservable(quota)
    if total <= most:
        return None
    largest = sorted(reserved, key=lambda name: -reserved[name])
    named = [f"{name} {reserved[name]:,}" for name in largest[:MOST_NAMED]]
    more = len(largest) - len(named)
    return (
        f"{', '.join(named)}{f' and {more} more' if more else ''}: got {total:,} concurrent executions reserved by all "
        f"functions, one a trigger; expected at most {most:,}: an account has {quota:,} in a region, of which "
        f"{UNRESERVED} stay unreserved. Lower concurrency or take triggers out of [MODEL.deploy], or lower the stage's "
        "max_concurrency; or have AWS raise the quota, and state it (account_concurrency of the stage, "
        "--account-concurrency of the planner)."
    )
