"""Reading templates: resources by type, and the references between them."""

from __future__ import annotations

import json
from typing import Any

from aws_cdk.assertions import Template


def of_type(template: Template, kind: str) -> dict[str, dict[str, Any]]:
    """Every resource of a type, by logical id."""
    return dict(template.find_resources(kind))


def only(template: Template, kind: str, **properties: Any) -> dict[str, Any]:
    """The properties of the one resource of a type that has these properties."""
    found = [
        resource["Properties"]
        for resource in of_type(template, kind).values()
        if all(resource["Properties"].get(key) == value for key, value in properties.items())
    ]
    assert len(found) == 1, f"{len(found)} of {kind} with {properties}"
    return found[0]


def statements(template: Template) -> list[dict[str, Any]]:
    """Every statement of every IAM policy of the stack."""
    kinds = ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy")
    policies = [resource for kind in kinds for resource in of_type(template, kind).values()]
    return [statement for policy in policies for statement in policy["Properties"]["PolicyDocument"]["Statement"]]


def model_functions(template: Template) -> dict[str, dict[str, Any]]:
    """Properties of the functions that carry the model, by logical id."""
    functions = of_type(template, "AWS::Lambda::Function")
    return {
        name: each["Properties"] for name, each in functions.items() if each["Properties"].get("PackageType") == "Image"
    }


def alarms(template: Template) -> dict[str, dict[str, Any]]:
    """Properties of alarms by what they say."""
    found = of_type(template, "AWS::CloudWatch::Alarm").values()
    return {alarm["Properties"]["AlarmDescription"]: alarm["Properties"] for alarm in found}


def widgets(template: Template) -> list[dict[str, Any]]:
    """The dashboard's widgets; references become names between angle brackets."""
    parts = only(template, "AWS::CloudWatch::Dashboard")["DashboardBody"]["Fn::Join"][1]
    text = "".join(part if isinstance(part, str) else "<reference>" for part in parts)
    return [widget["properties"] for widget in json.loads(text)["widgets"]]
