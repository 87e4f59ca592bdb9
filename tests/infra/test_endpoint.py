"""GPU models: an endpoint and the functions before it, real-time and asynchronous."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from aws_cdk.assertions import Template

from infra.app import compose
from infra.backend import STREAM_WRAPPER
from layers.packaging.endpoint_context import DOCKERFILE
from tests.infra.conftest import Templates
from tests.infra.projects import app_of, write_project
from tests.infra.resources import alarms, of_type, only, statements

ENDPOINT, CONFIGURATION = "AWS::SageMaker::Endpoint", "AWS::SageMaker::EndpointConfig"
POLICY = "AWS::ApplicationAutoScaling::ScalingPolicy"
FAILURES = "more than 1% of the endpoint's answers are a 5xx"
ONE = """
[one]
source = "checkpoint"
task = "text-classification"
[one.deploy]
target = "gpu"
mode = "realtime"
instance_type = "{instance_type}"
"""


@pytest.mark.parametrize("name", ["gpu-now", "gpu-later"])
def test_an_endpoint_of_the_instances_that_were_asked_for(dev: Templates, name: str) -> None:
    [variant] = only(dev[name], CONFIGURATION)["ProductionVariants"]
    assert variant["InstanceType"] == "ml.g5.xlarge"
    assert variant["InitialInstanceCount"] == 1
    assert only(dev[name], ENDPOINT)["RetainAllVariantProperties"] is True


@pytest.mark.parametrize("name", ["gpu-now", "gpu-later"])
def test_a_host_has_a_driver_for_the_cuda_of_the_image(dev: Templates, name: str) -> None:
    """SageMaker's own choice is driver 470 for g4dn and g5 and 535 for g6: containers of CUDA 13 do not start there."""
    assert "/cuda:13." in DOCKERFILE.read_text(encoding="utf-8")
    [variant] = only(dev[name], CONFIGURATION)["ProductionVariants"]
    assert variant["InferenceAmiVersion"] == "al2023-ami-sagemaker-inference-gpu-4-1"


@pytest.mark.parametrize("name", ["gpu-now", "gpu-later"])
def test_an_endpoint_may_report_its_instances_and_write_its_own_log(dev: Templates, name: str) -> None:
    """The dashboard counts and prices instances by their reports."""
    [reports] = [each for each in statements(dev[name]) if each["Action"] == "cloudwatch:PutMetricData"]
    assert reports["Condition"] == {"StringEquals": {"cloudwatch:namespace": "/aws/sagemaker/Endpoints"}}
    [writes] = [each for each in statements(dev[name]) if "logs:DescribeLogStreams" in each["Action"]]
    [log] = [
        logical
        for logical, each in of_type(dev[name], "AWS::Logs::LogGroup").items()
        if "LogGroupName" in each["Properties"]
    ]
    assert writes["Resource"] == {"Fn::GetAtt": [log, "Arn"]}


@pytest.mark.parametrize("name", ["gpu-now", "gpu-later"])
def test_the_container_has_no_network_and_no_credentials(dev: Templates, name: str) -> None:
    """Its image holds all of it; SageMaker itself moves requests, answers and logs."""
    model = only(dev[name], "AWS::SageMaker::Model")
    assert model["EnableNetworkIsolation"] is True
    assert "ModelDataUrl" not in model["PrimaryContainer"]


def test_another_instance_type_is_another_endpoint_that_the_same_functions_may_ask(tmp_path: Path) -> None:
    """SageMaker refuses to change the type of an endpoint that scales; the version before asks the one before."""
    named, allowed = [], []
    for instance_type in ("ml.g5.xlarge", "ml.g6.xlarge"):
        folder = tmp_path / instance_type
        folder.mkdir()
        [stack] = compose(app_of(write_project(folder, ONE.format(instance_type=instance_type)), "dev"))
        template = Template.from_stack(stack)
        named.append(only(template, ENDPOINT)["EndpointName"])
        target = only(template, "AWS::ApplicationAutoScaling::ScalableTarget")
        assert target["ResourceId"] == f"endpoint/{named[-1]}/variant/AllTraffic"
        assert only(template, "AWS::Logs::LogGroup", LogGroupName=f"/aws/sagemaker/Endpoints/{named[-1]}")
        allowed.append([each["Resource"] for each in statements(template) if "sagemaker:" in str(each["Action"])])
    assert named == ["one--g5-xlarge", "one--g6-xlarge"]
    assert allowed[0] == allowed[1]


