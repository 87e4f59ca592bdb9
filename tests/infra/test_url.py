"""The HTTPS URL: for IAM's callers alone unless asked otherwise, and then with a warning nobody can miss."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from aws_cdk.assertions import Annotations, Match, Template

from infra.app import compose
from tests.infra.conftest import Templates
from tests.infra.projects import app_of
from tests.infra.resources import of_type, only, statements


def permissions(template: Template) -> list[tuple[str, Any, bool]]:
    found = [each["Properties"] for each in of_type(template, "AWS::Lambda::Permission").values()]
    return sorted(
        (each["Action"], each["Principal"], each.get("InvokedViaFunctionUrl", False))
        for each in found
        if each["Principal"] != "sns.amazonaws.com"
    )


def test_a_url_is_for_iam_has_no_cors_and_answers_whole(dev: Templates) -> None:
    url = only(dev["plain-v1.5"], "AWS::Lambda::Url")
    assert (url["AuthType"], url["Qualifier"], url["InvokeMode"]) == ("AWS_IAM", "live", "BUFFERED")
    assert "Cors" not in url
    assert permissions(dev["plain-v1.5"]) == []


def test_callers_of_the_account_get_both_permissions_by_a_policy(dev: Templates) -> None:
    granted = {each["Action"]: each for each in statements(dev["plain-v1.5"]) if "Url" in str(each.get("Condition"))}
    assert granted["lambda:InvokeFunctionUrl"]["Condition"] == {
        "StringEquals": {"lambda:FunctionUrlAuthType": "AWS_IAM"}
    }
    assert granted["lambda:InvokeFunction"]["Condition"] == {"Bool": {"lambda:InvokedViaFunctionUrl": True}}
    resources = {str(each["Resource"]) for each in granted.values()}
    assert len(resources) == 1
    assert "Live" in resources.pop()


def test_callers_that_the_stage_names_get_both_permissions(prod: Templates) -> None:
    shop = "arn:aws:iam::210987654321:role/shop"
    assert permissions(prod["plain-v1.5"]) == [
        ("lambda:InvokeFunction", shop, True),
        ("lambda:InvokeFunctionUrl", shop, False),
    ]


def test_a_public_url_was_asked_for_and_gets_both_permissions(dev: Templates) -> None:
    url = only(dev["open"], "AWS::Lambda::Url")
    assert url["AuthType"] == "NONE"
    assert permissions(dev["open"]) == [
        ("lambda:InvokeFunction", "*", True),
        ("lambda:InvokeFunctionUrl", "*", False),
    ]


def test_a_public_url_is_warned_about_and_another_is_not(project: Path) -> None:
    stacks = {stack.node.id: stack for stack in compose(app_of(project, "dev"))}
    loud = Match.string_like_regexp("ANYBODY on the internet")
    assert Annotations.from_stack(stacks["open"]).find_warning("*", loud)
    assert not Annotations.from_stack(stacks["plain-v1.5"]).find_warning("*", Match.any_value())


def test_a_model_that_streams_has_a_streaming_url_and_command(dev: Templates) -> None:
    assert only(dev["open"], "AWS::Lambda::Url")["InvokeMode"] == "RESPONSE_STREAM"
    assert only(dev["open"], "AWS::Lambda::Function", PackageType="Image")["ImageConfig"]["Command"] == [
        "functions.streaming"
    ]


def test_origins_that_were_named_may_use_a_browser(dev: Templates) -> None:
    cors = only(dev["everything"], "AWS::Lambda::Url")["Cors"]
    assert cors["AllowOrigins"] == ["https://example.org"]
    assert cors["AllowMethods"] == ["GET", "POST"]
    signed = {"authorization", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256"}
    # What openai's client for JavaScript sends with every request; `helper-method` with a stream (src/client.ts there).
    told = {"arch", "lang", "os", "package-version", "retry-count", "runtime", "runtime-version", "timeout"}
    allowed = set(cors["AllowHeaders"])
    assert signed | {"content-type", "user-agent", "x-stainless-helper-method"} <= allowed
    assert {f"x-stainless-{name}" for name in told} <= allowed


def test_pages_of_those_origins_read_every_header_that_is_documented(dev: Templates) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "http.md").read_text(encoding="utf-8")
    section = guide.split("## Headers of an answer")[1].split("\n## ")[0]
    documented = set(re.findall(r"`(x-[a-z-]+|retry-after)`", section))
    assert len(documented) > 10
    assert set(only(dev["everything"], "AWS::Lambda::Url")["Cors"]["ExposeHeaders"]) >= documented


def test_the_url_is_an_output(dev: Templates) -> None:
    assert {"Url", "CallersPolicyArn", "DashboardUrl", "AlarmTopicArn"} <= dev["plain-v1.5"].to_json()["Outputs"].keys()


def test_a_model_without_https_has_no_url(dev: Templates) -> None:
    dev["batches"].resource_count_is("AWS::Lambda::Url", 0)
