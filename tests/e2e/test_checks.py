"""What `make e2e` looks at, as far as moto can stand in: promises, leftovers, what was published, and answers."""

from __future__ import annotations

import io
import json
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from layers.artifact import Golden
from tests.e2e.account import Resource
from tests.e2e.leftovers import Published, left
from tests.e2e.promises import cold, unkept
from tests.e2e.questions import check_bucket, check_queue, check_url, signed_headers
from tests.functions.stand_in import REGION, StandIn, stand_in
from tests.rehearsal.registry import MANIFEST_TYPE

STACK = "e2e-debian-sections"
TLS_ONLY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Deny",
            "Principal": "*",
            "Action": "*",
            "Resource": "*",
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    ],
}
GOLDEN = Golden(inputs="a text", outputs=[[{"label": "a", "score": 0.75}]], tolerance=0.05)
QUICK = {"tries": 2, "sleep": lambda _: None}


class Account:
    """Clients of the stand-in."""

    def client(self, service: str) -> Any:
        return boto3.client(service)


@dataclass(frozen=True)
class Stack:
    """What was made by the services' own API, as CloudFormation would list it."""

    resources: list[Resource]
    url: str

    def name(self, kind: str) -> str:
        [name] = [each.name for each in self.resources if each.kind == kind]
        return name


@pytest.fixture(scope="module")
def aws() -> Iterator[StandIn]:
    """A stand-in for AWS."""
    with stand_in() as started:
        yield started


@pytest.fixture
def stack(aws: StandIn, request: pytest.FixtureRequest) -> Stack:
    """A function with its URL, a queue, a bucket, an alarm, a scalable target; all that costs by the month."""
    end = str(abs(hash(request.node.name)))
    function, url = make_function(f"{STACK}-{end}")
    queue, bucket, table = aws.queue().url, aws.bucket(), aws.table()
    aws.sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": json.dumps(TLS_ONLY)})
    aws.s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(TLS_ONLY))
    boto3.client("cloudwatch").put_metric_alarm(
        AlarmName=f"alarm-{end}", MetricName="m", Namespace="n", Statistic="Sum", Period=60, EvaluationPeriods=1,
        Threshold=1, ComparisonOperator="GreaterThanThreshold",
    )  # fmt: skip
    boto3.client("cloudwatch").put_dashboard(DashboardName=f"board-{end}", DashboardBody='{"widgets": []}')
    boto3.client("logs").create_log_group(logGroupName=f"/aws/lambda/{STACK}-{end}")
    topic = boto3.client("sns").create_topic(Name=f"topic-{end}")["TopicArn"]
    target = {
        "ServiceNamespace": "lambda",
        "ResourceId": f"function:{function}:live",
        "ScalableDimension": "lambda:function:ProvisionedConcurrency",
    }
    boto3.client("application-autoscaling").register_scalable_target(**target, MinCapacity=1, MaxCapacity=2)
    names = {
        "AWS::SQS::Queue": queue,
        "AWS::S3::Bucket": bucket,
        "AWS::DynamoDB::Table": table,
        "AWS::CloudWatch::Alarm": f"alarm-{end}",
        "AWS::CloudWatch::Dashboard": f"board-{end}",
        "AWS::SNS::Topic": topic,
        "AWS::ApplicationAutoScaling::ScalableTarget": "|".join(
            target[key] for key in ("ResourceId", "ScalableDimension", "ServiceNamespace")
        ),
    }
    listed = [Resource(kind, kind, name, "CREATE_COMPLETE") for kind, name in names.items()]
    return Stack([Resource("AWS::Lambda::Function", "HttpsFunction1A", function, "CREATE_COMPLETE"), *listed], url)


def make_function(name: str) -> tuple[str, str]:
    """A function, and the URL of its alias."""
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    role = boto3.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("handler.py", "")
    functions = boto3.client("lambda")
    functions.create_function(
        FunctionName=name, Role=role, Runtime="python3.13", Handler="handler.handler",
        Code={"ZipFile": packed.getvalue()}, Publish=True,
    )  # fmt: skip
    functions.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    url = functions.create_function_url_config(FunctionName=name, Qualifier="live", AuthType="AWS_IAM")
    return name, url["FunctionUrl"]


def test_a_stack_that_kept_its_promises(stack: Stack) -> None:
    assert unkept(Account(), stack.resources, stack.url) == []