def test_models_that_begin_alike_have_endpoints_of_their_own(tmp_path: Path) -> None:
    """SageMaker's names end at 63 characters, of which a type and a mode need 23; those that fit stay as they are."""
    alike = "debian-sections-of-package-description-v"
    names = [alike, f"{alike}1", f"{alike}2", "bert", "bert-large", "bert--large", "bert-"]
    catalogue = "".join(
        ONE.format(instance_type="ml.g6.xlarge").replace("one", name).replace("realtime", "asynchronous")
        for name in names
    )
    templates = [Template.from_stack(stack) for stack in compose(app_of(write_project(tmp_path, catalogue), "dev"))]
    named = [str(only(each, ENDPOINT)["EndpointName"]) for each in templates]
    assert named[0] == f"{alike}--g6-xlarge-async"
    assert len(set(named)) == len(names)
    assert all(len(each) <= 63 and re.fullmatch("[a-z0-9]+(-+[a-z0-9]+)*", each) for each in named)
    for template, name in zip(templates, named, strict=True):
        [allowed] = {str(each["Resource"]) for each in statements(template) if "sagemaker:" in str(each["Action"])}
        prefix = allowed.split("endpoint/")[1].split("*")[0]
        assert [each for each in named if each.startswith(prefix)] == [name]


def test_an_asynchronous_endpoint_is_another_one_too(dev: Templates) -> None:
    names = [only(dev[name], ENDPOINT)["EndpointName"] for name in ("gpu-now", "gpu-later")]
    assert names == ["gpu-now--g5-xlarge", "gpu-later--g5-xlarge-async"]


def test_an_endpoints_log_leaves_its_name_to_the_next(prod: Templates) -> None:
    """A kept group of a fixed name would fail every later deployment that comes back to that name."""
    groups = of_type(prod["gpu-now"], "AWS::Logs::LogGroup").values()
    named = [each for each in groups if "LogGroupName" in each["Properties"]]
    assert [each["DeletionPolicy"] for each in named] == ["Delete"]
    assert {each["DeletionPolicy"] for each in groups if each not in named} == {"Retain"}


def test_functions_forward_and_hold_no_model(dev: Templates) -> None:
    functions = [each["Properties"] for each in of_type(dev["gpu-now"], "AWS::Lambda::Function").values()]
    forwarding = {each["Handler"]: each for each in functions if "forward" in each.get("Handler", "")}
    assert forwarding.keys() == {f"functions.forward.{trigger}.handler" for trigger in ("https", "queue", "bucket")}
    for each in forwarding.values():
        assert each.get("PackageType") != "Image"
        assert each["Environment"]["Variables"].keys() >= {"FORWARD_ENDPOINT", "FORWARD_VARIANT", "FORWARD_COLUMN"}
        assert each["ReservedConcurrentExecutions"] == 10
    claiming = [
        name for name, each in forwarding.items() if "HUNDREDFOLD_IDEMPOTENCY_TABLE" in str(each["Environment"])
    ]
    assert claiming == ["functions.forward.queue.handler"]


def test_the_zip_holds_every_forwarding_handler(project: Path) -> None:
    app = app_of(project, "dev")
    compose(app)
    assembly = Path(app.synth().directory)
    [folder] = {path.parent for path in assembly.glob("asset.*/functions/forward/https.py")}
    assert {path.name for path in folder.iterdir()} >= {"https.py", "queue.py", "bucket.py", "endpoint.py"}
    [image] = {path.parent for path in assembly.glob("asset.*/artifact/gpu-now")}
    dockerfile = (image.parent / "Dockerfile").read_text(encoding="utf-8")
    assert "COPY artifact/" in dockerfile
    assert "onnxruntime-gpu" in (image.parent / "requirements.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "action"), [("gpu-now", "sagemaker:InvokeEndpoint"), ("gpu-later", "sagemaker:InvokeEndpointAsync")]
)
def test_functions_may_invoke_this_models_endpoint_alone(dev: Templates, name: str, action: str) -> None:
    invoking = [each for each in statements(dev[name]) if "sagemaker:" in str(each["Action"])]
    assert {each["Action"] for each in invoking} == {action}
    assert all(str(each["Resource"]).endswith(f"endpoint/{name}--*']]}}") for each in invoking)


def test_an_asynchronous_endpoint_answers_by_s3_and_tells_two_topics(dev: Templates) -> None:
    template = dev["gpu-later"]
    output = only(template, CONFIGURATION)["AsyncInferenceConfig"]["OutputConfig"]
    topics = of_type(template, "AWS::SNS::Topic")
    told = output["NotificationConfig"]
    assert told["SuccessTopic"]["Ref"] in topics
    assert told["ErrorTopic"]["Ref"] in topics
    assert told["SuccessTopic"] != told["ErrorTopic"]
    assert "answers/" in str(output["S3OutputPath"])
    assert "failures/" in str(output["S3FailurePath"])
    assert "AsyncInferenceConfig" not in only(dev["gpu-now"], CONFIGURATION)


def test_a_real_time_endpoint_scales_on_invocations_of_each_instance(prod: Templates) -> None:
    template = prod["gpu-now"]
    target = only(template, "AWS::ApplicationAutoScaling::ScalableTarget")
    assert target["ScalableDimension"] == "sagemaker:variant:DesiredInstanceCount"
    assert (target["MinCapacity"], target["MaxCapacity"]) == (1, 2)
    tracking = only(template, POLICY)["TargetTrackingScalingPolicyConfiguration"]
    metric = tracking["PredefinedMetricSpecification"]["PredefinedMetricType"]
    assert metric == "SageMakerVariantInvocationsPerInstance"
    assert tracking["TargetValue"] == 60 * 3


