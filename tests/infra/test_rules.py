"""Every stack against cdk-nag's packs and cfn-lint: no finding without a reason, no error in a template."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from aws_cdk import Stack
from aws_cdk import aws_sqs as sqs

from infra.app import compose
from tests.infra.projects import app_of


@pytest.mark.parametrize("stage", ["dev", "prod"])
def test_no_finding_of_cdk_nag_is_without_a_reason(project: Path, stage: str) -> None:
    """A finding would fail the synthesis itself; the report lists nothing that was let through."""
    app = app_of(project, stage, nag="1")
    compose(app)
    assembly = Path(app.synth().directory)
    report = json.loads((assembly / "validation-report.json").read_text(encoding="utf-8"))
    assert report["pluginReports"] == []


def test_a_finding_without_a_reason_fails_the_synthesis(project: Path) -> None:
    app = app_of(project, "dev", nag="1")
    compose(app)
    sqs.Queue(Stack(app, "careless"), "Queue")
    with pytest.raises(Exception, match="AwsSolutions-SQS4"):
        app.synth()


def test_templates_pass_cfn_lint(project: Path, tmp_path: Path) -> None:
    for stage in ("dev", "prod"):
        app = app_of(project, stage)
        compose(app)
        for template in Path(app.synth().directory).glob("*.template.json"):
            (tmp_path / f"{stage}-{template.name}").write_bytes(template.read_bytes())
    files = sorted(str(path) for path in tmp_path.glob("*.json"))
    assert len(files) == 16
    # W3005: CDK states dependencies that references imply anyway; both are right.
    command = [str(Path(sys.executable).with_name("cfn-lint")), "--ignore-checks", "W3005", "--", *files]
    linted = subprocess.run(command, capture_output=True, text=True, check=False)
    assert linted.returncode == 0, linted.stdout
