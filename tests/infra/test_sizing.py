"""Sizes: what the table states holds, and the plan decides the rest."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest
from aws_cdk.assertions import Annotations, Match, Template

from infra.admission import Member
from infra.app import compose
from infra.planner.demand import SECONDS_A_MONTH
from infra.planner.plan import candidates_of, plan_model, workload_of
from infra.planner.prices import PriceTable
from infra.sizing import Size, size
from infra.stages import Stage
from layers.artifact import INSTRUCTION_SETS, Manifest
from layers.catalogue import ModelSpec, read_catalogue
from layers.errors import CatalogueError
from layers.runtime.group import default_budget_bytes, model_bytes
from layers.runtime.memory import MEBIBYTE
from tests.infra.planner.manifests import manifest_of, spec_of
from tests.infra.projects import app_of, write_artifact, write_project
from tests.infra.resources import model_functions, of_type

BUSY = {"requests_per_second": 2000, "p95_ms": 2000}
BUSY_CATALOGUE = """
[busy]
source = "checkpoint"
task = "text-classification"
[busy.traffic]
requests_per_second = 2000
p95_ms = 2000
"""
UNKNOWN = """
[{mode}]
source = "checkpoint"
task = "text-classification"
[{mode}.traffic]
requests_per_second = 3
[{mode}.deploy]
target = "gpu"
mode = "{mode}"
instance_type = "ml.p99.xlarge"
"""
CROWDED = """
[crowded]
source = "checkpoint"
task = "text-classification"
[crowded.traffic]
requests_per_second = 40
p95_ms = 600000
tokens_out = 200
[crowded.deploy]
target = "gpu"
mode = "{mode}"
instance_type = "{instance_type}"
"""
FOR_ARM = """
[small]
source = "checkpoint"
task = "text-classification"
[small.deploy]
target = "lambda"
memory_mib = 1769
architecture = "arm64"
"""
PRICES = PriceTable.read()


def member(spec: ModelSpec, target: str = "x86_64") -> Member:
    manifest = manifest_of(instruction_sets=INSTRUCTION_SETS[target])
    return Member(spec, manifest.model_copy(update={"target": target}), Path("unread"))


def sized(spec: ModelSpec, target: str = "x86_64", stage: Stage | None = None) -> Size:
    return size([member(spec, target)], stage or Stage(name="test", max_instances=100), PRICES)


@pytest.mark.parametrize("target", ["x86_64", "arm64"])
def test_functions_run_on_what_the_artifact_was_built_for(tmp_path: Path, target: str) -> None:
    write_project(tmp_path, FOR_ARM if target == "arm64" else FOR_ARM.replace("arm64", "auto"))
    shutil.rmtree(tmp_path / "build" / "small")
    write_artifact(tmp_path / "build" / "small", read_catalogue(tmp_path / "models.toml")["small"], target=target)
    app = app_of(tmp_path, "dev")
    [stack] = compose(app)
    [function] = model_functions(Template.from_stack(stack)).values()
    assert function["Architectures"] == [target]
    assets = json.loads((Path(app.synth().directory) / "small.assets.json").read_text(encoding="utf-8"))
    [image] = assets["dockerImages"].values()
    assert image["source"]["platform"] == {"x86_64": "linux/amd64", "arm64": "linux/arm64"}[target]


def test_what_the_plan_needs_is_reserved_where_the_table_says_nothing() -> None:
    spec = spec_of(BUSY, target="lambda")
    needed = plan_model(spec, member(spec).manifest, PRICES).chosen.concurrency
    assert needed > spec.deploy.concurrency
    assert sized(spec).function.concurrency == needed


def test_before_a_stated_instance_what_the_demand_needs_is_reserved_too() -> None:
    fixed = {"target": "gpu", "mode": "realtime", "instance_type": "ml.g6.xlarge"}
    spec = spec_of(BUSY, **fixed)
    needed = plan_model(spec, member(spec, "cuda").manifest, PRICES).chosen.concurrency
    assert needed > spec.deploy.concurrency
    assert sized(spec, "cuda").function.concurrency == needed
    stated = sized(spec_of(BUSY, **fixed, concurrency=3), "cuda").function
    assert (stated.concurrency, stated.needed) == (3, needed)


def test_the_default_is_reserved_where_the_plan_needs_less() -> None:
    assert sized(spec_of(target="lambda")).function.concurrency == 10


def test_the_stage_bounds_what_the_plan_asks_for() -> None:
    function = sized(spec_of(BUSY, target="lambda"), stage=Stage(name="test", max_concurrency=12)).function
    assert function.concurrency == 12 < function.needed


@pytest.mark.parametrize("target", ["lambda", "gpu"])
def test_what_the_table_states_is_reserved(target: str) -> None:
    spec = spec_of(BUSY, target=target, concurrency=3)
    function = sized(spec, "cuda" if target == "gpu" else "x86_64").function
    assert function.concurrency == 3 < function.needed


def test_an_instance_is_given_what_the_plan_counts_on() -> None:
    """The planner leaves 40% of an instance idle; that is not taken off twice."""
    spec = spec_of({"requests_per_second": 50, "p95_ms": 2000}, target="gpu", mode="realtime")
    chosen = plan_model(spec, member(spec, "cuda").manifest, PRICES).chosen
    endpoint = sized(spec, "cuda").endpoint
    assert endpoint is not None
    assert endpoint.invocations_per_minute == pytest.approx(60 * chosen.each_per_second)
    assert chosen.instances_max * chosen.each_per_second >= 50


def test_the_function_before_an_endpoint_is_priced_as_what_is_deployed() -> None:
    """Warm environments cost by architecture and memory alone."""
    spec = spec_of(target="gpu", mode="realtime", instance_type="ml.g6.xlarge", provisioned=2)
    function = sized(spec, "cuda").function
    gb_seconds = function.warm_minimum * function.memory_mib / 1024 * SECONDS_A_MONTH
    fee = gb_seconds * PRICES.functions.of(function.architecture).provisioned_gb_second
    assert plan_model(spec, member(spec, "cuda").manifest, PRICES).chosen.cost.provisioned == pytest.approx(fee)


@pytest.mark.parametrize(("table", "warned"), [("", False), ("[busy.deploy]\nconcurrency = 7", True)])
def test_a_stack_that_reserves_too_little_says_so(tmp_path: Path, table: str, warned: bool) -> None:
    [stack] = compose(app_of(write_project(tmp_path, BUSY_CATALOGUE + table), "dev"))
    said = Annotations.from_stack(stack).find_warning("*", Match.any_value())
    about = [str(each.entry.data) for each in said if "environments at once" in str(each.entry.data)]
    assert bool(about) is warned
    if warned:
        [function] = model_functions(Template.from_stack(stack)).values()
        assert function["ReservedConcurrentExecutions"] == 7
        assert "got 7 environments" in about[0]
        assert "the plan needs" in about[0]


@pytest.mark.parametrize("instance_type", ["auto", "ml.g6.xlarge"], ids=["planned", "stated"])
@pytest.mark.parametrize("mode", ["realtime", "asynchronous"])
@pytest.mark.parametrize("missing", [1, 0], ids=["too few", "enough"])
def test_a_stack_that_may_start_too_few_instances_says_so(
    tmp_path: Path, missing: int, mode: str, instance_type: str
) -> None:
    write_project(tmp_path, CROWDED.format(mode=mode, instance_type=instance_type))
    spec = read_catalogue(tmp_path / "models.toml")["crowded"]
    needed = plan_model(spec, Manifest.read(tmp_path / "build" / "crowded"), PRICES).chosen.instances_max
    bound = needed - missing
    (tmp_path / "stages.toml").write_text(f"[dev]\nmax_instances = {bound}\n", encoding="utf-8")
    [stack] = compose(app_of(tmp_path, "dev"))
    targets = of_type(Template.from_stack(stack), "AWS::ApplicationAutoScaling::ScalableTarget").values()
    assert [each["Properties"]["MaxCapacity"] for each in targets] == [bound]
    said = Match.string_like_regexp(f"crowded: got at most {bound} instances .* needs {needed} .* max_instances")
    assert bool(Annotations.from_stack(stack).find_warning("*", said)) is bool(missing)


@pytest.mark.parametrize(
    ("mode", "key"), [("realtime", "response_cache"), ("realtime", "snapstart"), ("asynchronous", "streaming")]
)
def test_what_an_endpoint_cannot_do_is_refused(mode: str, key: str) -> None:
    spec = spec_of(target="gpu", mode=mode, instance_type="ml.g5.xlarge", **{key: True})
    with pytest.raises(CatalogueError, match=f"deploy: {key} needs"):
        sized(spec, "cuda")


def test_a_fixed_instance_is_given_what_the_planner_reckons_it_takes() -> None:
    """Neither the demand nor the number of instances decides it: the type does."""
    fixed = {"target": "gpu", "mode": "realtime", "instance_type": "ml.g6.xlarge"}
    for traffic in ({"requests_per_second": 1}, {"requests_per_second": 500, "p95_ms": 0.001}):
        spec = spec_of(traffic, **fixed)
        endpoint = sized(spec, "cuda", Stage(name="test", max_instances=7)).endpoint
        work = workload_of(spec, member(spec, "cuda").manifest, PRICES)
        [option] = [candidate(work) for candidate in candidates_of(work)]
        assert endpoint is not None
        assert (endpoint.guessed, endpoint.maximum) == (False, 7)
        assert endpoint.invocations_per_minute == pytest.approx(60 * option.each_per_second)


def test_an_instance_that_nothing_is_known_of_is_given_the_demand_and_the_stack_says_so(tmp_path: Path) -> None:
    catalogue = "".join(UNKNOWN.format(mode=mode) for mode in ("realtime", "asynchronous"))
    now, later = compose(app_of(write_project(tmp_path, catalogue), "dev"))
    [policy] = of_type(Template.from_stack(now), "AWS::ApplicationAutoScaling::ScalingPolicy").values()
    assert policy["Properties"]["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == 180
    said = "realtime: what one ml.p99.xlarge takes is not known: .* beyond 180 invocations a minute"
    assert Annotations.from_stack(now).find_warning("*", Match.string_like_regexp(said))
    assert not Annotations.from_stack(later).find_warning("*", Match.string_like_regexp("not known"))


def test_an_instance_without_a_gpu_is_refused() -> None:
    spec = spec_of(target="gpu", mode="realtime", instance_type="ml.c5.large")
    with pytest.raises(CatalogueError, match=r"ml\.c5\.large has no GPU"):
        sized(spec, "cuda")


@pytest.mark.parametrize(("models", "warned"), [(2, False), (9, True)])
def test_a_group_that_needs_more_memory_than_lambda_has_says_so(tmp_path: Path, models: int, warned: bool) -> None:
    catalogue = "".join(
        f'[m{number}]\nsource = "checkpoint"\ntask = "text-classification"\n[m{number}.deploy]\ngroup = "many"\n'
        f"[m{number}.traffic]\np95_ms = 70\n"
        for number in range(models)
    )
    [stack] = compose(app_of(write_project(tmp_path, catalogue), "dev"))
    [function] = model_functions(Template.from_stack(stack)).values()
    assert (function["MemorySize"] == 10240) is warned
    said = Match.string_like_regexp(r"many: got 10,240 MiB, .* its models need [\d,]+: .*Divide the group")
    assert bool(Annotations.from_stack(stack).find_warning("*", said)) is warned


STATED = """
[stated]
source = "checkpoint"
task = "text-classification"
[stated.deploy]
target = "lambda"
memory_mib = {memory_mib}
{group}
"""


@pytest.mark.parametrize("group", ["", 'group = "own"'])
def test_a_function_of_less_memory_than_its_model_needs_says_so(tmp_path: Path, group: str) -> None:
    """It would be killed as it loads the model, which the golden check finds minutes later."""
    work = workload_of(spec_of(), manifest_of(), PRICES)
    needed = math.ceil(work.needed_mib)
    for memory_mib, warned in ((needed, False), (needed - 1, True)):
        folder = tmp_path / str(memory_mib)
        folder.mkdir()
        [stack] = compose(app_of(write_project(folder, STATED.format(memory_mib=memory_mib, group=group)), "dev"))
        [function] = model_functions(Template.from_stack(stack)).values()
        assert function["MemorySize"] == memory_mib
        said = Match.string_like_regexp(f"got {memory_mib} MiB, .* needs {needed}: .*memory_mib")
        assert bool(Annotations.from_stack(stack).find_warning("*", said)) is warned


def test_memory_is_one_figure_for_planner_and_runtime() -> None:
    """A function of the size that the planner gives a group keeps all of its models loaded, and is no larger."""
    manifests = [manifest_of(weights_mib=weights) for weights in (20.0, 70.0)]
    works = [workload_of(spec_of(), manifest, PRICES) for manifest in manifests]
    function_bytes = int(sum(work.needed_mib for work in works)) * MEBIBYTE
    assert sum(model_bytes(manifest) for manifest in manifests) <= default_budget_bytes(function_bytes)
    alone = int(works[0].needed_mib) * MEBIBYTE
    assert model_bytes(manifests[0]) == default_budget_bytes(alone)
    writing = manifest_of().model_copy(update={"task": "text-generation"})
    asked = workload_of(spec_of({"tokens_out": 8}), writing, PRICES)
    assert model_bytes(writing) == default_budget_bytes(int(asked.needed_mib) * MEBIBYTE)
