"""CloudFormation's names for what the catalogue calls otherwise.

A stack's id stays the model's name, so that `cdk deploy MODEL` works as written; CloudFormation's own
name takes letters, digits and hyphens, and starts with a letter.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from layers.errors import CatalogueError

LONGEST = 128
HASH_DIGITS = 8


def stack_name(name: str, prefix: str = "") -> str:
    """`bge-small-v1.5` becomes `bge-small-v1-5`; a name that starts with a digit gets `m-` before it."""
    legal = prefix + re.sub(r"[^A-Za-z0-9-]", "-", name)
    return (legal if legal[0].isalpha() else f"m-{legal}")[:LONGEST]


def single_hyphens(name: str) -> str:
    """As it is where no two hyphens meet and none ends it; else without those, and with eight digits of its hash."""
    single = re.sub("-+", "-", name).rstrip("-")
    return name if single == name else f"{single}-{_digits(name)}"


def shortened(name: str, longest: int) -> str:
    """As it is where it fits; else its beginning and eight digits of its hash, so that no two become one."""
    if len(name) <= longest:
        return name
    return f"{name[: longest - HASH_DIGITS - 1].rstrip('-')}-{_digits(name)}"


def check_distinct(names: Iterable[str], prefix: str = "") -> None:
    """Raises CatalogueError when two names would become one stack."""
    owners: dict[str, str] = {}
    for name in names:
        legal = stack_name(name, prefix)
        if legal in owners:
            raise CatalogueError(
                f"models {owners[legal]!r} and {name!r} would both be the stack {legal!r}. Rename one in the catalogue."
            )
        owners[legal] = name


def _digits(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:HASH_DIGITS]
