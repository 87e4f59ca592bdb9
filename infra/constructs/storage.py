"""What functions of a model keep: a bucket for objects and results, and tables where they are configured."""

from __future__ import annotations

from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.constructs.bucket import INPUT_PREFIX, RESULTS_PREFIX, DataBucket, grant_listing, grant_objects
from infra.constructs.tables import ExpiringTable
from infra.stages import Stage
from layers.catalogue import DeploySpec, Trigger

# What Powertools' idempotency does with a table.
CLAIMING = ("dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem")


class ModelStorage(Construct):
    """`bucket` is there for queue and bucket triggers alone. Each trigger's function is granted what it uses."""

    def __init__(self, scope: Construct, construct_id: str, *, deploy: DeploySpec, stage: Stage) -> None:
        super().__init__(scope, construct_id)
        keeps_results = {"queue", "bucket"} & set(deploy.triggers)
        self.bucket = DataBucket(self, "Data", stage=stage) if keeps_results else None
        self._claims = ExpiringTable(self, "Claims", stage=stage) if deploy.idempotency else None
        self._responses = ExpiringTable(self, "Responses", stage=stage) if deploy.response_cache else None

    def environment(self, trigger: Trigger) -> dict[str, str]:
        """The variables by which a trigger's function finds what it was granted."""
        found = {}
        if trigger == "https" and self._responses:
            found["HUNDREDFOLD_RESPONSE_CACHE_TABLE"] = self._responses.table.table_name
        if trigger != "https" and self.bucket:
            found["HUNDREDFOLD_RESULTS_BUCKET"] = self.bucket.bucket.bucket_name
            found["HUNDREDFOLD_RESULTS_PREFIX"] = RESULTS_PREFIX
        if trigger == "queue" and self._claims:
            found["HUNDREDFOLD_IDEMPOTENCY_TABLE"] = self._claims.table.table_name
        return found

    def grant(self, trigger: Trigger, function: lambda_.IFunction) -> None:
        """Kept answers are for HTTPS, claims for records; an object's function reads results to resume."""
        if trigger == "https" and self._responses:
            self._responses.table.grant(function, "dynamodb:GetItem", "dynamodb:PutItem")
        if trigger == "queue" and self._claims:
            self._claims.table.grant(function, *CLAIMING)
        if trigger == "https" or self.bucket is None:
            return
        bucket = self.bucket.bucket
        if trigger == "queue":
            grant_objects(function, bucket, RESULTS_PREFIX, "s3:PutObject")
        else:
            grant_objects(function, bucket, INPUT_PREFIX, "s3:GetObject")
            grant_objects(function, bucket, RESULTS_PREFIX, "s3:GetObject", "s3:PutObject")
            grant_listing(function, bucket)
