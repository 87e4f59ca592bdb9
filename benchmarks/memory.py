"""Memory of a process that serves: resident bytes after the imports, after the load, and at the peak of writing.

Linux counts pages of mapped files (weights as they lie on disk, which the system may drop) apart from the process's
own; each model runs in a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import encoder_models
from benchmarks import generator_models as models
from benchmarks.process_memory import MAPPED_FILES, PEAK, RESIDENT, mib
from benchmarks.tables import header
from layers.artifact import Manifest

MIB = 2**20
# (model, what it is asked)
WRITERS = {"gpt2": (512, 64, 1), "t5-small": (384, 64, 4), "marian": (64, 64, 4), "llama": (2000, 64, 1)}


def run(say: Callable[..., None]) -> dict[str, Any]:
    """Every shipped variant of every model."""
    encoder_models.prepare(say)
    directories = {encoder_models.NAME: encoder_models.ARTIFACT}
    for name in WRITERS:
        directories[name] = models.prepare(name, say, peers=False)
    found: dict[str, Any] = {}
    for name, directory in directories.items():
        shipped = [variant for variant in Manifest.read(directory).variants if variant.file]
        for variant in shipped:
            command = [sys.executable, "-m", __name__, str(directory), variant.name]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found[f"{name}, {variant.name}"] = {
                "on disk": round(sum((directory / file).stat().st_size for file in variant.files) / MIB, 1),
                **json.loads(done.stdout.splitlines()[-1]),
            }
            say(name, variant.name, found[f"{name}, {variant.name}"])
    return found


def measure(directory: Path, variant: str) -> dict[str, float]:
    """MiB at each stage, in this process."""
    import numpy as np

    from layers.runtime.alignment import Encoding
    from layers.runtime.engine import Engine
    from layers.runtime.generation.continuation import Prompt
    from layers.runtime.generation.engine import GENERATIVE_TASKS, GenerationEngine
    from layers.runtime.generation.options import DecodingOptions

    stages = {"imported": mib(RESIDENT)}
    manifest = Manifest.read(directory)
    if manifest.task not in GENERATIVE_TASKS:
        engine = Engine.load(directory, variant=variant, threads=2)
        engine.warm_up()
        stages["loaded"] = mib(RESIDENT)
        ids = encoder_models.token_ids(384)[0]
        engine.forward([Encoding(ids, np.zeros_like(ids), 0)])
    else:
        writer = GenerationEngine.load(directory, variant=variant, threads=2, prefix_cache_bytes=0)
        writer.warm_up()
        stages["loaded"] = mib(RESIDENT)
        prompt, new, beams = WRITERS[manifest.name]
        ids = np.random.default_rng(0).integers(10, 4000, size=prompt)
        given = Prompt(np.zeros(1, np.int64), ids) if writer.generation.kind == "encoder-decoder" else Prompt(ids)
        writer.generate([given], [DecodingOptions(max_new_tokens=new, num_beams=beams)])
    stages["after the longest request"] = mib(RESIDENT)
    stages["of it mapped files"] = mib(MAPPED_FILES)
    return {**stages, "peak": mib(PEAK)}


def section(measured: dict[str, Any]) -> str:
    """For docs/benchmarks.md."""
    stages = list(next(iter(measured.values())))
    lines = [
        "## Memory of a process that serves",
        "",
        "MiB, resident. The longest request is 384 tokens for BERT-base, 512 and 64 written for GPT-2, 384 and 64 by 4 "
        "beams for T5-small, 64 and 64 by 4 beams for Marian, 2,000 and 64 for the Llama shape. onnxruntime packs "
        "matrices into memory of its own when it opens a graph; the mapped rest is libraries and weights.",
        "",
        header("model, variant", stages),
    ]
    for name, found in measured.items():
        lines.append(f"| {name} | " + " | ".join(f"{found[stage]:.0f}" for stage in stages) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), sys.argv[2])))
