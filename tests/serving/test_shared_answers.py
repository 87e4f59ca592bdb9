"""Answers shared through DynamoDB, against moto's server; and the table lost, full of rubbish, or slow."""

from __future__ import annotations

import logging
import random
import socket
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from fastapi.testclient import TestClient
from moto.server import ThreadedMotoServer

from layers.errors import ArtifactError
from layers.runtime.predictor import Predictor
from layers.runtime.settings import Settings
from layers.serving.application import create_app
from layers.serving.shared_answers import MAX_ANSWER_BYTES, TableAnswers
from tests.runtime.toy_artifact import Toy

TABLE = "responses"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """Moto's server on a free port."""
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def table(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An empty table, the environment that finds it, and a client to it."""
    for name, value in {"ENDPOINT_URL": endpoint, "DEFAULT_REGION": "eu-west-1", "ACCESS_KEY_ID": "test"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    client = boto3.client("dynamodb")
    create(client)
    yield client
    if TABLE in client.list_tables()["TableNames"]:
        client.delete_table(TableName=TABLE)


def create(client: Any) -> None:
    client.create_table(
        TableName=TABLE,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )


def environment(predictor: Predictor, toy: Toy, **settings: Any) -> TestClient:
    """An application as a fresh environment has it: nothing in memory."""
    chosen = {"response_cache_table": TABLE, **settings}
    return TestClient(create_app({"toy": predictor}, Settings(artifact_dir=toy.directory, **chosen)))


def ask(client: TestClient, text: str = "an editor") -> tuple[bool, bytes]:
    answer = client.post("/", json={"inputs": text})
    assert answer.status_code == 200
    return answer.headers.get("x-cache") == "hit", answer.content


def test_environments_share_answers(predictors: dict[str, Predictor], artifacts: dict[str, Toy], table: Any) -> None:
    first, second = (environment(predictors["toy"], artifacts["toy"]) for _ in range(2))
    hit, computed = ask(first)
    assert not hit
    assert ask(second) == (True, computed)
    [item] = table.scan(TableName=TABLE)["Items"]
    assert set(item) == {"id", "answer", "expiration"}
    assert ask(second) == (True, computed)
    caches = second.get("/info").json()["caches"]
    assert caches["responses_shared"] == {"hits": 1, "misses": 0, "bytes": 0, "entries": 0, "failures": 0}
    assert caches["responses"]["hits"] == 1, "what came from the table is then in memory"


def test_memory_can_be_off_and_the_table_on(
    predictors: dict[str, Predictor], artifacts: dict[str, Toy], table: Any
) -> None:
    client = environment(predictors["toy"], artifacts["toy"], response_cache_bytes=0)
    assert [ask(client)[0] for _ in range(3)] == [False, True, True]
    assert table.scan(TableName=TABLE)["Count"] == 1


def test_a_table_lost_midway_is_a_warning_and_misses(
    predictors: dict[str, Predictor], artifacts: dict[str, Toy], table: Any, caplog: pytest.LogCaptureFixture
) -> None:
    client = environment(predictors["toy"], artifacts["toy"], response_cache_bytes=0)
    _, computed = ask(client)
    table.delete_table(TableName=TABLE)
    with caplog.at_level(logging.WARNING, logger="hundredfold"):
        assert [ask(client) for _ in range(3)] == [(False, computed)] * 3
    [warning] = [record.getMessage() for record in caplog.records if record.name.startswith("hundredfold")]
    assert "the table of responses 'responses' failed: ResourceNotFoundException" in warning
    assert client.get("/info").json()["caches"]["responses_shared"]["failures"] == 1, "it is left alone for a while"


def test_a_table_that_comes_back_is_used_again(table: Any) -> None:
    shared = TableAnswers(TABLE, 60, table, pause_seconds=0)
    table.delete_table(TableName=TABLE)
    shared.keep("key", b"answer")
    assert shared.find("key") is None
    create(table)
    shared.keep("key", b"answer")
    assert shared.find("key") == b"answer"
    report = shared.report()
    assert (report.hits, report.misses, report.failures) == (1, 1, 2)


@pytest.mark.parametrize("silent", [True, False], ids=["never answers", "refuses"])
def test_a_table_that_does_not_answer_is_a_miss(silent: bool) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if silent:
            listener.listen()
        client = boto3.client(
            "dynamodb", region_name="eu-west-1", aws_access_key_id="test", aws_secret_access_key="test",
            endpoint_url=f"http://127.0.0.1:{listener.getsockname()[1]}",
            config=Config(connect_timeout=0.1, read_timeout=0.1, retries={"total_max_attempts": 1}),
        )  # fmt: skip
        shared = TableAnswers(TABLE, 60, client)
        assert shared.find("key") is None
        assert shared.report().failures == 1


def test_the_first_answer_stays_until_it_expires(table: Any) -> None:
    seconds = [1000.0]
    shared = TableAnswers(TABLE, 60, table, now=lambda: seconds[0])
    shared.keep("key", b"first")
    shared.keep("key", b"second")
    assert shared.find("key") == b"first"
    seconds[0] += 60
    assert shared.find("key") is None, "time to live deletes within days; what is void is not read meanwhile"
    shared.keep("key", b"second")
    assert shared.find("key") == b"second"
    [item] = table.scan(TableName=TABLE)["Items"]
    assert item["expiration"] == {"N": "1120"}
    assert shared.report().failures == 0


def test_an_answer_beyond_an_items_limit_is_not_sent(table: Any) -> None:
    shared = TableAnswers(TABLE, 60, table)
    noise = random.Random(0).randbytes
    shared.keep("large", noise(MAX_ANSWER_BYTES + 1))
    # Moto measures binary values as base64, a third more than DynamoDB does.
    shared.keep("fits", noise(MAX_ANSWER_BYTES * 7 // 10))
    assert shared.find("large") is None
    assert shared.find("fits") is not None
    assert shared.report().failures == 0


@pytest.mark.parametrize(
    "item", [{}, {"answer": {"B": b"rubbish"}, "expiration": {"N": "99999999999"}}, {"answer": {"B": b""}}]
)
def test_an_item_of_another_make_is_a_miss(table: Any, item: dict[str, Any]) -> None:
    table.put_item(TableName=TABLE, Item={"id": {"S": "key"}, **item})
    shared = TableAnswers(TABLE, 60, table)
    assert shared.find("key") is None
    shared.keep("other", b"answer")
    assert shared.find("other") == b"answer", "the table is not given up for it"


def test_a_table_without_a_region_is_refused_at_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(ArtifactError, match="HUNDREDFOLD_RESPONSE_CACHE_TABLE: no client for DynamoDB: You must"):
        TableAnswers(TABLE, 60)
