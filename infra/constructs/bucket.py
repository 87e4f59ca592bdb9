"""The model's bucket: objects to predict under `input/`, results under `results/`. Private, encrypted, TLS only."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import CfnElement, CfnOutput, CfnResource, Duration, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.acknowledgements import acknowledge
from infra.constructs.logs import RETENTION, removal_of
from infra.stages import Stage

INPUT_PREFIX = "input/"
RESULTS_PREFIX = "results/"
ABANDONED_UPLOAD_DAYS = 1
# As CDK names what empties the buckets of a stack.
EMPTYING = "Custom::S3AutoDeleteObjectsCustomResourceProvider"


def private_bucket(scope: Construct, stage: Stage, *, expiring: Sequence[str]) -> s3.Bucket:
    """A bucket for a stage's data; objects under the `expiring` prefixes go after the stage's `results_days`.

    In a stage that keeps no data it is emptied and removed with the stack.
    """
    bucket = s3.Bucket(
        scope,
        "Bucket",
        block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
        encryption=s3.BucketEncryption.S3_MANAGED,
        enforce_ssl=True,
        minimum_tls_version=1.2,
        object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
        lifecycle_rules=[
            *(s3.LifecycleRule(prefix=prefix, expiration=Duration.days(stage.results_days)) for prefix in expiring),
            s3.LifecycleRule(abort_incomplete_multipart_upload_after=Duration.days(ABANDONED_UPLOAD_DAYS)),
        ],
        removal_policy=removal_of(stage),
        auto_delete_objects=removal_of(stage) == RemovalPolicy.DESTROY,
    )
    if removal_of(stage) == RemovalPolicy.DESTROY:
        _keep_the_log_of_emptying(bucket.stack, stage)
    acknowledge(
        bucket,
        "Who read which object is answered by the account's CloudTrail data events, which cover all buckets; an "
        "access log would need a second bucket for each model.",
        "AwsSolutions-S1",
    )
    return bucket


def _keep_the_log_of_emptying(stack: Stack, stage: Stage) -> None:
    """CDK's function that empties buckets would make itself a log group, which stays and is paid for."""
    provider = stack.node.find_child(EMPTYING)
    assert isinstance(provider, Construct)
    if provider.node.try_find_child("LogGroup"):
        return
    retention = RETENTION[stage.log_retention_days]
    log_group = logs.LogGroup(provider, "LogGroup", retention=retention, removal_policy=RemovalPolicy.DESTROY)
    handler, role = provider.node.find_child("Handler"), provider.node.find_child("Role")
    assert isinstance(handler, CfnResource)
    assert isinstance(role, CfnResource)
    handler.add_property_override("LoggingConfig", {"LogGroup": log_group.log_group_name})
    writing = {
        "Effect": "Allow",
        "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
        "Resource": log_group.log_group_arn,
    }
    # In place of AWSLambdaBasicExecutionRole, by which it could make the group again after it was removed.
    role.add_property_deletion_override("ManagedPolicyArns")
    policy = {"Version": "2012-10-17", "Statement": [writing]}
    role.add_property_override("Policies", [{"PolicyName": "Log", "PolicyDocument": policy}])


def grant_objects(holder: iam.IGrantable, bucket: s3.Bucket, prefix: str, *actions: str) -> None:
    """Actions on objects below a prefix, by their names: CDK's grants of objects have others, such as deleting."""
    objects = bucket.arn_for_objects(f"{prefix}*")
    iam.Grant.add_to_principal(grantee=holder, actions=list(actions), resource_arns=[objects])
    resource = bucket.node.default_child
    assert isinstance(resource, CfnElement)
    name = bucket.stack.get_logical_id(resource)
    role = holder.grant_principal
    assert isinstance(role, iam.Role)
    acknowledge(
        role, "Objects of this one bucket, below a prefix.", f"AwsSolutions-IAM5[Resource::<{name}.Arn>/{prefix}*]"
    )


def grant_listing(holder: iam.IGrantable, bucket: s3.Bucket) -> None:
    """Whoever may not list is told of an object that is not there that it is forbidden."""
    iam.Grant.add_to_principal(grantee=holder, actions=["s3:ListBucket"], resource_arns=[bucket.bucket_arn])


class DataBucket(Construct):
    """`bucket`, and the notifications that lead from it to a queue."""

    def __init__(self, scope: Construct, construct_id: str, *, stage: Stage) -> None:
        super().__init__(scope, construct_id)
        self.bucket = private_bucket(self, stage, expiring=(RESULTS_PREFIX,))
        CfnOutput(self, "Name", value=self.bucket.bucket_name).override_logical_id("BucketName")

    def notify(self, queue: sqs.Queue) -> None:
        """Send an event to the queue for each object created under `input/`; never for results.

        Written as the bucket's own property, because CDK's way is a custom resource that may change the notifications
        of every bucket. The queue's policy names the account and not the bucket: S3 tests the queue while the bucket is
        being made, when nothing can name it yet.
        """
        queue.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("s3.amazonaws.com")],
                actions=["sqs:SendMessage"],
                resources=[queue.queue_arn],
                conditions={"StringEquals": {"aws:SourceAccount": self.bucket.stack.account}},
            )
        )
        resource = self.bucket.node.default_child
        assert isinstance(resource, s3.CfnBucket)
        resource.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
            queue_configurations=[
                s3.CfnBucket.QueueConfigurationProperty(
                    event="s3:ObjectCreated:*",
                    queue=queue.queue_arn,
                    filter=s3.CfnBucket.NotificationFilterProperty(
                        s3_key=s3.CfnBucket.S3KeyFilterProperty(
                            rules=[s3.CfnBucket.FilterRuleProperty(name="prefix", value=INPUT_PREFIX)]
                        )
                    ),
                )
            ]
        )
        policy = queue.node.find_child("Policy")
        resource.node.add_dependency(policy)
