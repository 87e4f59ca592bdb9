"""`make e2e` starts nothing by accident, deploys what models.toml builds, and destroys it whatever happens."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from aws_cdk.assertions import Template

from infra.admission import BUILD_KEYS
from infra.app import compose
from layers.catalogue import read_catalogue
from tests.e2e.__main__ import MODEL, STACK, destroyed_afterwards, main
from tests.e2e.account import HERE, CannotStartError, ProfileAccount
from tests.e2e.leftovers import Published
from tests.infra.projects import app_of, write_artifact
from tests.rehearsal.cdk import ROOT

NOTHING = Published(frozenset(), frozenset())


def test_without_a_profile_it_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    assert main({}) == 2
    assert "no account was named" in capsys.readouterr().err


def test_make_refuses_before_anything_is_installed() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "AWS_PROFILE"}
    done = subprocess.run(["make", "e2e"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "make e2e AWS_PROFILE=NAME" in done.stderr
    assert "pip" not in done.stdout


@pytest.mark.parametrize(
    ("configuration", "said"), [("", "could not be found"), ("[profile mine]\n", "profile mine has no region")]
)
def test_a_profile_that_leads_nowhere_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, configuration: str, said: str
) -> None:
    (tmp_path / "config").write_text(configuration, encoding="utf-8")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(CannotStartError, match=said):
        ProfileAccount.of({"AWS_PROFILE": "mine"}, tmp_path)


def test_it_deploys_what_the_catalogue_builds() -> None:
    ours, built = (read_catalogue(path)[MODEL] for path in (HERE / "models.toml", ROOT / "models.toml"))
    assert [getattr(ours, key) for key in BUILD_KEYS] == [getattr(built, key) for key in BUILD_KEYS]


def test_its_stack_has_a_name_of_its_own_and_what_a_rehearsal_skips(tmp_path: Path) -> None:
    """The five kinds are moto's; nothing of the stack is kept when it is destroyed."""
    write_artifact(tmp_path / MODEL, read_catalogue(HERE / "models.toml")[MODEL])
    places = {"catalog": str(HERE / "models.toml"), "stages": str(HERE / "stages.toml"), "output": str(tmp_path)}
    [stack] = compose(app_of(tmp_path, "dev", **places))
    assert stack.stack_name == STACK
    resources = Template.from_stack(stack).to_json()["Resources"].values()
    assert {each["Type"] for each in resources} >= {
        "AWS::Lambda::Url",
        "AWS::SQS::QueuePolicy",
        "AWS::S3::BucketPolicy",
        "AWS::CloudWatch::Alarm",
        "AWS::ApplicationAutoScaling::ScalableTarget",
    }
    # Versions go with their function.
    assert {each["Type"] for each in resources if each.get("DeletionPolicy") == "Retain"} == {"AWS::Lambda::Version"}


class Recorded(ProfileAccount):
    """An account whose commands are kept and not run."""

    def cdk(self, *words: str) -> str:
        self.assembly.joinpath("words").write_text(" ".join(words), encoding="utf-8")
        return ""


def test_a_failure_is_no_reason_to_leave_a_stack(tmp_path: Path) -> None:
    account = Recorded("mine", "us-east-1", tmp_path)
    with pytest.raises(AssertionError, match="wrong answer"), destroyed_afterwards(account, NOTHING, NOTHING):
        raise AssertionError("wrong answer")
    assert (tmp_path / "words").read_text(encoding="utf-8") == f"destroy {MODEL} --force"
