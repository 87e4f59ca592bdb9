"""What functions before an endpoint read and keep: settings, claims and bodies, as functions with a model do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from functions.event_settings import EventSettings
from functions.forward.claims import ItemClaims
from functions.forward.settings import NOT_HERE, OF_STACK, REALTIME_BYTES, ForwardSettings, read_settings
from functions.idempotency import TableClaims
from layers.errors import ArtifactError
from layers.runtime.settings import Settings
from layers.serving.json_body import json_bytes, plain_json_bytes
from tests.functions.stand_in import StandIn

STACK = {f"FORWARD_{name.upper()}": name for name in OF_STACK if name != "exchange_bucket"}


def test_settings_are_those_of_functions_with_a_model() -> None:
    read = read_settings(STACK)
    known = {**EventSettings.model_fields, "max_body_bytes": Settings.model_fields["max_body_bytes"]}
    mine = set(ForwardSettings.__dataclass_fields__) - set(OF_STACK)
    assert mine | set(NOT_HERE) - {"response_cache_table"} == set(known)
    assert {name: getattr(read, name) or None for name in mine} == {name: known[name].default or None for name in mine}
    assert (read.model, read.is_asynchronous) == ("model", False)


def test_settings_that_are_set_are_read() -> None:
    given = {
        "FORWARD_EXCHANGE_BUCKET": "exchange",
        "HUNDREDFOLD_RANGE_SECONDS": "1.5",
        "HUNDREDFOLD_BUCKET_PARAMETERS": '{"top_k": 1}',
        "HUNDREDFOLD_TXT_DOCUMENT": "True",
        "HUNDREDFOLD_MAX_BODY_BYTES": "7000000",
        "HUNDREDFOLD_TRACING": "false",
        "HUNDREDFOLD_RESULTS_BUCKET": "",
    }
    read = read_settings(STACK | given)
    assert (read.range_seconds, read.bucket_parameters, read.txt_document) == (1.5, {"top_k": 1}, True)
    assert (read.is_asynchronous, read.most_body_bytes, read.results_bucket) == (True, 7_000_000, None)
    assert read_settings(STACK | {"HUNDREDFOLD_MAX_BODY_BYTES": "7000000"}).most_body_bytes == REALTIME_BYTES


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FORWARD_ENDPOINT", ""),
        ("HUNDREDFOLD_RANGE_SECONDS", "soon"),
        ("HUNDREDFOLD_IDEMPOTENCY_SECONDS", "5"),
        ("HUNDREDFOLD_RESULTS_PREFIX", "/results"),
        ("HUNDREDFOLD_BUCKET_PARAMETERS", "[]"),
        ("HUNDREDFOLD_TXT_DOCUMENT", "maybe"),
        ("HUNDREDFOLD_TRACING", "true"),
        ("HUNDREDFOLD_RESULTS_DIR", "/tmp"),
    ],
)
def test_a_setting_that_is_wrong_or_means_nothing_here_is_named(name: str, value: str) -> None:
    with pytest.raises(ArtifactError, match=name):
        read_settings(STACK | {name: value})


@pytest.mark.parametrize("swapped", [False, True])
def test_claims_are_powertools_claims(aws: StandIn, swapped: bool) -> None:
    """Either implementation respects what the other has written into the table."""
    table = aws.table()
    mine, theirs = ItemClaims(table, 3600, aws.dynamodb), TableClaims(table, 3600, aws.dynamodb)
    one, other = (theirs, mine) if swapped else (mine, theirs)
    assert (one.claim("a", 30), other.claim("a", 30), other.claim("b", 30)) == ("mine", "elsewhere", "mine")
    one.release("a")
    assert (other.claim("a", 30), one.claim("a", 30)) == ("mine", "elsewhere")
    one.complete("a")
    assert (other.claim("a", 30), one.claim("a", 30)) == ("done", "done")
    assert (one.claim("died", 0), other.claim("died", 30), one.claim("died", 30)) == ("mine", "mine", "elsewhere")


def test_a_claim_is_forgotten_in_time(aws: StandIn) -> None:
    now = [1_000_000_000.0]
    claims = ItemClaims(aws.table(), 3600, aws.dynamodb, now=lambda: now[0])
    claims.claim("a", 30)
    claims.complete("a")
    assert claims.claim("a", 30) == "done"
    now[0] += 3601
    assert claims.claim("a", 30) == "mine"


def test_a_table_that_cannot_be_asked_is_an_error(aws: StandIn) -> None:
    with pytest.raises(aws.dynamodb.exceptions.ClientError):
        ItemClaims("no-such-table", 3600, aws.dynamodb).claim("a", 30)


@pytest.mark.parametrize("value", ["❤ \u2028", {"a": [1, 0.1, 1e-7, 1e300, None, True]}, "\ud800", []])
def test_bodies_without_pydantic_hold_the_same(value: Any) -> None:
    assert json.loads(plain_json_bytes(value)) == json.loads(json_bytes(value))


def test_nan_is_no_json() -> None:
    with pytest.raises(ValueError, match="JSON"):
        plain_json_bytes(float("nan"))


def test_the_pages_say_what_each_variable_of_a_stack_is() -> None:
    page = (Path(__file__).parents[2] / "docs" / "endpoint.md").read_text(encoding="utf-8")
    assert [name for name in OF_STACK if f"`FORWARD_{name.upper()}`" not in page] == []
