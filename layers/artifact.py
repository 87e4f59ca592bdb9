"""The artifact contract: what `OUTPUT/MODEL/manifest.json` says, and how it is read, written and verified.

The compiler writes it, the runtime serves it, infra reads it. Nothing here opens a model.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from layers.catalogue import ModelSpec
from layers.errors import ArtifactError
from layers.whole_file import write_whole

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
TOKENIZER = "tokenizer.json"

# What a graph's integer products must not saturate on. x86-64 without VNNI adds u8 x s8 pairs in 16
# bits (vpmaddubsw), so signed 8-bit weights are exact on VNNI and on arm64 only.
ProblemType = Literal["single_label_classification", "multi_label_classification", "regression"]
InstructionSet = Literal["x86_64-vnni", "x86_64-avx2", "arm64", "cuda"]
Precision = Literal["fp32", "int8", "int4", "fp16", "bf16"]
INSTRUCTION_SETS: dict[str, tuple[InstructionSet, ...]] = {
    "x86_64": ("x86_64-vnni", "x86_64-avx2"),
    "arm64": ("arm64",),
    # A graphics card: not a processor's instruction set, but chosen, shipped and served in the same way.
    "cuda": ("cuda",),
}
AS_SERVED = "as served"
# A draft's only: a graph that is judged in the place of one this machine cannot run.
STAND_IN = "stand-in"


class Record(BaseModel):
    """One part of the manifest: immutable; fields a newer minor version added are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class FileRecord(Record):
    """A file of the artifact or of the checkpoint it was built from."""

    sha256: str
    bytes: int


class Source(Record):
    """Where the checkpoint came from, with the hash of every file that was read."""

    location: str
    revision: str | None
    files: dict[str, FileRecord]


class Limits(Record):
    """What the model can take. `max_tokens` counts special tokens."""

    max_tokens: int


class TokenizerFacts(Record):
    """What tasks must know of the tokenizer beyond its file; an id is None where it has no such token.

    `cleans_up_spaces`: its decode takes the spaces before punctuation away. `truncation_side`: where a text that is too
    long is cut, unless a request says otherwise.
    """

    mask_token_id: int | None = None
    unk_token_id: int | None = None
    cls_token_id: int | None = None
    cleans_up_spaces: bool = False
    truncation_side: Literal["left", "right"] = "right"


class Pooling(Record):
    """How `sentence_embedding` is made; `stated` is false when the checkpoint has no `modules.json`.

    `prompts` maps a prompt's name to the text put before every input (sentence-transformers). `lowercase`: texts are
    made lower case before they are encoded (`do_lower_case` of the checkpoint).
    """

    mode: Literal["cls", "mean", "max", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]
    normalize: bool
    stated: bool
    dimension: int
    prompts: dict[str, str] = {}
    default_prompt_name: str | None = None
    lowercase: bool = False


class Verdict(Record):
    """The gate's finding for one variant; paired with fp32 on the same examples.

    `drop` is relative for metrics where a loss is a share of fp32, 1 - mean for cosine.
    `interval` is the 95% confidence interval of the drop. `distinguishable` is false when it holds 0.
    """

    metric: str
    value: float
    reference: float
    drop: float
    max_drop: float
    n: int
    interval: tuple[float, float]
    distinguishable: bool
    passed: bool


class SessionSettings(Record):
    """What a variant runs with: at most so many `threads` (None: the processor's share), which wait awake."""

    threads: int | None = None
    spinning: bool = True

    def bounded(self, threads: int) -> int:
        """How many of the threads that an environment allows are used."""
        return threads if self.threads is None else min(threads, self.threads)


class Trial(Record):
    """One alternative that was timed against what stood then: how many times as fast it was, with a 95% interval."""

    axis: str
    value: str
    instead_of: str
    gain: float
    interval: tuple[float, float]
    kept: bool
    why: str = ""


class Tuned(Record):
    """What tuning found for a variant; `gain` is that of all it kept together, over the default operators.

    `origin` says where it was measured: in this build, or in a decision known before it.
    """

    gain: float
    interval: tuple[float, float]
    origin: str
    trials: tuple[Trial, ...] = ()


