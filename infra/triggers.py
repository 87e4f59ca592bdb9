"""What each trigger's function runs and how long it may take."""

from __future__ import annotations

from dataclasses import dataclass

from layers.catalogue import DeploySpec, Trigger


@dataclass(frozen=True)
class Job:
    """A trigger's command in the image, its timeout in seconds, and how many records it is given at once."""

    command: str
    timeout_seconds: int
    batch_size: int = 1


# A caller of HTTPS waits, so its function may not take longer than callers do. A queue's batch is predicted together.
# An object is read in ranges that end before Lambda's longest timeout does.
JOBS: dict[Trigger, Job] = {
    "https": Job("functions.https.handler.handler", timeout_seconds=60),
    "queue": Job("functions.queue.handler.handler", timeout_seconds=120, batch_size=10),
    "bucket": Job("functions.bucket.handler.handler", timeout_seconds=900),
}
STREAMING = Job("functions.streaming", timeout_seconds=300)


def job_of(trigger: Trigger, deploy: DeploySpec) -> Job:
    """A model that streams over HTTPS has a command of its own there."""
    return STREAMING if trigger == "https" and deploy.streaming else JOBS[trigger]
