"""On a graphics card: BERT-base, GPT-2 and T5-small against torch eager and torch.compile with CUDA graphs, one run.

Answers are compared with fp32 on the processor before anything is timed: what is wrong is not measured.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import onnxruntime

from benchmarks import gpu_encoders, gpu_generators, gpu_models
from benchmarks.contest import hold_between

ROUNDS = 8
THREADS = 4


def run(say: Callable[..., None]) -> dict[str, Any]:
    """Prepare, hold both contests, give their standings and the card's name."""
    gpu_models.prepare(say)
    measured = {
        "card": card(),
        "onnxruntime": onnxruntime.__version__,
        "encoders": hold_between(
            gpu_encoders.CONTENDERS, gpu_encoders.__name__, gpu_encoders.CASES, THREADS, say, ROUNDS
        ),
    }
    print_table(measured["encoders"], say)
    measured["generators"] = hold_between(
        gpu_generators.CONTENDERS, gpu_generators.__name__, gpu_generators.CASES, THREADS, say, ROUNDS
    )
    print_table(measured["generators"], say)
    return measured


def card() -> str:
    """Name and driver of the first card."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    found = subprocess.run(query, capture_output=True, text=True, check=True).stdout.splitlines()[0]
    name, driver = (part.strip() for part in found.split(","))
    return f"{name}, driver {driver}"


def print_table(contest: dict[str, Any], say: Callable[..., None]) -> None:
    """Medians in milliseconds, a line for each contender."""
    cases = contest["cases"]
    say(f"{'ms':36}" + "".join(f"{case:>18}" for case in cases))
    for standing in contest["standings"]:
        cells = (standing["results"].get(case, {}).get("median_ms") for case in cases)
        say(f"{standing['name']:36}" + "".join(f"{'' if cell is None else cell:>18}" for cell in cells))
        say(f"    {standing['error'] or standing['facts']}")