class Variant(Record):
    """One candidate: shipped when `file` is set, otherwise reported only. An encoder-decoder has a second graph.

    `latency_ms` maps threads -> tokens -> median milliseconds at batch 1 (keys are strings, as in JSON);
    empty where it was not measured. `fused_nodes` counts ONNX operators in the graph. `judged` says what the gate ran:
    the graph as it is served, or what stood in for a machine the build did not have. `overflows` names layers that
    values beyond float16's range reach, where that is why it failed. `operators` are those that are not the default, by
    axis (docs/tuning.md); `session` is what it runs with.
    """

    name: str
    precision: Precision
    exact_on: tuple[InstructionSet, ...]
    bytes: int
    file: str | None
    weights_file: str | None
    encoder_file: str | None = None
    encoder_weights_file: str | None = None
    verdict: Verdict
    row_independent: bool
    kept_fp32: tuple[str, ...]
    latency_ms: dict[str, dict[str, float]]
    fused_nodes: dict[str, int]
    judged: str = AS_SERVED
    overflows: tuple[str, ...] = ()
    operators: dict[str, str] = {}
    session: SessionSettings = SessionSettings()
    tuned: Tuned | None = None

    @property
    def on_card(self) -> bool:
        """Whether its files are for a graphics card; what stands in for them while they are judged is not."""
        return self.exact_on == ("cuda",) and self.judged != STAND_IN

    @property
    def files(self) -> tuple[str, ...]:
        """Every file of the variant; none when it is reported only."""
        names = (self.file, self.weights_file, self.encoder_file, self.encoder_weights_file)
        return tuple(name for name in names if name is not None)


class Golden(Record):
    """An input (and its parameters) with the chosen variant's answer, per task shape; checked after deployment."""

    inputs: Any
    parameters: dict[str, Any] = {}
    outputs: Any
    tolerance: float


class Manifest(Record):
    """Everything there is to know about an artifact."""

    schema_version: int
    name: str
    digest: str
    spec: ModelSpec
    source: Source
    architecture: str
    task: str
    labels: tuple[str, ...]
    problem_type: ProblemType | None
    limits: Limits
    pad_token_id: int
    tokenizer: TokenizerFacts = TokenizerFacts()
    pooling: Pooling | None
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    target: str
    variants: tuple[Variant, ...]
    chosen: dict[InstructionSet, str]
    parity: str
    unused_tensors: tuple[str, ...]
    goldens: tuple[Golden, ...]
    files: dict[str, FileRecord]
    versions: dict[str, str]

    def variant(self, name: str) -> Variant:
        """The variant of that name. Raises ArtifactError when the manifest has none."""
        for variant in self.variants:
            if variant.name == name:
                return variant
        raise ArtifactError(
            f"{self.name}: no variant {name!r}; the manifest has {', '.join(v.name for v in self.variants)}"
        )

    def variant_for(self, instruction_set: InstructionSet) -> Variant:
        """The variant chosen for a machine. Raises ArtifactError when the artifact was built for others."""
        if instruction_set not in self.chosen:
            raise ArtifactError(
                f"{self.name}: this machine is {instruction_set}, the artifact was built for "
                f"{', '.join(self.chosen)}. Build it again with --target {instruction_set.split('-')[0]}."
            )
        return self.variant(self.chosen[instruction_set])

    @classmethod
    def read(cls, directory: Path) -> Self:
        """Read `manifest.json`. Raises ArtifactError when it is absent, broken or of another schema."""
        path = directory / MANIFEST
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise ArtifactError(
                f"{directory}: no {MANIFEST}. Build the model first: python build_artifacts.py {directory.name}"
            ) from error
        except ValueError as error:
            raise ArtifactError(f"{path}: not JSON ({error}). Build the model again.") from error
        version = content.get("schema_version") if isinstance(content, dict) else None
        if version != SCHEMA_VERSION:
            raise ArtifactError(
                f"{path}: schema version {version!r}, this runtime reads {SCHEMA_VERSION}. "
                "Build the model again with this release."
            )
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise ArtifactError(f"{path}: {error.error_count()} fields are not valid: {error}") from error

    def write(self, directory: Path) -> None:
        """Write `manifest.json` with sorted keys, so that equal manifests are equal bytes."""
        text = json.dumps(self.model_dump(mode="json"), indent=1, sort_keys=True, ensure_ascii=False)
        # Half a manifest would make an artifact that is served useless.
        write_whole(directory / MANIFEST, f"{text}\n".encode())


def record_file(path: Path) -> FileRecord:
    """Hash a file in one pass."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256")
    return FileRecord(sha256=digest.hexdigest(), bytes=path.stat().st_size)


def verify_files(manifest: Manifest, directory: Path, names: list[str], *, weights_by_hash: bool) -> None:
    """Check the named files against the manifest: by hash, weights (`*.data`) by size unless asked.

    Hashing weights would read every page of a memory-mapped file at start; see docs/architecture.md.
    Raises ArtifactError naming the file that differs.
    """
    for name in names:
        path = directory / name
        expected = manifest.files.get(name)
        if expected is None or not path.is_file():
            raise ArtifactError(f"{manifest.name}: {name} is missing from {directory}. Build the model again.")
        size = path.stat().st_size
        if size != expected.bytes:
            raise ArtifactError(
                f"{manifest.name}: {name} has {size} bytes, the manifest says {expected.bytes}. Build the model again."
            )
        if (weights_by_hash or path.suffix != ".data") and record_file(path).sha256 != expected.sha256:
            raise ArtifactError(f"{manifest.name}: {name} does not match the manifest's sha256. Build the model again.")