def test_each_promise_that_was_not_kept_is_named(aws: StandIn, stack: Stack) -> None:
    boto3.client("lambda").delete_function_url_config(FunctionName=stack.name("AWS::Lambda::Function"))
    aws.sqs.set_queue_attributes(QueueUrl=stack.name("AWS::SQS::Queue"), Attributes={"Policy": ""})
    aws.s3.delete_bucket_policy(Bucket=stack.name("AWS::S3::Bucket"))
    boto3.client("cloudwatch").delete_alarms(AlarmNames=[stack.name("AWS::CloudWatch::Alarm")])
    target = stack.name("AWS::ApplicationAutoScaling::ScalableTarget").split("|")
    boto3.client("application-autoscaling").deregister_scalable_target(
        ResourceId=target[0], ScalableDimension=target[1], ServiceNamespace=target[2]
    )
    said = unkept(Account(), stack.resources, stack.url)
    assert len(said) == 5
    named = ("the URL of", "TLS", "no such alarm", "does not scale")
    assert [sum(words in each for each in said) for words in named] == [1, 2, 1, 1]


class Warm:
    """Lambda, with provisioned concurrency for the functions that it is given."""

    def __init__(self, **executions: int) -> None:
        self._executions = executions

    def client(self, _: str) -> Warm:
        return self

    def get_provisioned_concurrency_config(self, FunctionName: str, Qualifier: str) -> dict[str, int]:  # noqa: N803
        assert Qualifier == "live"
        if FunctionName in self._executions:
            return {"RequestedProvisionedConcurrentExecutions": self._executions[FunctionName]}
        said = {"Error": {"Code": "ProvisionedConcurrencyConfigNotFoundException"}}
        raise ClientError({**said, "ResponseMetadata": {"HTTPStatusCode": 404}}, "GetProvisionedConcurrencyConfig")


def test_a_function_that_scales_and_has_nothing_warm_is_named() -> None:
    kind, ending = "AWS::ApplicationAutoScaling::ScalableTarget", "lambda:function:ProvisionedConcurrency|lambda"
    scaled = [Resource(kind, kind, f"function:{name}:live|{ending}", "CREATE_COMPLETE") for name in ("warm", "cold")]
    assert cold(Warm(warm=1), scaled) == ["cold: no environment is kept warm"]


def test_what_costs_and_is_still_there_is_named_until_it_is_gone(aws: StandIn, stack: Stack) -> None:
    named = left(Account(), stack.resources, STACK)
    for each in stack.resources:
        if each.kind != "AWS::ApplicationAutoScaling::ScalableTarget":
            assert f"{each.kind} {each.name}" in named
    group = f"/aws/lambda/{stack.name('AWS::Lambda::Function')}"
    assert f"log group {group}" in named
    boto3.client("lambda").delete_function(FunctionName=stack.name("AWS::Lambda::Function"))
    aws.sqs.delete_queue(QueueUrl=stack.name("AWS::SQS::Queue"))
    aws.s3.delete_bucket(Bucket=stack.name("AWS::S3::Bucket"))
    aws.dynamodb.delete_table(TableName=stack.name("AWS::DynamoDB::Table"))
    boto3.client("cloudwatch").delete_alarms(AlarmNames=[stack.name("AWS::CloudWatch::Alarm")])
    boto3.client("cloudwatch").delete_dashboards(DashboardNames=[stack.name("AWS::CloudWatch::Dashboard")])
    boto3.client("sns").delete_topic(TopicArn=stack.name("AWS::SNS::Topic"))
    boto3.client("logs").delete_log_group(logGroupName=group)
    own = {each.name for each in stack.resources}
    assert not [each for each in left(Account(), stack.resources, STACK) if each.split()[-1] in {*own, group}]


def test_what_was_published_goes_and_what_was_there_before_stays(aws: StandIn, tmp_path: Path) -> None:
    bucket = aws.bucket()
    boto3.client("ecr").create_repository(repositoryName="images")
    aws.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    (tmp_path / "m.assets.json").write_text(assets(bucket), encoding="utf-8")
    published = Published.of(tmp_path / "m.assets.json", "123456789012", REGION)
    aws.s3.put_object(Bucket=bucket, Key="shared.zip", Body=b"")
    put_image("shared")
    before = published.there(Account())
    aws.s3.put_object(Bucket=bucket, Key="new.zip", Body=b"")
    put_image("new")
    assert published.there(Account()) == published
    published.remove(Account(), before)
    assert (
        published.there(Account())
        == before
        == Published(frozenset({(bucket, "shared.zip")}), frozenset({("images", "shared")}))
    )


