"""Only an artifact that is built, current, accurate and made for the machine is deployed; others say why, alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from aws_cdk.assertions import Annotations, Match, Template

from infra.admission import admit
from infra.app import compose
from infra.code import Building
from infra.deployment import deployments
from infra.planner.prices import PriceTable
from infra.stages import read_stage
from layers.artifact import FileRecord, Manifest, Source
from layers.catalogue import ModelSpec, read_catalogue
from layers.errors import ArtifactError
from tests.infra.projects import app_of, write_artifact, write_project


def spec_of(**keys: object) -> ModelSpec:
    return ModelSpec.model_validate({"name": "m", "source": "checkpoint", "task": "text-classification", **keys})


def refusal(spec: ModelSpec, folder: Path) -> str:
    with pytest.raises(ArtifactError) as caught:
        admit(spec, folder / "build" / "m", folder)
    return str(caught.value)


def test_a_current_artifact_is_admitted(tmp_path: Path) -> None:
    manifest = write_artifact(tmp_path / "build" / "m", spec_of())
    assert admit(spec_of(), tmp_path / "build" / "m", tmp_path).manifest == manifest


def test_a_changed_deploy_table_needs_no_build(tmp_path: Path) -> None:
    write_artifact(tmp_path / "build" / "m", spec_of())
    changed = spec_of(deploy={"concurrency": 3}, traffic={"p95_ms": 50})
    assert admit(changed, tmp_path / "build" / "m", tmp_path).spec == changed


def test_none_that_is_missing(tmp_path: Path) -> None:
    assert "Build the model first" in refusal(spec_of(), tmp_path)


def test_none_of_another_schema(tmp_path: Path) -> None:
    write_artifact(tmp_path / "build" / "m", spec_of(), schema_version=7)
    assert "schema version 7" in refusal(spec_of(), tmp_path)


def test_none_built_from_another_table(tmp_path: Path) -> None:
    write_artifact(tmp_path / "build" / "m", spec_of())
    said = refusal(spec_of(precision="fp32"), tmp_path)
    assert "stale artifact: built with precision 'auto', now 'fp32'" in said
    assert "python build_artifacts.py m" in said


def test_none_whose_checkpoint_changed(tmp_path: Path) -> None:
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "config.json").write_text("{}", encoding="utf-8")
    files = {"config.json": FileRecord(sha256="0" * 64, bytes=2)}
    write_artifact(
        tmp_path / "build" / "m", spec_of(), source=Source(location="checkpoint", revision=None, files=files)
    )
    assert "the checkpoint's config.json changed" in refusal(spec_of(), tmp_path)


def test_none_that_failed_its_gate(tmp_path: Path) -> None:
    manifest = write_artifact(tmp_path / "build" / "m", spec_of())
    [variant] = manifest.variants
    failed = variant.model_copy(update={"verdict": variant.verdict.model_copy(update={"passed": False, "drop": 0.02})})
    manifest.model_copy(update={"variants": (failed,)}).write(tmp_path / "build" / "m")
    assert "did not pass its gate: accuracy fell by 0.0200" in refusal(spec_of(), tmp_path)


@pytest.mark.parametrize("deploy", [{"architecture": "arm64"}, {"target": "gpu"}])
def test_none_for_another_machine(tmp_path: Path, deploy: dict[str, str]) -> None:
    write_artifact(tmp_path / "build" / "m", spec_of())
    wanted = deploy.get("architecture", "cuda")
    assert f"built for x86_64, to be deployed on {wanted}" in refusal(spec_of(deploy=deploy), tmp_path)


def test_none_that_was_altered(tmp_path: Path) -> None:
    write_artifact(tmp_path / "build" / "m", spec_of())
    (tmp_path / "build" / "m" / "model.int8.onnx").write_text("another graph!!!", encoding="utf-8")
    assert "model.int8.onnx" in refusal(spec_of(), tmp_path)


def test_a_model_that_cannot_be_deployed_says_so_and_holds_up_no_other(project: Path) -> None:
    stacks = {stack.node.id: stack for stack in compose(app_of(project, "dev"))}
    assert Annotations.from_stack(stacks["unbuilt"]).find_error("*", Match.string_like_regexp("Build the model first"))
    assert Template.from_stack(stacks["unbuilt"]).to_json()["Resources"].keys() == {"NotDeployable"}
    for name in stacks.keys() - {"unbuilt"}:
        assert not Annotations.from_stack(stacks[name]).find_error("*", Match.any_value())


def test_demand_that_nothing_meets_is_that_models_error(tmp_path: Path) -> None:
    catalogue = '[fast]\nsource = "c"\ntask = "text-classification"\n[fast.traffic]\np95_ms = 0.001\ntokens_in = 32\n'
    (tmp_path / "models.toml").write_text(catalogue, encoding="utf-8")
    (tmp_path / "stages.toml").write_text("[dev]\n", encoding="utf-8")
    spec = ModelSpec.model_validate(
        {"name": "fast", "source": "c", "task": "text-classification", "traffic": {"p95_ms": 0.001, "tokens_in": 32}}
    )
    assert isinstance(write_artifact(tmp_path / "build" / "fast", spec), Manifest)
    [stack] = compose(app_of(tmp_path, "dev"))
    assert Annotations.from_stack(stack).find_error(
        "*", Match.string_like_regexp("fast: nothing answers .* with p95 0.001 ms")
    )


def test_more_than_an_image_holds_is_that_models_error(tmp_path: Path) -> None:
    """Found while its image is put together, when part of its stack is there already."""
    tables = '[{name}]\nsource = "c"\ntask = "text-classification"\n'
    write_project(tmp_path, tables.format(name="large") + tables.format(name="small"))
    weights = tmp_path / "build" / "large" / "model.int8.data"
    os.truncate(weights, 10**10)
    manifest = Manifest.read(weights.parent)
    recorded = {**manifest.files, weights.name: FileRecord(sha256="0" * 64, bytes=10**10)}
    manifest.model_copy(update={"files": recorded}).write(weights.parent)
    app = app_of(tmp_path, "dev")
    large, small = compose(app)
    said = "large: got 10,0.* bytes of model, expected at most 9,000,000,000: .* GPU endpoint .* smaller precision"
    assert Annotations.from_stack(large).find_error("*", Match.string_like_regexp(said))
    assert Template.from_stack(large).to_json()["Resources"].keys() == {"NotDeployable"}
    assert not Annotations.from_stack(small).find_error("*", Match.any_value())
    assert "AWS::Lambda::Url" in str(Template.from_stack(small).to_json())
    assert {each.stack_name for each in app.synth().stacks} == {"large", "small"}


def test_an_endpoint_without_its_dockerfile_is_that_models_error(project: Path, tmp_path: Path) -> None:
    catalogue, stage = read_catalogue(project / "models.toml"), read_stage(project / "stages.toml", "dev")
    building = Building(gpu_dockerfile=tmp_path / "Dockerfile")
    found = deployments(catalogue, project, project / "build", stage, PriceTable.read(), building)
    problems = {each.name: each.problems for each in found if each.name != "unbuilt"}
    said = f"an endpoint's image is built from {tmp_path / 'Dockerfile'}, which is not there; restore it."
    assert problems.pop("gpu-now") == (f"gpu-now: {said}",)
    assert problems.pop("gpu-later") == (f"gpu-later: {said}",)
    assert set(problems.values()) == {()}


GROUPED = """
[{0}]
source = "checkpoint"
task = "text-classification"
[{0}.deploy]
target = "lambda"
memory_mib = 1769
group = "{1}"
triggers = ["queue", "bucket"]
"""


def test_a_group_that_objects_are_sent_to_is_refused_since_they_name_no_model(tmp_path: Path) -> None:
    """Its bucket function would not know which model answers, and would fail whenever it starts."""
    catalogue = GROUPED.format("first", "both") + GROUPED.format("second", "both") + GROUPED.format("only", "alone")
    write_project(tmp_path, catalogue, "[dev]\n")
    stacks = {stack.node.id: stack for stack in compose(app_of(tmp_path, "dev"))}
    said = 'group both: .*"bucket".*first, second.*Remove'
    assert Annotations.from_stack(stacks["both"]).find_error("*", Match.string_like_regexp(said))
    assert Template.from_stack(stacks["both"]).to_json()["Resources"].keys() == {"NotDeployable"}
    assert not Annotations.from_stack(stacks["alone"]).find_error("*", Match.any_value())
