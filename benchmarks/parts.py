"""The parts there are to run; each is a module of this package with a `run`."""

from __future__ import annotations

# What `make bench` runs, in under 25 minutes on two cores.
HEADLINE = ("artifacts", "ledger", "encoders", "generators", "cold_start", "load")
# What `make bench-full` runs besides.
REST = (
    "profiles",
    "prefixes",
    "lookup",
    "operators",
    "run_sizes",
    "events",
    "caches",
    "batches",
    "memory",
    "encoders_full",
    "load_full",
)
# Run by name only: an emulator that pip does not install; root and control groups; ten minutes and ten gigabytes;
# a graphics card; an emulator out of a wheel.
ON_REQUEST = ("exactness", "memory_sizes", "builds", "gpu", "endpoint", "endpoint_card", "functions")
