"""`make e2e AWS_PROFILE=NAME`: the example model on a real account: deployed, asked, compared, destroyed, looked for.

Never run by tests, and not yet by anybody: what of it can be rehearsed against moto is tested beside it.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from botocore.exceptions import ClientError

from layers.artifact import Manifest
from tests.e2e.account import CannotStartError, ProfileAccount, Resource, resources_of
from tests.e2e.leftovers import Published, left
from tests.e2e.promises import cold, unkept
from tests.e2e.questions import PAUSE_SECONDS, TRIES, check_bucket, check_queue, check_url
from tests.rehearsal.cdk import ROOT

MODEL, STACK = "debian-sections", "e2e-debian-sections"
BOOTSTRAPPED = "/cdk-bootstrap/hnb659fds/version"


def main(environment: Mapping[str, str]) -> int:
    """Exit status: 0 when everything held, 1 when something did not, 2 when nothing was deployed."""
    with tempfile.TemporaryDirectory(prefix="e2e-") as folder:
        try:
            account = ProfileAccount.of(environment, Path(folder))
            manifest = prepared(account)
        except CannotStartError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        try:
            check(account, manifest)
        except AssertionError as error:
            print(f"FAILED: {error}", file=sys.stderr)
            return 1
    print("Everything held, and nothing is left.")
    return 0


def prepared(account: ProfileAccount) -> Manifest:
    """What is deployed. Raises CannotStartError where it is not built, or where the account is not ready."""
    directory = ROOT / "build" / MODEL
    if not (directory / "manifest.json").is_file():
        raise CannotStartError(f"{MODEL} is not built: .venv/bin/python build_artifacts.py {MODEL}")
    try:
        account.client("ssm").get_parameter(Name=BOOTSTRAPPED)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ParameterNotFound":
            raise
        raise CannotStartError(f"{account.region} is not bootstrapped: npx cdk bootstrap") from error
    try:
        account.client("cloudformation").describe_stacks(StackName=STACK)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationError":
            raise
        return Manifest.read(directory)
    raise CannotStartError(f"there is a stack {STACK} already, of a run that broke off: destroy it first")


def check(account: ProfileAccount, manifest: Manifest) -> None:
    """Deploy, look, ask, compare, destroy, and look again. Raises AssertionError at the first thing that is not so."""
    account.cdk("synth", MODEL, "--quiet")
    account_id = account.client("sts").get_caller_identity()["Account"]
    published = Published.of(account.assembly / f"{MODEL}.assets.json", account_id, account.region)
    before = published.there(account)
    say(f"{STACK}: deploying to account {account_id}, {account.region}")
    resources: list[Resource] = []
    with destroyed_afterwards(account, published, before):
        account.cdk("deploy", MODEL, "--require-approval", "never")
        resources += resources_of(account, STACK)
        ask(account, manifest, resources)
        say("comparing")
        assert "There were no differences" in account.cdk("diff", MODEL), "what is deployed differs from the template"
    say("looking for what is left")
    remaining = await_nothing(account, resources)
    assert not remaining, "left behind: " + "; ".join(remaining)


def ask(account: ProfileAccount, manifest: Manifest, resources: list[Resource]) -> None:
    """Every way that the model can be asked, and the resources that a rehearsal cannot vouch for."""
    [stack] = account.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
    outputs = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
    say("looking at what the stack promised")
    missing = [*unkept(account, resources, outputs["Url"]), *cold(account, resources)]
    assert not missing, "; ".join(missing)
    golden = manifest.goldens[0]
    say("asking the URL, with and without a signature")
    check_url(outputs["Url"], account.session().get_credentials().get_frozen_credentials(), account.region, golden)
    say("asking the queue")
    check_queue(account, outputs["QueueUrl"], outputs["BucketName"], MODEL, golden)
    say("asking the bucket")
    check_bucket(account, outputs["BucketName"], golden)


@contextmanager
def destroyed_afterwards(account: ProfileAccount, published: Published, before: Published) -> Iterator[None]:
    """Whatever happens, the stack and what was published for it go; where that fails, the message says how to."""
    try:
        yield
    finally:
        say("destroying")
        try:
            account.cdk("destroy", MODEL, "--force")
        except AssertionError:
            print(f"{STACK} IS STILL THERE: aws cloudformation delete-stack --stack-name {STACK}", file=sys.stderr)
            raise
        published.remove(account, before)


def await_nothing(account: ProfileAccount, resources: list[Resource]) -> list[str]:
    """What is left once services had their time to forget: a queue may be seen for a minute after it is gone."""
    for _ in range(TRIES):
        remaining = left(account, resources, STACK)
        if not remaining:
            break
        time.sleep(PAUSE_SECONDS)
    return remaining


def say(what: str) -> None:
    """One line of progress."""
    print(f"e2e: {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main(os.environ))
