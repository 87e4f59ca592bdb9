"""What an asynchronous endpoint exchanges requests and answers by: a bucket, and a topic for each kind of end."""

from __future__ import annotations

from aws_cdk import CfnOutput
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sagemaker as sagemaker
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra.constructs.bucket import acknowledge_objects, private_bucket
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
        """The endpoint reads requests, writes answers and failures, and announces them."""
        self.bucket.grant_read(role, f"{REQUESTS}*")
        for prefix in (ANSWERS, FAILURES):
            self.bucket.grant_put(role, f"{prefix}*")
        acknowledge_objects(role, self.bucket, REQUESTS, ANSWERS, FAILURES)
        self.succeeded.grant_publish(role)
        self.failed.grant_publish(role)

    def grant_forwarding(self, function: lambda_.IFunction) -> None:
        """A forwarding function leaves requests. Whoever may call it may read where the answer will be."""
        self.bucket.grant_put(function, f"{REQUESTS}*")
        acknowledge_objects(function, self.bucket, REQUESTS)

    def grant_reading(self, function: lambda_.IFunction) -> None:
        """Answers, and no requests."""
        self.bucket.grant_read(function, f"{ANSWERS}*")
        acknowledge_objects(function, self.bucket, ANSWERS)

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
