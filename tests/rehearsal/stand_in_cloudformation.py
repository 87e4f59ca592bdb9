"""moto's server, with the resources that its CloudFormation skips in silence: they are made by the services' own API.

    python -c 'from tests.rehearsal.stand_in_cloudformation import serve; serve(5555)'

Bucket policies stay skipped: moto enforces their denials without their conditions, so that no upload would pass.
A stand-in for AWS on loopback. What it makes can be found by boto3; that AWS would make the same is not proven by it.
"""

from __future__ import annotations

import json
import os
from typing import Any

import boto3
import moto.cloudformation.parsing  # noqa: F401  # moto names its kinds first, so that those below win
from moto.core.common_models import CloudFormationModel
from moto.server import main

ADDRESS = "127.0.0.1"


def client(service: str, region: str) -> Any:
    """A client of this very server, which answers it on another thread."""
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client(service, region_name=region, endpoint_url=os.environ["AWS_ENDPOINT_URL"], **keys)


class ByApi:
    """What moto asks of a kind of resource. `physical_resource_id` is what Ref gives."""

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def physical_resource_id(self) -> str:
        """The resource's name."""
        return self._name

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:
        """Arn alone, which is the name where a kind has no other."""
        return attr in ("Arn", "FunctionUrl")

    def get_cfn_attribute(self, attribute_name: str) -> str:  # noqa: ARG002
        """The name stands for all of them."""
        return self._name

    @classmethod
    def create(cls, name: str, properties: dict[str, Any], region: str) -> str:
        """Make it; returns what Ref gives."""
        raise NotImplementedError

    @classmethod
    def remove(cls, name: str, region: str) -> None:
        """Those that do not go with the resource they belong to are deleted here.

        Not named `delete`: moto would call that by itself, with an account in the place of the name.
        """

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str, **kwargs: Any
    ) -> Any:
        """As moto calls it."""
        del account_id, kwargs
        return cls(cls.create(resource_name, cloudformation_json["Properties"], region_name))

    @classmethod
    def delete_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str
    ) -> None:
        """As moto calls it."""
        del cloudformation_json, account_id
        cls.remove(resource_name, region_name)


class Version(ByApi, CloudFormationModel):
    """In place of moto's own, which has neither ARN nor number."""

    @staticmethod
    def cloudformation_type() -> str:
        """Its type."""
        return "AWS::Lambda::Version"

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:
        """Its number alone."""
        return attr == "Version"

    def get_cfn_attribute(self, attribute_name: str) -> str:  # noqa: ARG002
        """The end of its ARN."""
        return self.physical_resource_id.rpartition(":")[2]

    @classmethod
    def create(cls, name: str, properties: dict[str, Any], region: str) -> str:
        """Of the function as it is."""
        del name
        published = client("lambda", region).publish_version(FunctionName=properties["FunctionName"])
        return str(published["FunctionArn"])


class Alias(ByApi, CloudFormationModel):
    """`Ref` is the alias' ARN."""

    @staticmethod
    def cloudformation_type() -> str:
        """Its type."""
        return "AWS::Lambda::Alias"

    @classmethod
    def create(cls, name: str, properties: dict[str, Any], region: str) -> str:
        """On the version named."""
        del name
        known = {key: properties[key] for key in ("FunctionName", "FunctionVersion", "Name")}
        return str(client("lambda", region).create_alias(**known)["AliasArn"])


class Url(ByApi, CloudFormationModel):
    """moto keeps a function's URL without its qualifier."""

    @staticmethod
    def cloudformation_type() -> str:
        """Its type."""
        return "AWS::Lambda::Url"

    @classmethod
    def create(cls, name: str, properties: dict[str, Any], region: str) -> str:
        """Its address stands for it."""
        del name
        known = {key: properties[key] for key in ("AuthType", "InvokeMode", "Cors") if key in properties}
        function = properties["TargetFunctionArn"]
        return str(client("lambda", region).create_function_url_config(FunctionName=function, **known)["FunctionUrl"])


class Alarm(ByApi, CloudFormationModel):
    """By its name."""

    @staticmethod
    def cloudformation_type() -> str:
        """Its type."""
        return "AWS::CloudWatch::Alarm"

    @classmethod
    def create(cls, name: str, properties: dict[str, Any], region: str) -> str:
        """With whatever the template says of it."""
        client("cloudwatch", region).put_metric_alarm(**{"AlarmName": name, **properties})
        return name

    @classmethod
    def remove(cls, name: str, region: str) -> None:
        """It belongs to nothing else."""
        client("cloudwatch", region).delete_alarms(AlarmNames=[name])


class ScalableTarget(ByApi, CloudFormationModel):
    """By what is scaled."""

    @staticmethod
    def cloudformation_type() -> str:
        """Its type."""
        return "AWS::ApplicationAutoScaling::ScalableTarget"

    @classmethod
    def create(cls, name: str, properties: dict[str, Any], region: str) -> str:
        """Without its scheduled actions, which have a call of their own."""
        del name
        known = {key: value for key, value in properties.items() if key not in ("ScheduledActions", "RoleARN")}
        client("application-autoscaling", region).register_scalable_target(**known)
        return "|".join(properties[key] for key in ("ResourceId", "ScalableDimension", "ServiceNamespace"))


class QueuePolicy(ByApi, CloudFormationModel):
    """An attribute of its queues."""

    @staticmethod
    def cloudformation_type() -> str:
        """Its type."""
        return "AWS::SQS::QueuePolicy"

    @classmethod
    def create(cls, name: str, properties: dict[str, Any], region: str) -> str:
        """The same for each queue."""
        policy = json.dumps(properties["PolicyDocument"])
        for url in properties["Queues"]:
            client("sqs", region).set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
        return name


def serve(port: int) -> None:
    """Answer until the process ends. AWS_ENDPOINT_URL must name this server."""
    main(["-H", ADDRESS, "-p", str(port)])
