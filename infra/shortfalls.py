"""What a stack has less of than the plan needs, or is not known to need: allowed, and said at each deployment."""

from __future__ import annotations

from collections.abc import Iterator

from infra.sizing import MOST_MIB, EndpointSize, FunctionSize, Size


def shortfalls(name: str, size: Size) -> Iterator[tuple[str, str]]:
    """Id and text of each warning of a deployment of that name."""
    yield from _of_function(name, size.function)
    if size.endpoint is not None:
        yield from _of_endpoint(name, size.endpoint)


def _of_function(name: str, size: FunctionSize) -> Iterator[tuple[str, str]]:
    if size.concurrency < size.needed:
        yield (
            "hundredfold:concurrency",
            f"{name}: got {size.concurrency} environments at once, the plan needs {size.needed} for [traffic]: "
            "requests beyond are answered with 429. Raise [deploy] concurrency and the stage's max_concurrency, or "
            "lower [traffic].",
        )
    if size.memory_mib < size.needed_mib and size.memory_mib < MOST_MIB:
        yield (
            "hundredfold:memory",
            f"{name}: got {size.memory_mib:,} MiB, its largest model needs {size.needed_mib:,}: the function is killed "
            "when it loads it, which fails the golden check. Raise [deploy] memory_mib, or leave it to the plan.",
        )
    elif size.memory_mib < size.needed_mib:
        yield (
            "hundredfold:memory",
            f"{name}: got {size.memory_mib:,} MiB, the most that Lambda has, its models need {size.needed_mib:,}: they "
            "are given up for one another's memory, and loaded again when they are asked. Divide the group, or deploy "
            "to a GPU.",
        )


def _of_endpoint(name: str, size: EndpointSize) -> Iterator[tuple[str, str]]:
    if size.maximum < size.needed:
        late = "are answered late or with 429" if size.mode == "realtime" else "wait longer"
        yield (
            "hundredfold:instances",
            f"{name}: got at most {size.maximum} instances of {size.instance_type}, the plan needs {size.needed} for "
            f"[traffic]: requests beyond {late}. Raise the stage's max_instances, or lower [traffic].",
        )
    if size.guessed and size.mode == "realtime":
        yield (
            "hundredfold:guessed-scaling",
            f"{name}: what one {size.instance_type} takes is not known: another is added beyond "
            f"{size.invocations_per_minute:g} invocations a minute of each, which is [traffic] requests_per_second. "
            "Measure one, and state its rate there.",
        )
