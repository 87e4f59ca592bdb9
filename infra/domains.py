"""`[STAGE.domains.MODEL]` of `stages.toml`: a name of one's own for the HTTPS URL of a model, or of a group.

Everything is given by id or ARN: nothing is looked up, so that synthesis needs no credentials.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from layers.catalogue import DeploySpec

HostName = Annotated[
    str,
    Field(max_length=253, pattern=r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])$"),
]
CERTIFICATE = re.compile(r"arn:aws:acm:us-east-1:(\d{12}):certificate/[\w-]+")
WEB_ACL = re.compile(r"arn:aws:wafv2:us-east-1:\d{12}:global/webacl/[\w-]+/[\w-]+")


class Domain(BaseModel):
    """One domain. `signed_by` says whose signature an AWS_IAM URL is asked with: the caller's, or CloudFront's own."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: HostName
    certificate_arn: str
    hosted_zone_id: Annotated[str, Field(pattern=r"^Z[A-Z0-9]{1,31}$")] | None = None
    signed_by: Literal["caller", "cloudfront"] = "caller"
    web_acl_arn: str | None = None

    @field_validator("certificate_arn")
    @classmethod
    def _of_cloudfronts_region(cls, arn: str) -> str:
        if not CERTIFICATE.fullmatch(arn):
            raise ValueError(
                "expected arn:aws:acm:us-east-1:ACCOUNT:certificate/ID: CloudFront takes certificates of us-east-1 "
                "alone, wherever the stage is"
            )
        return arn

    @field_validator("web_acl_arn")
    @classmethod
    def _global(cls, arn: str | None) -> str | None:
        if arn is not None and not WEB_ACL.fullmatch(arn):
            raise ValueError("expected arn:aws:wafv2:us-east-1:ACCOUNT:global/webacl/NAME/ID, one made for CloudFront")
        return arn

    @property
    def certificate_account(self) -> str:
        """The account that the certificate is in."""
        return self.certificate_arn.split(":")[4]

    def problem(self, owner: str, deploy: DeploySpec) -> str | None:
        """Why a deployment of that name and table cannot have it; None where it can."""
        table = f"domains.{owner}"
        if "https" not in deploy.triggers:
            return f'{owner}: {table} names a URL, and triggers have no "https"; add it, or remove the domain'
        if self.signed_by == "cloudfront" and deploy.auth == "none":
            return (
                f'{owner}: {table} has signed_by = "cloudfront", and auth = "none" asks for no signature; remove '
                'either key (with auth = "iam" the URL itself is closed, and everybody may ask by the domain)'
            )
        return None
