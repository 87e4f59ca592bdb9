"""Queues and buckets: encrypted, private, over TLS only; what fails is kept and rings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aws_cdk.assertions import Annotations, Match, Template

from infra.app import compose
from tests.infra.conftest import Templates
from tests.infra.projects import app_of, write_project
from tests.infra.resources import alarms, model_functions, of_type, only, statements

FEW = """
[few]
source = "checkpoint"
task = "text-classification"
[few.deploy]
target = "lambda"
memory_mib = 1769
triggers = ["queue"]
"""


def queues(template: Template) -> tuple[dict[str, Any], dict[str, Any]]:
    """Job queues and dead-letter queues, by logical id."""
    found = {name: each["Properties"] for name, each in of_type(template, "AWS::SQS::Queue").items()}
    jobs = {name: each for name, each in found.items() if "RedrivePolicy" in each}
    return jobs, {name: each for name, each in found.items() if name not in jobs}


def test_every_queue_is_encrypted_and_refuses_plain_text(dev: Templates) -> None:
    template = dev["everything"]
    jobs, dead = queues(template)
    assert (len(jobs), len(dead)) == (2, 2)
    assert all(each["SqsManagedSseEnabled"] for each in (jobs | dead).values())
    protected = {
        policy["Properties"]["Queues"][0]["Ref"]
        for policy in of_type(template, "AWS::SQS::QueuePolicy").values()
        if denies_plain_text(policy)
    }
    assert protected == (jobs | dead).keys()


def denies_plain_text(policy: dict[str, Any]) -> bool:
    statements = policy["Properties"]["PolicyDocument"]["Statement"]
    return any(
        each["Effect"] == "Deny" and each["Condition"].get("Bool") == {"aws:SecureTransport": "false"}
        for each in statements
    )


def test_a_job_is_hidden_six_timeouts_and_given_up_after_five_receives(dev: Templates) -> None:
    template = dev["everything"]
    jobs, dead = queues(template)
    assert sorted(each["VisibilityTimeout"] for each in jobs.values()) == [6 * 120, 6 * 900]
    for each in jobs.values():
        assert each["RedrivePolicy"]["maxReceiveCount"] == 5
        assert each["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0] in dead


def test_batches_fail_in_part_and_concurrency_is_bounded(dev: Templates) -> None:
    mappings = [each["Properties"] for each in of_type(dev["everything"], "AWS::Lambda::EventSourceMapping").values()]
    assert sorted(each["BatchSize"] for each in mappings) == [1, 10]
    for each in mappings:
        assert each["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        assert each["ScalingConfig"] == {"MaximumConcurrency": 20}
        assert "Live" in str(each["FunctionName"])


@pytest.mark.parametrize(("concurrency", "most", "warned"), [(10, 10, False), (2, 2, False), (1, 2, True)])
def test_the_least_concurrency_of_a_mapping_is_two(tmp_path: Path, concurrency: int, most: int, warned: bool) -> None:
    """Lambda takes no less, and a single environment is asked by both: what it refuses counts as received."""
    catalogue = FEW + f"concurrency = {concurrency}\n"
    [stack] = compose(app_of(write_project(tmp_path, catalogue), "dev"))
    template = Template.from_stack(stack)
    assert only(template, "AWS::Lambda::EventSourceMapping")["ScalingConfig"]["MaximumConcurrency"] == most
    reserved = {each["ReservedConcurrentExecutions"] for each in model_functions(template).values()}
    assert reserved == {concurrency, 1}, "the queue's function, and the one that the golden check asks"
    in_use = [each for each in alarms(template) if "of the reserved concurrency is in use" in each]
    assert len(in_use) == (concurrency > 1), "one environment is all in use whenever it answers"
    said = Match.string_like_regexp("concurrency = 1: Lambda reads a queue two batches at a time .* concurrency = 2")
    assert bool(Annotations.from_stack(stack).find_warning("*", said)) is warned


def test_what_was_given_up_and_what_waits_too_long_rings(dev: Templates) -> None:
    ringing = alarms(dev["everything"])
    dead = ringing["records were given up: read the dead-letter queue"]
    assert (dead["Threshold"], dead["EvaluationPeriods"]) == (0, 1)
    assert "the oldest job waits for more than 15 minutes" in ringing


def test_the_bucket_is_private_encrypted_and_over_tls(dev: Templates) -> None:
    template = dev["everything"]
    bucket = only(template, "AWS::S3::Bucket")
    assert bucket["PublicAccessBlockConfiguration"] == dict.fromkeys(
        ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"), True
    )
    [encryption] = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert encryption["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    policy = {"Properties": only(template, "AWS::S3::BucketPolicy")}
    assert denies_plain_text(policy)
    assert {"NumericLessThan": {"s3:TlsVersion": 1.2}} in [
        each.get("Condition") for each in policy["Properties"]["PolicyDocument"]["Statement"]
    ]


def test_results_expire_and_abandoned_uploads_go(dev: Templates) -> None:
    rules = only(dev["everything"], "AWS::S3::Bucket")["LifecycleConfiguration"]["Rules"]
    assert {"ExpirationInDays": 30, "Prefix": "results/", "Status": "Enabled"} in rules
    assert [rule["AbortIncompleteMultipartUpload"] for rule in rules if "AbortIncompleteMultipartUpload" in rule] == [
        {"DaysAfterInitiation": 1}
    ]


def test_objects_below_input_reach_the_queue_and_results_do_not(dev: Templates) -> None:
    template = dev["everything"]
    [notification] = only(template, "AWS::S3::Bucket")["NotificationConfiguration"]["QueueConfigurations"]
    assert notification["Event"] == "s3:ObjectCreated:*"
    assert notification["Filter"]["S3Key"]["Rules"] == [{"Name": "prefix", "Value": "input/"}]
    queue = notification["Queue"]["Fn::GetAtt"][0]
    [bucket] = of_type(template, "AWS::S3::Bucket").values()
    policies = of_type(template, "AWS::SQS::QueuePolicy")
    [policy] = [name for name, each in policies.items() if each["Properties"]["Queues"] == [{"Ref": queue}]]
    assert policy in bucket["DependsOn"], "S3 tests the queue while the bucket is made"
    [sending] = [
        each
        for each in policies[policy]["Properties"]["PolicyDocument"]["Statement"]
        if each["Principal"] == {"Service": "s3.amazonaws.com"}
    ]
    assert sending["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def test_dev_empties_and_removes_and_prod_keeps(dev: Templates, prod: Templates) -> None:
    kept = ("AWS::S3::Bucket", "AWS::SQS::Queue", "AWS::DynamoDB::Table", "AWS::Logs::LogGroup")
    for kind in kept:
        assert {each["DeletionPolicy"] for each in of_type(dev["everything"], kind).values()} == {"Delete"}
        assert {each["DeletionPolicy"] for each in of_type(prod["everything"], kind).values()} == {"Retain"}
    dev["everything"].resource_count_is("Custom::S3AutoDeleteObjects", 1)
    prod["everything"].resource_count_is("Custom::S3AutoDeleteObjects", 0)


@pytest.mark.parametrize(
    "name", ["everything", "plain-v1.5", "open", "batches", "small-models", "gpu-now", "gpu-later"]
)
def test_no_function_makes_a_log_group_that_would_be_left_behind(dev: Templates, name: str) -> None:
    """Whoever may create one, or names none of the stack's, leaves one when the stack is destroyed."""
    groups = of_type(dev[name], "AWS::Logs::LogGroup")
    for function in of_type(dev[name], "AWS::Lambda::Function").values():
        assert function["Properties"]["LoggingConfig"]["LogGroup"]["Ref"] in groups
    roles = [each["Properties"] for each in of_type(dev[name], "AWS::IAM::Role").values()]
    assert "AWSLambdaBasicExecutionRole" not in str(roles)
    assert "logs:CreateLogGroup" not in str([roles, statements(dev[name])])


def test_functions_find_their_bucket_and_table(dev: Templates) -> None:
    template = dev["everything"]
    [queue] = [
        each["Properties"]["Environment"]["Variables"]
        for each in of_type(template, "AWS::Lambda::Function").values()
        if each["Properties"].get("ImageConfig", {}).get("Command") == ["functions.queue.handler.handler"]
    ]
    assert queue["HUNDREDFOLD_RESULTS_BUCKET"]["Ref"] in of_type(template, "AWS::S3::Bucket")
    assert queue["HUNDREDFOLD_IDEMPOTENCY_TABLE"]["Ref"] in of_type(template, "AWS::DynamoDB::Table")


def test_a_queue_without_https_keeps_results_and_says_where(dev: Templates) -> None:
    assert {"QueueUrl", "BucketName"} <= dev["batches"].to_json()["Outputs"].keys()
