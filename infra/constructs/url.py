"""The HTTPS URL of a function. IAM unless `auth = "none"` was asked for; no CORS unless origins were named."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Annotations, CfnOutput, Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.stages import Stage
from layers.catalogue import DeploySpec

PREFLIGHT_HOURS = 1
# What pages send along: callers of IAM by SigV4, and OpenAI's client in JavaScript, which tells of itself.
BROWSER_HEADERS = [
    *("authorization", "content-type", "user-agent", "x-use-cache"),
    *("x-amz-content-sha256", "x-amz-date", "x-amz-security-token"),
    *("x-stainless-arch", "x-stainless-helper-method", "x-stainless-lang", "x-stainless-os"),
    *("x-stainless-package-version", "x-stainless-retry-count", "x-stainless-runtime", "x-stainless-runtime-version"),
    "x-stainless-timeout",
]
# What pages may read of an answer besides its body and type (docs/http.md); clients wait as `retry-after` says.
ANSWER_HEADERS = [
    *("retry-after", "x-amzn-requestid", "x-cache", "x-cold-start", "x-init-time", "x-truncated-tokens"),
    *("x-compute-texts", "x-compute-time", "x-compute-tokens", "x-compute-type", "x-generated-tokens"),
    *("x-inference-time", "x-queue-time", "x-tokenization-time", "x-total-time"),
]


class HttpsUrl(Construct):
    """A URL on the `live` alias, and who may call it.

    Since October 2025 Lambda wants two permissions of a URL's callers: lambda:InvokeFunctionUrl, and
    lambda:InvokeFunction by way of the URL (aws-cdk PR#35725). Both are granted here, always together.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, live: lambda_.Alias, deploy: DeploySpec, stage: Stage
    ) -> None:
        super().__init__(scope, construct_id)
        self.url = live.add_function_url(
            auth_type=lambda_.FunctionUrlAuthType.NONE
            if deploy.auth == "none"
            else lambda_.FunctionUrlAuthType.AWS_IAM,
            cors=_cors(deploy.cors_origins),
            invoke_mode=lambda_.InvokeMode.RESPONSE_STREAM if deploy.streaming else lambda_.InvokeMode.BUFFERED,
        )
        if deploy.auth == "none":
            Annotations.of(self).add_warning_v2(
                "hundredfold:public-url",
                'auth = "none": ANYBODY on the internet can call this URL, and you pay for every call. '
                "Remove the key for AWS_IAM, or lower concurrency to bound the cost.",
            )
        else:
            self._let_callers_in(stage)
        CfnOutput(self, "Url", value=self.url.url).override_logical_id("Url")

    def _let_callers_in(self, stage: Stage) -> None:
        """Principals that the stage names, and whoever of this account the policy is attached to."""
        for arn in stage.callers:
            self.url.grant_invoke_url(iam.ArnPrincipal(arn))
        policy = iam.ManagedPolicy(self, "Callers", description="May call the HTTPS URL of this model.")
        self.url.grant_invoke_url(policy.grant_principal)
        CfnOutput(self, "Policy", value=policy.managed_policy_arn).override_logical_id("CallersPolicyArn")


def _cors(origins: Sequence[str]) -> lambda_.FunctionUrlCorsOptions | None:
    if not origins:
        return None
    return lambda_.FunctionUrlCorsOptions(
        allowed_origins=list(origins),
        allowed_methods=[lambda_.HttpMethod.GET, lambda_.HttpMethod.POST],
        allowed_headers=BROWSER_HEADERS,
        exposed_headers=ANSWER_HEADERS,
        max_age=Duration.hours(PREFLIGHT_HOURS),
    )