def put_image(tag: str) -> None:
    """An image that holds nothing but its name."""
    layer = {"mediaType": "layer", "size": 1, "digest": f"sha256:{tag}"}
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": layer, "layers": [layer]}
    boto3.client("ecr").put_image(repositoryName="images", imageTag=tag, imageManifest=json.dumps(manifest))


def assets(bucket: str) -> str:
    """CDK's manifest of two objects and two images."""
    names = ("shared", "new")
    files = {key: {"destinations": {"d": {"bucketName": bucket, "objectKey": f"{key}.zip"}}} for key in names}
    images = {tag: {"destinations": {"d": {"repositoryName": "images", "imageTag": tag}}} for tag in names}
    return json.dumps({"version": "0", "files": files, "dockerImages": images})


def test_placeholders_of_the_manifest_are_the_accounts(tmp_path: Path) -> None:
    (tmp_path / "m.assets.json").write_text(assets("a-${AWS::AccountId}-${AWS::Region}"), encoding="utf-8")
    published = Published.of(tmp_path / "m.assets.json", "123456789012", REGION)
    assert {place for place, _ in published.objects} == {f"a-123456789012-{REGION}"}


def test_results_of_queue_and_bucket_are_waited_for_and_compared(aws: StandIn) -> None:
    bucket, queue = aws.bucket(), aws.queue().url
    with pytest.raises(AssertionError, match="the result did not come"):
        check_queue(Account(), queue, bucket, "m", GOLDEN, **QUICK)
    assert [json.loads(each) for each in aws.messages(queue)] == [{"id": "e2e", "inputs": "a text"}]
    aws.s3.put_object(Bucket=bucket, Key="results/m/e2e.json", Body=json.dumps({"outputs": GOLDEN.outputs}))
    check_queue(Account(), queue, bucket, "m", GOLDEN, **QUICK)
    run, summary = f"results/{bucket}/input/e2e.jsonl", {"status": "complete", "counts": {"succeeded": 1}}
    aws.s3.put_object(Bucket=bucket, Key=f"{run}/summary.json", Body=json.dumps(summary))
    wrong = [[{"label": "a", "score": 0.25}]]
    aws.s3.put_object(Bucket=bucket, Key=f"{run}/3f9c/0.jsonl", Body=json.dumps({"line": 1, "outputs": wrong}))
    with pytest.raises(AssertionError, match=r"the bucket: answer\[0\]"):
        check_bucket(Account(), bucket, GOLDEN, **QUICK)
    assert json.loads(aws.read(bucket, "input/e2e.jsonl")) == {"inputs": "a text"}


class Signed(BaseHTTPRequestHandler):
    """Answers what is signed and refuses what is not, as a function URL for AWS_IAM."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        known = self.headers.get("authorization", "").startswith("AWS4-HMAC-SHA256")
        self.send_response(200 if known else 403)
        self.end_headers()
        self.wfile.write(json.dumps(self.server.answer if known else {}).encode())  # type: ignore[attr-defined]

    def log_message(self, *_: Any) -> None:
        """Nothing."""


def test_a_url_answers_who_signed_and_nobody_else() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Signed) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        server.answer = GOLDEN.outputs  # type: ignore[attr-defined]
        url = f"http://127.0.0.1:{server.server_port}/"
        check_url(url, Credentials("key", "secret"), REGION, GOLDEN)
        server.answer = [[{"label": "b", "score": 0.75}]]  # type: ignore[attr-defined]
        with pytest.raises(AssertionError, match="the URL: answer"):
            check_url(url, Credentials("key", "secret"), REGION, GOLDEN)
        server.shutdown()


def test_a_signature_is_for_lambda_and_covers_the_host_of_the_url() -> None:
    headers = signed_headers(Credentials("key", "secret"), REGION, "https://abc.lambda-url.eu-west-1.on.aws/", b"{}")
    assert f"/{REGION}/lambda/aws4_request" in headers["Authorization"]
    assert "host" in headers["Authorization"].partition("SignedHeaders=")[2].split(",")[0].split(";")
