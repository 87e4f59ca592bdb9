"""The ledger's four workloads: a model, a stream of texts that never repeats soon, and what is asked of each text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import cycle
from pathlib import Path
from typing import Any

from benchmarks import example_artifacts, generator_models
from benchmarks.encoder_models import cut, endless_tokenizer, trace
from benchmarks.example_artifacts import ROOT, SECTIONS, WORK
from layers.catalogue import ModelSpec
from layers.compiler.build import build
from layers.compiler.examples import SAMPLES

EVENT = ROOT / "examples/events/classify.json"
CLASSIFY, EMBED = "classify short texts", "embed paragraphs"
WRITE, SUMMARIZE = "write 64 tokens after 512", "summarize 384 tokens in 64"


@dataclass(frozen=True)
class Workload:
    """`tokens` is the length that every text is cut to (None: as it is); `new_tokens` what a model is to write.

    `served` and `fp32` are artifacts; `traced` and `vocabulary` are files that only models which read have.
    """

    name: str
    checkpoint: Path
    task: str
    served: Path
    fp32: Path
    longest: int
    tokens: int | None = None
    new_tokens: int | None = None
    traced: Path | None = None
    vocabulary: Path | None = None
    gate: dict[str, Any] = field(default_factory=dict)

    @property
    def parameters(self) -> dict[str, Any]:
        """Of one request."""
        if self.new_tokens is None:
            return {}
        return {"max_new_tokens": self.new_tokens, "min_new_tokens": self.new_tokens, "do_sample": False}


def workloads() -> dict[str, Workload]:
    """By name, in the ledger's order."""
    accuracy = {"metric": "accuracy", "data": str(SECTIONS / "heldout.jsonl")}
    gpt2, t5 = (generator_models.CHECKPOINTS / name for name in ("gpt2", "t5-small"))
    anything = generator_models.ANY_DROP
    found = (
        _reads(Workload(CLASSIFY, SECTIONS, "text-classification", *_built("debian-sections"), 256, gate=accuracy)),
        _reads(
            Workload(
                EMBED, example_artifacts.minilm_checkpoint(), "feature-extraction", *_built("minilm"), 512, tokens=128
            )
        ),
        Workload(WRITE, gpt2, "text-generation", *_built("gpt2"), 1024, 512, 64, gate=anything),
        Workload(SUMMARIZE, t5, "summarization", *_built("t5-small"), 512, 384, 64, gate=anything),
    )
    return {workload.name: workload for workload in found}


def _built(name: str) -> tuple[Path, Path]:
    """The artifact that is served, shared with the other benchmarks, and the one in fp32."""
    return WORK / "artifacts" / name, WORK / "ledger-fp32" / name


def _reads(workload: Workload) -> Workload:
    folder, name = WORK / "ledger", workload.served.name
    return replace(workload, traced=folder / f"{name}.onnx", vocabulary=folder / f"{name}.txt")


def prepare(workload: Workload, say: Callable[..., None]) -> None:
    """Build the artifact that is chosen and the one in fp32, and the graph and vocabulary of the naive deployments."""
    if workload.new_tokens is not None:
        generator_models.prepare(workload.served.name, say, peers=False)
    else:
        example_artifacts.prepare(say)
    table = {"source": str(workload.checkpoint), "task": workload.task, "precision": "fp32", "gate": workload.gate}
    spec = ModelSpec.model_validate({"name": workload.fp32.name, **table})
    build(spec, ROOT, workload.fp32.parent, "x86_64", say)
    prepare_naive(workload)


def prepare_naive(workload: Workload) -> None:
    """What the deployments on torch read besides the checkpoint, where it is missing."""
    if workload.traced is not None and not workload.traced.exists():
        workload.traced.parent.mkdir(parents=True, exist_ok=True)
        trace(workload.checkpoint, workload.task, workload.traced)
    if workload.vocabulary is not None and not workload.vocabulary.exists():
        content = json.loads((workload.checkpoint / "tokenizer.json").read_text(encoding="utf-8"))
        words: dict[str, int] = content["model"]["vocab"]
        workload.vocabulary.write_text("\n".join(sorted(words, key=words.__getitem__)) + "\n", encoding="utf-8")


def texts(workload: Workload) -> Iterator[str]:
    """Different texts, over and over: short descriptions, or windows of the sample that ships with the compiler."""
    if workload.tokens is None:
        lines = (SECTIONS / "heldout.jsonl").read_text(encoding="utf-8").splitlines()
        return cycle([json.loads(line)["text"] for line in lines])
    return cycle(_windows(workload.checkpoint, workload.tokens))


def _windows(checkpoint: Path, tokens: int) -> list[str]:
    tokenizer = endless_tokenizer(checkpoint)
    lines = (SAMPLES / "texts.jsonl").read_text(encoding="utf-8").splitlines()
    words = " ".join(json.loads(line)["text"] for line in lines).split()
    found = []
    for start in range(0, 20_000, 500):
        found.append(cut(tokenizer, " ".join(words[start % len(words) :][:tokens]), tokens - 2))
    return list(dict.fromkeys(found))


def event(workload: Workload, text: str, *, use_cache: bool) -> dict[str, Any]:
    """A Function URL's event that asks about one text."""
    content: dict[str, Any] = json.loads(EVENT.read_text(encoding="utf-8"))
    body = {"inputs": text, "parameters": workload.parameters, "options": {"use_cache": use_cache}}
    content["body"] = json.dumps(body)
    return content
