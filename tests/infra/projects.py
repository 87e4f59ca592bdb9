"""Folders as a user has them before `cdk deploy`: a catalogue, stages, and artifacts that a build would have left.

Files of the artifacts hold nothing that could be run: the CDK application never opens a model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aws_cdk import App

from layers.artifact import INSTRUCTION_SETS, Golden, Manifest, Source, record_file
from layers.catalogue import ModelSpec, read_catalogue
from tests.infra.planner.manifests import manifest_of

CATALOGUE = """
[everything]
source = "checkpoint"
task = "text-classification"
[everything.deploy]
triggers = ["https", "queue", "bucket"]
memory_mib = 3538
target = "lambda"
concurrency = 20
provisioned = 2
provisioned_max = 8
cors_origins = ["https://example.org"]
idempotency = true
response_cache = true
[[everything.deploy.schedule]]
cron = "0 8 ? * MON-FRI *"
minimum = 4
maximum = 8

["plain-v1.5"]
source = "checkpoint"
task = "text-classification"

[open]
source = "checkpoint"
task = "text-classification"
[open.deploy]
auth = "none"
streaming = true

[batches]
source = "checkpoint"
task = "text-classification"
[batches.deploy]
target = "lambda"
memory_mib = 1769
triggers = ["queue"]
snapstart = true

[first]
source = "checkpoint"
task = "text-classification"
[first.deploy]
group = "small-models"

[second]
source = "checkpoint"
task = "text-classification"
[second.deploy]
group = "small-models"

[gpu-now]
source = "checkpoint"
task = "text-classification"
[gpu-now.traffic]
requests_per_second = 3
[gpu-now.deploy]
target = "gpu"
mode = "realtime"
instance_type = "ml.g5.xlarge"
triggers = ["https", "queue", "bucket"]
idempotency = true

[gpu-later]
source = "checkpoint"
task = "text-classification"
[gpu-later.deploy]
target = "gpu"
mode = "asynchronous"
instance_type = "ml.g5.xlarge"
triggers = ["https", "queue"]

[unbuilt]
source = "checkpoint"
task = "text-classification"
"""

STAGES = """
[dev]
log_retention_days = 7

[prod]
account = "123456789012"
region = "eu-central-1"
stack_prefix = "prod-"
retain_data = true
log_retention_days = 90
rollout = "canary-5-minutes"
alarm_emails = ["oncall@example.org"]
callers = ["arn:aws:iam::210987654321:role/shop"]
monthly_budget_usd = 500
max_concurrency = 100
[prod.tags]
team = "search"

[prod.domains."plain-v1.5"]
name = "plain.example.org"
certificate_arn = "arn:aws:acm:us-east-1:123456789012:certificate/0a1b"
hosted_zone_id = "Z0123456789ABC"

[prod.domains.everything]
name = "everything.example.org"
certificate_arn = "arn:aws:acm:us-east-1:123456789012:certificate/0a1b"
signed_by = "cloudfront"

[prod.domains.open]
name = "open.example.org"
certificate_arn = "arn:aws:acm:us-east-1:123456789012:certificate/0a1b"
web_acl_arn = "arn:aws:wafv2:us-east-1:123456789012:global/webacl/few/0a1b"
"""


def write_project(folder: Path, catalogue: str = CATALOGUE, stages: str = STAGES) -> Path:
    """The folder, with an artifact for every model but those named `unbuilt`."""
    (folder / "models.toml").write_text(catalogue, encoding="utf-8")
    (folder / "stages.toml").write_text(stages, encoding="utf-8")
    for spec in read_catalogue(folder / "models.toml").values():
        if spec.name != "unbuilt":
            write_artifact(
                folder / "build" / spec.name, spec, target="cuda" if spec.deploy.target == "gpu" else "x86_64"
            )
    return folder


def write_artifact(directory: Path, spec: ModelSpec, *, target: str = "x86_64", **changes: Any) -> Manifest:
    """An artifact of one variant, current and accurate; `changes` are fields of its manifest."""
    directory.mkdir(parents=True)
    for name in ("model.int8.onnx", "model.int8.data", "tokenizer.json"):
        (directory / name).write_text(f"{spec.name} {name}", encoding="utf-8")
    manifest = manifest_of(instruction_sets=INSTRUCTION_SETS[target])
    fields: Mapping[str, Any] = {
        "name": spec.name,
        "spec": spec,
        "digest": f"digest of {spec.name}",
        "target": target,
        "source": Source(location=spec.source, revision=None, files={}),
        "goldens": (Golden(inputs="a text", outputs=[[{"label": "a", "score": 0.75}]], tolerance=0.05),),
        "files": {path.name: record_file(path) for path in sorted(directory.iterdir())},
        **changes,
    }
    manifest = manifest.model_copy(update=fields)
    manifest.write(directory)
    return manifest


def app_of(folder: Path, stage: str, **context: str) -> App:
    """The application over that folder, as `cdk.json` configures it."""
    configured = json.loads((Path(__file__).resolve().parents[2] / "cdk.json").read_text(encoding="utf-8"))["context"]
    own = {
        "catalog": str(folder / "models.toml"),
        "stages": str(folder / "stages.toml"),
        "output": str(folder / "build"),
        "stage": stage,
    }
    return App(context={**configured, **own, **context})
