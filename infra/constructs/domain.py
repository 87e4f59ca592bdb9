"""A domain name for a model's URL: a CloudFront distribution that caches nothing, and an alias in the hosted zone.

A function URL answers to its own host name alone, so a name of one's own needs something that rewrites the host.
CloudFront does, streams, and waits as long as the function may take; API Gateway's HTTP APIs end after 30 s and do not
stream.
"""

from __future__ import annotations

from aws_cdk import Annotations, CfnOutput, Duration
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_cloudfront_origins as origins
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_route53 as route53
from aws_cdk import aws_route53_targets as targets
from constructs import Construct

from infra.acknowledgements import acknowledge
from infra.domains import Domain

# The longest that CloudFront waits for a first or next byte without a raised quota, and an HTTPS function's timeout.
WAIT_SECONDS = 60


class UrlDomain(Construct):
    """The distribution before `url`, of the alias `live`. A caller's own signature goes along as it came."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        url: lambda_.FunctionUrl,
        live: lambda_.Alias,
        domain: Domain,
    ) -> None:
        super().__init__(scope, construct_id)
        self.distribution = cloudfront.Distribution(
            self,
            "Distribution",
            comment=domain.name,
            domain_names=[domain.name],
            certificate=acm.Certificate.from_certificate_arn(self, "Certificate", domain.certificate_arn),
            minimum_protocol_version=cloudfront.SecurityPolicyProtocol.TLS_V1_2_2021,
            http_version=cloudfront.HttpVersion.HTTP2_AND_3,
            web_acl_id=domain.web_acl_arn,
            default_behavior=cloudfront.BehaviorOptions(
                origin=self._origin(url, domain),
                viewer_protocol_policy=cloudfront.ViewerProtocolPolicy.HTTPS_ONLY,
                allowed_methods=cloudfront.AllowedMethods.ALLOW_ALL,
                compress=False,
                cache_policy=cloudfront.CachePolicy.CACHING_DISABLED,
                # Every header but the host, by which a function URL is found.
                origin_request_policy=cloudfront.OriginRequestPolicy.ALL_VIEWER_EXCEPT_HOST_HEADER,
            ),
        )
        if domain.signed_by == "cloudfront":
            self._let_cloudfront_in(live, domain)
        self._acknowledge(domain)
        self._name(domain)

    def _origin(self, url: lambda_.FunctionUrl, domain: Domain) -> cloudfront.IOrigin:
        signing = (
            cloudfront.FunctionUrlOriginAccessControl(self, "Signing") if domain.signed_by == "cloudfront" else None
        )
        return origins.FunctionUrlOrigin(
            url,
            read_timeout=Duration.seconds(WAIT_SECONDS),
            origin_access_control_id=signing.origin_access_control_id if signing else None,
        )

    def _let_cloudfront_in(self, live: lambda_.Alias, domain: Domain) -> None:
        """Both permissions that a URL asks for, on the alias itself."""
        cloudfronts, ours = iam.ServicePrincipal("cloudfront.amazonaws.com"), self.distribution.distribution_arn
        live.add_permission(
            "CloudFrontUrl",
            principal=cloudfronts,
            source_arn=ours,
            action="lambda:InvokeFunctionUrl",
            function_url_auth_type=lambda_.FunctionUrlAuthType.AWS_IAM,
        )
        live.add_permission(
            "CloudFront",
            principal=cloudfronts,
            source_arn=ours,
            action="lambda:InvokeFunction",
            invoked_via_function_url=True,
        )
        if domain.web_acl_arn is None:
            Annotations.of(self).add_warning_v2(
                "hundredfold:public-domain",
                f'signed_by = "cloudfront": ANYBODY on the internet can call https://{domain.name}, and you pay for '
                "every call. CloudFront signs for whoever asks it: remove the key, or name a web_acl_arn.",
            )

    def _name(self, domain: Domain) -> None:
        """Lead the name here, where the zone is given; otherwise say where it must lead."""
        CfnOutput(self, "Url", value=f"https://{domain.name}/").override_logical_id("DomainUrl")
        if domain.hosted_zone_id is None:
            target = self.distribution.distribution_domain_name
            CfnOutput(self, "Target", value=target).override_logical_id("DomainTarget")
            return
        zone = route53.HostedZone.from_hosted_zone_id(self, "Zone", domain.hosted_zone_id)
        leading = route53.RecordTarget.from_alias(targets.CloudFrontTarget(self.distribution))
        # With its last dot the name is complete, and the zone's own is not asked for.
        route53.ARecord(self, "Ipv4", zone=zone, record_name=f"{domain.name}.", target=leading)
        route53.AaaaRecord(self, "Ipv6", zone=zone, record_name=f"{domain.name}.", target=leading)

    def _acknowledge(self, domain: Domain) -> None:
        acknowledge(
            self.distribution,
            "Where callers may be is the operator's choice: a web ACL of the stage can restrict it.",
            "AwsSolutions-CFR1",
        )
        acknowledge(
            self.distribution,
            "Every request reaches the function, whose log has it; an access log would need a bucket for each domain.",
            "AwsSolutions-CFR3",
        )
        if domain.web_acl_arn is None:
            acknowledge(
                self.distribution,
                "A web ACL costs by the month and is the stage's to name; reserved concurrency bounds a flood's cost.",
                "AwsSolutions-CFR2",
            )
