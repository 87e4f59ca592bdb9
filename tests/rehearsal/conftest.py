"""Where images are published to: a registry on loopback where this machine runs containers, and nowhere otherwise.

Run by `make cdk-test`; `make test` leaves this folder out. The summary says which of the two it was.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from benchmarks.emulator import free_ports
from tests.image.containers import prepare
from tests.image.containers import why_not as why_no_containers
from tests.rehearsal import registry as registries
from tests.rehearsal.cdk import ROOT

# Shared with `make image-test`: the base that it makes is used here.
WORK = ROOT / "build" / "image-test"

os.environ.update(prepare(WORK))
REASON = registries.why_not() or why_no_containers(WORK)


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[registries.Registry | None]:
    """The registry, or None where none can be had; what is then not looked at is in the summary."""
    if REASON:
        yield None
        return
    [port] = free_ports(1)
    with registries.running_registry(tmp_path_factory.mktemp("registry"), port) as running:
        yield running


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says what the results are worth."""
    passed = len(terminalreporter.stats.get("passed", []))
    how = f"WITHOUT an image ({REASON}): nothing was built, pushed or fetched" if REASON else "with its image published"
    terminalreporter.write_line(f"cdk-test: {passed} passed {how}.")
