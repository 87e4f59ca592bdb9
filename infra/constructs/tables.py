"""Tables that functions of a model share: what was answered already, and which records are being worked on."""

from __future__ import annotations

from aws_cdk import aws_dynamodb as dynamodb
from constructs import Construct

from infra.acknowledgements import acknowledge
from infra.constructs.logs import removal_of
from infra.stages import Stage

# The names that Powertools' idempotency uses, and the response cache with it.
KEY = "id"
EXPIRES = "expiration"


class ExpiringTable(Construct):
    """A table billed by request whose items expire by themselves."""

    def __init__(self, scope: Construct, construct_id: str, *, stage: Stage) -> None:
        super().__init__(scope, construct_id)
        self.table = dynamodb.Table(
            self,
            "Table",
            partition_key=dynamodb.Attribute(name=KEY, type=dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            time_to_live_attribute=EXPIRES,
            removal_policy=removal_of(stage),
        )
        acknowledge(
            self.table,
            "Every item expires within hours and can be computed again: there is nothing to recover.",
            "AwsSolutions-DDB3",
        )
