"""A queue of jobs with its dead-letter queue: encrypted, over TLS only, and never losing a record in silence."""

from __future__ import annotations

from aws_cdk import Annotations, CfnOutput, Duration
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as sources
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.acknowledgements import acknowledge
from infra.constructs.logs import removal_of
from infra.stages import Stage

# AWS's advice: six times the function's timeout, and at least five receives before a record is given up.
VISIBILITY_FACTOR = 6
MAX_RECEIVES = 5
RETENTION_DAYS = 4
DEAD_LETTER_RETENTION_DAYS = 14
# What an event source mapping allows for MaximumConcurrency.
CONCURRENCY_RANGE = (2, 1000)


class JobQueue(Construct):
    """`queue` and `dead_letters`; `feed` gives the records to a function in batches that may fail in part."""

    def __init__(self, scope: Construct, construct_id: str, *, function_timeout: Duration, stage: Stage) -> None:
        super().__init__(scope, construct_id)
        self.dead_letters = sqs.Queue(
            self,
            "DeadLetters",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=Duration.days(DEAD_LETTER_RETENTION_DAYS),
            removal_policy=removal_of(stage),
        )
        self.queue = sqs.Queue(
            self,
            "Queue",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            visibility_timeout=Duration.seconds(VISIBILITY_FACTOR * int(function_timeout.to_seconds())),
            retention_period=Duration.days(RETENTION_DAYS),
            dead_letter_queue=sqs.DeadLetterQueue(max_receive_count=MAX_RECEIVES, queue=self.dead_letters),
            removal_policy=removal_of(stage),
        )
        acknowledge(
            self.dead_letters,
            "It is the dead-letter queue: what arrives here raises an alarm and waits for a person.",
            "Serverless-SQSRedrivePolicy",
        )

    def feed(self, live: lambda_.Alias, *, batch_size: int, concurrency: int) -> None:
        """Invoke the alias with up to `batch_size` records; only records that it names as failed come back."""
        lowest, highest = CONCURRENCY_RANGE
        source = sources.SqsEventSource(
            self.queue,
            batch_size=batch_size,
            report_batch_item_failures=True,
            # For a function that is switched off it would go on reading, and give records up after five receives.
            # Always stated: an update that states nothing leaves a mapping as it is.
            enabled=concurrency > 0,
            max_concurrency=min(max(concurrency, lowest), highest),
        )
        live.add_event_source(source)
        if 0 < concurrency < lowest:
            # aws-cdk#24180: refused batches stay hidden, are received again, and end as dead letters.
            Annotations.of(self).add_warning_v2(
                "hundredfold:one-reader",
                f"concurrency = {concurrency}: Lambda reads a queue two batches at a time at least, and the second is "
                "throttled. Under load that rings Throttles, and a record refused five times is a dead letter. State "
                "[deploy] concurrency = 2, and no lower max_concurrency of the stage.",
            )
        acknowledge(
            live,
            "An SQS source takes no failure destination; its queue's redrive policy is the destination.",
            "Serverless-LambdaEventSourceMappingDestination",
        )

    def announce(self, name: str) -> None:
        """Make the queue's URL an output of the stack."""
        CfnOutput(self, "Url", value=self.queue.queue_url).override_logical_id(name)
