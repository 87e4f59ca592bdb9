"""What an asynchronous endpoint exchanges requests and answers by: a bucket, and a topic for each kind of end."""

from __future__ import annotations

from aws_cdk import CfnOutput
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sagemaker as sagemaker
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra.constructs.bucket import grant_listing, grant_objects, private_bucket
from infra.stages import Stage

REQUESTS, ANSWERS, FAILURES = "requests/", "answers/", "failures/"
# More at once than one instance batches would only wait inside it.
AT_ONCE_PER_INSTANCE = 16


class Exchange(Construct):
    """`bucket` keeps requests, answers and failures until they expire; `succeeded` and `failed` announce each."""

    def __init__(self, scope: Construct, construct_id: str, *, stage: Stage) -> None:
        super().__init__(scope, construct_id)
        self.bucket: s3.Bucket = private_bucket(self, stage, expiring=(REQUESTS, ANSWERS, FAILURES))
        self.succeeded = sns.Topic(self, "Succeeded", enforce_ssl=True)
        self.failed = sns.Topic(self, "Failed", enforce_ssl=True)
        CfnOutput(self, "SucceededArn", value=self.succeeded.topic_arn).override_logical_id("SucceededTopicArn")
        CfnOutput(self, "FailedArn", value=self.failed.topic_arn).override_logical_id("FailedTopicArn")

    def grant_endpoint(self, role: iam.Role) -> None:
        """The endpoint reads requests, writes answers and failures, and announces them.

        What AWS's page async-inference-create-endpoint-prerequisites asks for, each folder for its own.
        """
        grant_objects(role, self.bucket, REQUESTS, "s3:GetObject")
        for prefix in (ANSWERS, FAILURES):
            grant_objects(role, self.bucket, prefix, "s3:PutObject", "s3:AbortMultipartUpload")
        grant_listing(role, self.bucket)
        self.succeeded.grant_publish(role)
        self.failed.grant_publish(role)

    def grant_forwarding(self, function: lambda_.IFunction) -> None:
        """A forwarding function leaves requests. Whoever may call it may read where the answer will be."""
        grant_objects(function, self.bucket, REQUESTS, "s3:PutObject")

    def grant_reading(self, function: lambda_.IFunction) -> None:
        """Answers and failures, and no requests."""
        for prefix in (ANSWERS, FAILURES):
            grant_objects(function, self.bucket, prefix, "s3:GetObject")
        grant_listing(function, self.bucket)

    def configuration(self) -> sagemaker.CfnEndpointConfig.AsyncInferenceConfigProperty:
        """As the endpoint's configuration states it."""
        config = sagemaker.CfnEndpointConfig
        return config.AsyncInferenceConfigProperty(
            client_config=config.AsyncInferenceClientConfigProperty(
                max_concurrent_invocations_per_instance=AT_ONCE_PER_INSTANCE
            ),
            output_config=config.AsyncInferenceOutputConfigProperty(
                s3_output_path=self.bucket.s3_url_for_object(ANSWERS),
                s3_failure_path=self.bucket.s3_url_for_object(FAILURES),
                notification_config=config.AsyncInferenceNotificationConfigProperty(
                    success_topic=self.succeeded.topic_arn, error_topic=self.failed.topic_arn
                ),
            ),
        )
