"""A function's memory after many invocations: texts, batches and refusals, all different, leave nothing behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.functions.conftest import EVENTS

ROOT = Path(__file__).parents[2]
INVOCATIONS = 5000
# Enough to fill caches and allocators; growth is measured over the rest.
SETTLED = 1000
PLANTED_BYTES = 1024
# Half of what the planted leak comes to. Measured growth: 24 to 32 KiB in five runs, 4,416 and 4,424 KiB with the leak.
BOUND_KIB = (INVOCATIONS - SETTLED) * PLANTED_BYTES // 1024 // 2

RUN = """
import gc, json, sys
from pathlib import Path
import functions.https.handler as https

def resident_kib():
    gc.collect()
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))

event = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
invocations, settled, leaked_bytes = map(int, sys.argv[2:])
readings, leaked = [], []
for number in range(invocations):
    body = {"inputs": [f"text number {number} of {'many ' * (number % 12)}"] * (1 + number % 3)}
    if number % 50 == 0:
        body = {"inputs": []}
    answer = https.handler({**event, "body": json.dumps(body)}, None)
    assert answer["statusCode"] == (422 if number % 50 == 0 else 200), answer
    if leaked_bytes:
        leaked.append(bytearray(leaked_bytes))
    if number + 1 in (settled, invocations):
        readings.append(resident_kib())
print(json.dumps(readings))
"""


def growth_kib(artifact: Path, leaked_bytes: int) -> int:
    """How much a process with the handler grew after it had settled, if every invocation left so much behind."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "ARTIFACT_DIR": str(artifact),
        # Small enough to be full long before the first reading.
        "HUNDREDFOLD_ENCODING_CACHE_BYTES": "100000",
        "HUNDREDFOLD_RESPONSE_CACHE_BYTES": "100000",
    }
    numbers = [str(number) for number in (INVOCATIONS, SETTLED, leaked_bytes)]
    command = [sys.executable, "-c", RUN, str(EVENTS / "function_url.json"), *numbers]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    before, after = json.loads(done.stdout.splitlines()[-1])
    return int(after - before)


def test_memory_is_flat_over_many_invocations(output: Path) -> None:
    assert growth_kib(output / "toy", 0) < BOUND_KIB


def test_a_leak_of_one_kibibyte_an_invocation_would_be_seen(output: Path) -> None:
    assert growth_kib(output / "toy", PLANTED_BYTES) > BOUND_KIB
