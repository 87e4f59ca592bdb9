"""What a build takes, the whole command in a process of its own: wall time, and the peak of resident memory.

BERT-base with every candidate, as it comes out of `build_artifacts.py`; and a Llama of a billion parameters in sharded
bfloat16, whose fp32 weights (3.7 GB) are beyond the 2 GB that an ONNX file can hold.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks import encoder_models, generator_models
from benchmarks.example_artifacts import ROOT, WORK
from benchmarks.few_texts import write_few_texts

LARGE = WORK / "checkpoints" / "llama-1b"
SCRATCH = WORK / "builds"


def run(say: Callable[..., None]) -> dict[str, Any]:
    """Build both, each from nothing."""
    encoder_models.prepare(say)
    if not LARGE.exists():
        say("making a Llama of a billion parameters")
        _large_checkpoint()
    bert = {"source": str(encoder_models.CHECKPOINT), "task": "text-classification", "gate": encoder_models.GATE}
    SCRATCH.mkdir(parents=True, exist_ok=True)
    write_few_texts()
    large = {
        "source": str(LARGE),
        "task": "text-generation",
        "precision": "int8",
        "gate": generator_models.ANY_DROP,
    }
    found = {}
    for name, table in (("bert-base", bert), ("llama-1b", large)):
        found[name] = _build(name, table)
        say(name, found[name])
    return found


def _build(name: str, table: dict[str, Any]) -> dict[str, Any]:
    """Seconds, MiB and sizes of one build into an empty folder."""
    output = SCRATCH / "artifacts"
    shutil.rmtree(output, ignore_errors=True)
    catalogue = SCRATCH / "models.toml"
    lines = [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items() if key != "gate")]
    lines += [f"[{name}.gate]", *(f"{key} = {json.dumps(value)}" for key, value in table["gate"].items())]
    catalogue.write_text("\n".join(lines) + "\n", encoding="utf-8")
    command = [sys.executable, "build_artifacts.py", name, "--catalog", str(catalogue), "--output", str(output)]
    started = perf_counter()
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONWARNINGS": "ignore"}
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = perf_counter() - started
    if status:
        raise RuntimeError(f"the build of {name} ended with status {status}")
    manifest = json.loads((output / name / "manifest.json").read_text(encoding="utf-8"))
    sizes = {variant["name"]: round(variant["bytes"] / 2**20) for variant in manifest["variants"]}
    checkpoint = sum(path.stat().st_size for path in Path(table["source"]).glob("*.safetensors"))
    shutil.rmtree(output)
    return {
        "seconds": round(seconds, 1),
        "peak_mib": round(usage.ru_maxrss / 1024),
        "checkpoint_mib": round(checkpoint / 2**20),
        "variants_mib": sizes,
        "chosen": manifest["chosen"],
    }


def _large_checkpoint() -> None:
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=32000,
        hidden_size=2048,
        intermediate_size=5632,
        num_hidden_layers=18,
        num_attention_heads=32,
        num_key_value_heads=4,
        max_position_embeddings=2048,
    )
    model = transformers.LlamaForCausalLM(config).to(torch.bfloat16)
    model.save_pretrained(LARGE, max_shard_size="500MB")
    source = ROOT / "examples/models/debian-writer"
    transformers.AutoTokenizer.from_pretrained(source).save_pretrained(LARGE)


def section(measured: dict[str, Any]) -> str:
    """For docs/benchmarks.md."""
    lines = [
        "## Builds",
        "",
        "The whole command from nothing, one run; the comparison with transformers holds a second model in memory.",
        "",
        "| model | seconds | peak memory, MiB | checkpoint, MiB | largest variant, MiB | smallest variant, MiB |",
        "|---|---|---|---|---|---|",
    ]
    for name, found in measured.items():
        sizes = found["variants_mib"].values()
        figures = (found["seconds"], found["peak_mib"], found["checkpoint_mib"], max(sizes), min(sizes))
        lines.append(f"| {name} | " + " | ".join(f"{figure:,.0f}" for figure in figures) + " |")
    return "\n".join(lines)
