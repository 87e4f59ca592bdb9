"""What an image may weigh, and the refusal of what cannot be one."""

from __future__ import annotations

from collections.abc import Sequence

from layers.artifact import Manifest
from layers.errors import ArtifactError

# Uncompressed, with every layer of the base (docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html).
LAMBDA_IMAGE_BYTES = 10 * 10**9
# Dependencies and code, without model and base; `dependency_layer.py` checks it in the build.
BUDGET_BYTES = 300 * 10**6
# Room for the base. An allowance, not a measurement: bases differ.
BASE_ALLOWANCE_BYTES = 700 * 10**6
ARTIFACT_BYTES = LAMBDA_IMAGE_BYTES - BUDGET_BYTES - BASE_ALLOWANCE_BYTES


def refuse_oversize(artifacts: Sequence[tuple[Manifest, int]], limit_bytes: int = ARTIFACT_BYTES) -> None:
    """Raises ArtifactError when the artifacts, each with the bytes that would be copied, fit no Lambda image."""
    total = sum(size for _, size in artifacts)
    if total > limit_bytes:
        names = ", ".join(manifest.name for manifest, _ in artifacts)
        raise ArtifactError(
            f"{names}: got {total:,} bytes of model, expected at most {limit_bytes:,}: a Lambda image holds "
            f"{LAMBDA_IMAGE_BYTES:,} with base and dependencies. Serve it from a GPU endpoint on SageMaker "
            '(deploy.target = "gpu"), or build it at a smaller precision.'
        )
