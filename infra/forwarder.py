"""The function before an endpoint, as the stacks make it and the planner prices it: a zip without a model."""

from __future__ import annotations

from infra.planner.prices import Architecture

ARCHITECTURE: Architecture = "arm64"
# It waits for the network: a quarter of a CPU is more than it uses.
MEMORY_MIB = 512
