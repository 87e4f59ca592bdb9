"""The build of models that write, on real weights: what an artifact holds, what the gate refuses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from layers.artifact import Manifest, verify_files
from layers.catalogue import ModelSpec
from layers.compiler.build import Built, build
from layers.errors import CatalogueError, GateError, UnsupportedError
from layers.generation import Generation
from layers.runtime.predictor import Predictor

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = 15
TASKS = {"debian-writer": "text-generation", "debian-summarizer": "summarization"}

BuildWriter = Callable[..., Built]


@pytest.fixture(scope="module")
def build_writer(tmp_path_factory: pytest.TempPathFactory) -> BuildWriter:
    data = tmp_path_factory.mktemp("data")

    def run(name: str, output: Path, *, gate: dict[str, object] | None = None, **keys: object) -> Built:
        source = ROOT / "examples/models" / name
        path = data / f"{name}.jsonl"
        lines = (source / "heldout.jsonl").read_text(encoding="utf-8").splitlines()[:EXAMPLES]
        path.write_text("\n".join(lines), encoding="utf-8")
        table = {"name": name, "source": str(source), "task": TASKS[name], **keys}
        spec = ModelSpec.model_validate({**table, "gate": {"data": str(path), **(gate or {})}})
        return build(spec, ROOT, output, "x86_64", lambda _line: None)

    return run


@pytest.fixture(scope="module")
def built(build_writer: BuildWriter, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Built]:
    output = tmp_path_factory.mktemp("build")
    return {name: build_writer(name, output) for name in TASKS}


@pytest.mark.parametrize("name", TASKS)
def test_the_artifact_is_whole(name: str, built: dict[str, Built]) -> None:
    manifest = Manifest.read(built[name].directory)
    assert manifest == built[name].manifest
    assert manifest.parity.startswith("transformers 5.")
    assert manifest.outputs == ("logits",)
    assert set(manifest.chosen) == {"x86_64-vnni", "x86_64-avx2"}
    assert "generation.json" in manifest.files
    assert "generation_config.json" in manifest.source.files
    assert {path.name for path in built[name].directory.iterdir()} == {"manifest.json", *manifest.files}
    verify_files(manifest, built[name].directory, list(manifest.files), weights_by_hash=True)
    paired = name == "debian-summarizer"
    for chosen in manifest.chosen.values():
        assert (manifest.variant(chosen).encoder_file == f"encoder.{chosen}.onnx") == paired


@pytest.mark.parametrize("name", TASKS)
def test_candidates_are_judged_by_perplexity_and_timed(name: str, built: dict[str, Built]) -> None:
    manifest = built[name].manifest
    fp32 = manifest.variant("fp32")
    assert (fp32.verdict.metric, fp32.verdict.n, fp32.verdict.drop) == ("perplexity", EXAMPLES - EXAMPLES // 3, 0)
    assert {v.precision for v in manifest.variants} == {"fp32", "int8", "int4"}
    for variant in manifest.variants:
        assert variant.verdict.drop == pytest.approx(variant.verdict.value / fp32.verdict.value - 1)
        assert variant.verdict.value < (1.05 if variant.precision == "int8" else 1.3) * fp32.verdict.value
        assert bool(variant.latency_ms) == variant.verdict.passed
    for chosen in manifest.chosen.values():
        assert {"1"} <= set(manifest.variant(chosen).latency_ms)
        assert all({"prefill 128", "decode"} == set(each) for each in manifest.variant(chosen).latency_ms.values())


@pytest.mark.parametrize("name", TASKS)
def test_goldens_are_what_the_artifact_writes(name: str, built: dict[str, Built]) -> None:
    goldens = Manifest.read(built[name].directory).goldens
    assert 1 <= len(goldens) <= 3
    predictor = Predictor.load(built[name].directory)
    for golden in goldens:
        events = list(predictor.predict_stream(golden.inputs, golden.parameters))
        assert len(events) == golden.parameters["max_new_tokens"]
        assert min(event.logprob for event in events if event.logprob is not None) > -0.52, "sure of every token"
        assert predictor.predict(golden.inputs, golden.parameters).value == golden.outputs


@pytest.mark.parametrize("name", TASKS)
def test_rows_and_positions_are_independent_where_each_row_has_its_range(name: str, built: dict[str, Built]) -> None:
    independent = {variant.name: variant.row_independent for variant in built[name].manifest.variants}
    assert independent["fp32"]
    assert independent["int8-row"]
    assert independent["int8-row-7bit"]
    assert not independent["int8-dynamic"]


def test_generation_json_of_a_decoder(built: dict[str, Built]) -> None:
    generation = Generation.read(built["debian-writer"].directory)
    assert (generation.kind, generation.vocabulary, generation.max_tokens) == ("decoder", 8192, 512)
    assert generation.source_max_tokens is None
    assert (generation.bos_token_id, generation.eos_token_ids, generation.pad_token_id) == (0, (0,), None)
    assert generation.special_token_ids == (0,)
    assert (generation.cache.layers, generation.cache.kv_heads, generation.cache.head_dim) == (5, 8, 32)
    assert (generation.cache.cross_heads, generation.defaults.do_sample) == (0, False)


def test_generation_json_of_an_encoder_decoder(built: dict[str, Built]) -> None:
    generation = Generation.read(built["debian-summarizer"].directory)
    assert (generation.kind, generation.vocabulary, generation.source_max_tokens) == ("encoder-decoder", 8192, 256)
    assert (generation.decoder_start_token_id, generation.eos_token_ids, generation.pad_token_id) == (0, (1,), 0)
    assert (generation.cache.layers, generation.cache.cross_heads, generation.cache.cross_head_dim) == (3, 8, 32)


def test_agreement_with_fp32_is_a_metric_too(build_writer: BuildWriter, tmp_path: Path) -> None:
    manifest = build_writer(
        "debian-summarizer", tmp_path, precision="int8", gate={"metric": "agreement", "max_drop": 0.2}
    ).manifest
    row = manifest.variant("int8-row").verdict
    assert manifest.variant("fp32").verdict.value == 1
    assert 0.85 < row.value < 1
    assert row.drop == pytest.approx(1 - row.value)
    assert {variant.precision for variant in manifest.variants} == {"fp32", "int8"}


def test_a_summarizer_without_targets_is_led_along_what_fp32_writes(build_writer: BuildWriter, tmp_path: Path) -> None:
    data = tmp_path / "sources.jsonl"
    lines = (ROOT / "examples/models/debian-summarizer/heldout.jsonl").read_text(encoding="utf-8").splitlines()[:9]
    data.write_text("\n".join(json.dumps({"text": json.loads(line)["text"]}) for line in lines), encoding="utf-8")
    gate = {"data": str(data)}
    manifest = build_writer("debian-summarizer", tmp_path / "out", precision="fp32", gate=gate).manifest
    verdict = manifest.variant("fp32").verdict
    assert verdict.n == 6
    assert 1 < verdict.value < 10, "what it wrote itself does not surprise it"


def test_another_chat_template_is_another_artifact(build_writer: BuildWriter, tmp_path: Path) -> None:
    """transformers 5 saves it in a file of its own, which is all that changes."""
    source = tmp_path / "source"
    shutil.copytree(ROOT / "examples/models/debian-writer", source)
    for template in ("{{ messages[0].content }}", "Q: {{ messages[0].content }}"):
        (source / "chat_template.jinja").write_text(template, encoding="utf-8")
        built = build_writer("debian-writer", tmp_path / "out", precision="fp32", source=str(source))
        assert not built.reused
        assert Generation.read(built.directory).chat_template == template
    assert build_writer("debian-writer", tmp_path / "out", precision="fp32", source=str(source)).reused


@pytest.mark.parametrize(
    ("keys", "error", "said"),
    [
        ({"task": "summarization"}, UnsupportedError, "no head for task 'summarization'; it can serve text-generation"),
        ({"precision": "fp16"}, UnsupportedError, "'fp16'"),
        ({"gate": {"metric": "accuracy"}}, CatalogueError, "expected one of perplexity, agreement"),
        ({"precision": "int4", "gate": {"max_drop": 0.0}}, GateError, "no int4 variant passed"),
    ],
)
def test_what_cannot_be_built_is_said(
    build_writer: BuildWriter, tmp_path: Path, keys: dict[str, object], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        build_writer("debian-writer", tmp_path, **keys)
    assert not list(tmp_path.iterdir())
