"""The build on real weights: what an artifact holds, what the gate refuses, what a second build reuses."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from layers.artifact import Manifest, verify_files
from layers.catalogue import ModelSpec
from layers.compiler.build import Built, build
from layers.errors import ArtifactError, CatalogueError, CheckpointError, GateError, UnsupportedError
from layers.runtime.engine import Engine
from layers.runtime.predictor import Predictor

ROOT = Path(__file__).resolve().parents[2]
SECTIONS = ROOT / "examples/models/debian-sections"
EXAMPLES = 64

BuildSections = Callable[..., Built]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first held-out examples: enough to judge, few enough to be quick."""
    path = tmp_path_factory.mktemp("data") / "heldout.jsonl"
    lines = (SECTIONS / "heldout.jsonl").read_text(encoding="utf-8").splitlines()[:EXAMPLES]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def build_sections(data: Path) -> BuildSections:
    def run(
        output: Path,
        *,
        gate: dict[str, object] | None = None,
        target: str = "x86_64",
        lines: list[str] | None = None,
        **keys: object,
    ) -> Built:
        table = {"name": "sections", "source": str(SECTIONS), "task": "text-classification", **keys}
        spec = ModelSpec.model_validate({**table, "gate": {"data": str(data), **(gate or {})}})
        return build(spec, ROOT, output, target, [].append if lines is None else lines.append)

    return run