def test_an_asynchronous_endpoint_goes_to_none_and_wakes_up(prod: Templates) -> None:
    template = prod["gpu-later"]
    assert only(template, "AWS::ApplicationAutoScaling::ScalableTarget")["MinCapacity"] == 0
    tracking = only(template, POLICY, PolicyType="TargetTrackingScaling")["TargetTrackingScalingPolicyConfiguration"]
    assert tracking["CustomizedMetricSpecification"]["MetricName"] == "ApproximateBacklogSizePerInstance"
    policies = of_type(template, POLICY)
    [step] = [name for name, each in policies.items() if each["Properties"]["PolicyType"] == "StepScaling"]
    waking = alarms(template)["starts the first instance of an endpoint that has none; tells nobody"]
    assert waking["MetricName"] == "HasBacklogWithoutCapacity"
    assert waking["AlarmActions"] == [{"Ref": step}]


@pytest.mark.parametrize("name", ["gpu-now", "gpu-later"])
def test_a_new_version_is_blue_green_and_goes_back_on_alarms(prod: Templates, name: str) -> None:
    deployment = only(prod[name], ENDPOINT)["DeploymentConfig"]
    assert deployment["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]["WaitIntervalInSeconds"] == 300
    found = of_type(prod[name], "AWS::CloudWatch::Alarm")
    heeded = {
        found[each["AlarmName"]["Ref"]]["Properties"]["AlarmDescription"]
        for each in deployment["AutoRollbackConfiguration"]["Alarms"]
    }
    failures, latency = FAILURES, "the endpoint's p95 is above the model's p95_ms"
    assert heeded == ({failures, latency} if name == "gpu-now" else {failures})


def test_an_asynchronous_endpoints_latency_is_held_to_a_stated_p95_alone(tmp_path: Path) -> None:
    """The default is for callers who wait; what is asynchronous may take minutes, and several at once."""
    unstated = ONE.format(instance_type="ml.g6.xlarge").replace("realtime", "asynchronous")
    stated = unstated.replace("one", "stated") + "[stated.traffic]\np95_ms = 600000\n"
    templates = [
        Template.from_stack(each) for each in compose(app_of(write_project(tmp_path, unstated + stated), "dev"))
    ]
    thresholds = [
        [each["Threshold"] for each in alarms(template).values() if each.get("MetricName") == "ModelLatency"]
        for template in templates
    ]
    assert thresholds == [[], [600_000 * 1000]]


def test_requests_that_nobody_takes_ring(prod: Templates) -> None:
    said = alarms(prod["gpu-later"])
    assert "requests wait and no instance starts" in said
    assert "the oldest request waits for more than 15 minutes" in said


def test_the_check_may_read_what_an_asynchronous_endpoint_answers(dev: Templates) -> None:
    policies = of_type(dev["gpu-later"], "AWS::IAM::Policy")
    [checking] = [each for name, each in policies.items() if name.startswith("GoldenCheckLog")]
    reading = [each for each in _statements(checking) if "s3:GetObject" in each["Action"]]
    assert "answers/*" in json.dumps(reading)


def _statements(policy: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = policy["Properties"]["PolicyDocument"]["Statement"]
    return found


STREAMING = """
[writer]
source = "checkpoint"
task = "text-generation"
[writer.deploy]
target = "gpu"
mode = "realtime"
instance_type = "ml.g5.xlarge"
streaming = true
triggers = ["https", "queue"]
"""


def test_a_model_that_streams_does_so_before_an_endpoint_too(tmp_path: Path) -> None:
    app = app_of(write_project(tmp_path, STREAMING), "dev")
    [stack] = compose(app)
    template = Template.from_stack(stack)
    assert only(template, "AWS::Lambda::Url")["InvokeMode"] == "RESPONSE_STREAM"
    functions = [each["Properties"] for each in of_type(template, "AWS::Lambda::Function").values()]
    wrapped = {
        each["Handler"]: each["Environment"]["Variables"].get("AWS_LAMBDA_EXEC_WRAPPER")
        for each in functions
        if "forward" in each["Handler"]
    }
    assert wrapped == {"functions.forward.https.handler": STREAM_WRAPPER, "functions.forward.queue.handler": None}
    invoking = [each["Action"] for each in statements(template) if "sagemaker:" in str(each["Action"])]
    both = ["sagemaker:InvokeEndpoint", "sagemaker:InvokeEndpointWithResponseStream"]
    assert sorted(invoking, key=str) == [both, "sagemaker:InvokeEndpoint"]
    script = Path(STREAM_WRAPPER).relative_to("/var/task")
    [staged] = Path(app.synth().directory).glob(f"asset.*/{script}")
    assert staged.stat().st_mode & 0o555 == 0o555


def test_cpu_models_have_no_endpoint(dev: Templates) -> None:
    template: Template = dev["plain-v1.5"]
    template.resource_count_is(ENDPOINT, 0)