@pytest.fixture(scope="module")
def built(build_sections: BuildSections, tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build_sections(tmp_path_factory.mktemp("build"))


def test_the_manifest_tells_everything(built: Built) -> None:
    manifest = Manifest.read(built.directory)
    assert manifest == built.manifest
    assert manifest.architecture == "distilbert"
    assert manifest.labels[:3] == ("libs", "libdevel", "python")
    assert manifest.problem_type == "single_label_classification"
    assert manifest.limits.max_tokens == 256
    assert manifest.parity.startswith("transformers 5.")
    assert set(manifest.source.files) == {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    fp32 = manifest.variant("fp32")
    assert (fp32.verdict.n, fp32.verdict.drop) == (EXAMPLES - -(-EXAMPLES // 3), 0)
    assert fp32.fused_nodes["MultiHeadAttention"] == 4
    assert fp32.fused_nodes["LayerNormalization"] == 9


def test_every_instruction_set_is_served_what_is_exact_on_it(built: Built) -> None:
    manifest = built.manifest
    assert set(manifest.chosen) == {"x86_64-vnni", "x86_64-avx2"}
    for instruction_set, name in manifest.chosen.items():
        variant = manifest.variant(name)
        assert instruction_set in variant.exact_on
        assert variant.verdict.passed
    assert not manifest.variant("int8-static").exact_on.count("x86_64-avx2")


def test_only_what_is_served_is_shipped(built: Built) -> None:
    served = set(built.manifest.chosen.values())
    files = {variant.file for variant in built.manifest.variants if variant.file}
    assert files == {f"model.{name}.onnx" for name in served}
    on_disk = {path.name for path in built.directory.iterdir()}
    assert on_disk == {"manifest.json", *built.manifest.files}
    verify_files(built.manifest, built.directory, list(built.manifest.files), weights_by_hash=True)
    assert not list(built.directory.parent.glob(".*")), "nothing is left beside the artifact"


def test_latencies_are_measured_for_what_passed(built: Built) -> None:
    chosen = built.manifest.variant(built.manifest.chosen["x86_64-vnni"])
    assert all({"8", "32", "128"} == set(by_length) for by_length in chosen.latency_ms.values())
    assert "1" in chosen.latency_ms


def test_goldens_are_what_is_served(built: Built) -> None:
    predictor = Predictor.load(built.directory)
    assert len(built.manifest.goldens) == 3
    for golden in built.manifest.goldens:
        assert predictor.predict(golden.inputs, golden.parameters).value == golden.outputs


def test_rows_are_independent_where_ranges_are_fixed_or_per_row(built: Built) -> None:
    independent = {variant.name: variant.row_independent for variant in built.manifest.variants}
    assert independent["fp32"]
    assert independent["int8-static"]
    assert independent["int8-row"]
    assert not independent["int8-dynamic"]


def test_the_same_inputs_are_not_built_twice(built: Built, build_sections: BuildSections) -> None:
    before = (built.directory / "manifest.json").stat().st_mtime_ns
    again = build_sections(built.directory.parent)
    assert again.reused
    assert (built.directory / "manifest.json").stat().st_mtime_ns == before
    assert again.manifest == built.manifest


def test_a_reused_artifact_carries_todays_traffic(built: Built, build_sections: BuildSections) -> None:
    again = build_sections(built.directory.parent, traffic={"requests_per_second": 7.0})
    assert again.reused
    assert Manifest.read(built.directory).spec.traffic.requests_per_second == 7.0
    build_sections(built.directory.parent)


def test_precision_fp32_needs_no_data_and_is_judged_alone(tmp_path: Path) -> None:
    spec = ModelSpec(name="plain", source=str(SECTIONS), task="text-classification", precision="fp32")
    manifest = build(spec, ROOT, tmp_path, "x86_64", lambda _line: None).manifest
    assert [variant.name for variant in manifest.variants] == ["fp32"]
    assert set(manifest.chosen.values()) == {"fp32"}


def test_a_build_cut_off_while_it_replaces_loses_neither(
    built: Built, build_sections: BuildSections, tmp_path: Path
) -> None:
    final = shutil.copytree(built.directory, tmp_path / "sections")
    to_come: list[Path] = [final]

    def interrupt(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "os.rename" and to_come and Path(arguments[1]) == to_come[0]:
            to_come.clear()
            raise KeyboardInterrupt

    sys.addaudithook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        build_sections(tmp_path, precision="fp32")
    # The new one was whole, and is found again.
    assert build_sections(tmp_path, precision="fp32").reused
    assert [path.name for path in tmp_path.glob("*sections*")] == ["sections"]


def test_int8_by_name_that_fails_writes_nothing(build_sections: BuildSections, tmp_path: Path) -> None:
    with pytest.raises(GateError, match=r"dropped .*allowed 0\.00%.*Nothing was written"):
        build_sections(tmp_path, precision="int8", gate={"metric": "logit_error", "max_drop": 0.0})
    assert not list(tmp_path.iterdir())


def test_auto_ships_fp32_when_nothing_else_passes(build_sections: BuildSections, tmp_path: Path) -> None:
    lines: list[str] = []
    built = build_sections(tmp_path, gate={"metric": "logit_error", "max_drop": 0.0}, lines=lines)
    assert set(built.manifest.chosen.values()) == {"fp32"}
    assert not any(v.verdict.passed for v in built.manifest.variants if v.name != "fp32")
    assert any("failed" in line for line in lines)


def test_layers_that_hurt_are_kept_in_fp32_until_it_passes(build_sections: BuildSections, tmp_path: Path) -> None:
    plain = build_sections(tmp_path / "plain", gate={"metric": "logit_error", "max_drop": 1.0}).manifest
    batched = [v.verdict.value for v in plain.variants if v.precision == "int8" and v.row_independent]
    bar = min(batched) * 0.95
    helped = build_sections(tmp_path / "helped", gate={"metric": "logit_error", "max_drop": bar}).manifest
    kept = {variant.name: variant for variant in helped.variants if variant.kept_fp32}
    assert kept, "nothing was helped"
    for name, variant in kept.items():
        whole = plain.variant(name)
        assert variant.verdict.value < whole.verdict.value
        assert variant.fused_nodes["FusedMatMul"] > whole.fused_nodes["FusedMatMul"]


def test_nothing_is_mended_where_another_form_passed_whole(build_sections: BuildSections, tmp_path: Path) -> None:
    plain = build_sections(tmp_path / "plain", gate={"metric": "logit_error", "max_drop": 1.0}).manifest
    bar = plain.variant("int8-row-7bit").verdict.value * 1.01
    judged = build_sections(tmp_path / "judged", gate={"metric": "logit_error", "max_drop": bar}).manifest
    assert not all(variant.verdict.passed for variant in judged.variants)
    assert not any(variant.kept_fp32 for variant in judged.variants)


def test_arm64_is_chosen_without_pretending_to_have_timed_it(build_sections: BuildSections, tmp_path: Path) -> None:
    manifest = build_sections(tmp_path, target="arm64").manifest
    assert set(manifest.chosen) == {"arm64"}
    assert not any(variant.latency_ms for variant in manifest.variants)


def test_a_card_is_built_for_without_one(build_sections: BuildSections, tmp_path: Path) -> None:
    """The graphs are the card's; the gate heard what stands in for them, and the manifest says so."""
    said: list[str] = []
    built = build_sections(tmp_path, target="cuda", lines=said)
    manifest = Manifest.read(built.directory)
    assert manifest.chosen == {"cuda": "fp16"}
    variants = {variant.name: variant for variant in manifest.variants}
    assert set(variants) == {"fp32", "fp16", "bf16", "fp32-cuda"}
    half = variants["fp16"]
    assert (half.verdict.passed, half.row_independent, half.on_card) == (True, True, True)
    assert "every value rounded to float16" in half.judged
    assert variants["fp32"].judged == "as served"
    assert half.bytes < 0.55 * variants["fp32"].bytes
    assert half.fused_nodes["Attention"] == 4
    assert not any(variant.latency_ms for variant in manifest.variants)
    assert any("tuning/cuda.toml" in line for line in said)
    assert {path.name for path in built.directory.iterdir()} == {"manifest.json", *manifest.files}
    assert manifest.goldens[0].tolerance == 1e-2
    with pytest.raises(ArtifactError, match=r"this machine is .* built for cuda\..* --target x86_64"):
        manifest.variant_for("x86_64-vnni")


def test_where_nothing_passes_on_a_card_the_best_is_named(build_sections: BuildSections, tmp_path: Path) -> None:
    """fp32 of a processor is no variant of a card's, so "auto" has nothing to fall back to either."""
    with pytest.raises(GateError) as refused:
        build_sections(tmp_path / "out", target="cuda", gate={"metric": "logit_error", "max_drop": 0.0})
    said = str(refused.value)
    assert "no variant passed the gate for cuda. The best, fp32-cuda, has logit_error" in said
    assert "or raise gate.max_drop. Nothing was written." in said
    assert 'Use precision = "auto"' not in said


def test_layers_beyond_float16_are_named(build_sections: BuildSections, tmp_path: Path) -> None:
    """One channel of a feed-forward is near 100,000, which float16 has not and the next product brings back to 1."""
    source = tmp_path / "wide"
    shutil.copytree(SECTIONS, source)
    tensors = {name: value.astype(np.float32) for name, value in load_file(source / "model.safetensors").items()}
    at = "distilbert.transformer.layer.1.ffn"
    tensors[f"{at}.lin1.bias"][3] = 1e5
    tensors[f"{at}.lin2.weight"][:, 3] = 1e-5
    save_file(tensors, source / "model.safetensors")
    manifest = build_sections(tmp_path / "out", target="cuda", source=str(source), gate={"max_drop": 0.05}).manifest
    half = manifest.variant("fp16")
    assert (half.verdict.passed, half.verdict.metric) == (False, "not finite")
    assert half.overflows == (f"{at}.lin2",)
    assert manifest.chosen == {"cuda": "bf16"}
    with pytest.raises(GateError, match=r'no fp16 .* for cuda: answers are not finite\. Use precision = "auto"'):
        build_sections(tmp_path / "half", target="cuda", source=str(source), precision="fp16")


@pytest.mark.parametrize(
    ("keys", "error", "said"),
    [
        ({"target": "cuda", "precision": "int4"}, UnsupportedError, "no variant for cuda and text-classification"),
        ({"source": "examples/models/nowhere"}, CheckpointError, "not a directory"),
        ({"task": "summarization"}, UnsupportedError, "no head for task 'summarization'; it can serve text-cl"),
        ({"precision": "fp16"}, UnsupportedError, "'fp16' has no CPU variant for text-classification"),
        ({"precision": "int4"}, UnsupportedError, "expected one of auto, fp32, int8"),
        ({"target": "riscv"}, UnsupportedError, "'riscv'"),
        ({"gate": {"metric": "perplexity"}}, CatalogueError, "cannot be computed for text-classification"),
        ({"gate": {"data": "nowhere.jsonl"}}, CatalogueError, "does not exist"),
    ],
)
def test_what_cannot_be_built_is_said_before_any_work(
    build_sections: BuildSections, tmp_path: Path, keys: dict[str, object], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        build_sections(tmp_path / "out", **keys)
    assert not list(tmp_path.glob("out/*"))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"text": 5}', "line 12 is not a text-classification example"),
        ("not json", "line 12 is not"),
        ('{"text": "fine", "label": "no such label"}', "label 'no such label' is none of the model's 30"),
    ],
)
def test_bad_gate_data_is_named_by_line(
    build_sections: BuildSections, data: Path, tmp_path: Path, line: str, said: str
) -> None:
    good = data.read_text(encoding="utf-8").splitlines()
    bad = tmp_path / "bad.jsonl"
    bad.write_text("\n".join([*good[:11], line, *good[11:]]), encoding="utf-8")
    with pytest.raises(CatalogueError, match=said):
        build_sections(tmp_path / "out", gate={"data": str(bad), "metric": "accuracy"})


def test_a_worse_model_is_not_called_worse_when_the_sample_cannot_tell(built: Built) -> None:
    for variant in built.manifest.variants:
        verdict = variant.verdict
        low, high = verdict.interval
        assert low <= verdict.drop <= high
        assert verdict.distinguishable == (low > 0 or high < 0)


def test_the_artifact_opens_where_only_the_runtime_is(built: Built) -> None:
    engine = Engine.load(built.directory, threads=1)
    [output] = engine.forward([engine.tokenizer.encode("a small library")])
    assert output["logits"].shape == (30,)
    assert np.isfinite(output["logits"]).all()
    assert json.loads((built.directory / "tokenizer.json").read_text(encoding="utf-8"))["truncation"] is None
