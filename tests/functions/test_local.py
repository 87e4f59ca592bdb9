"""The local command: an event to its handler, a model to a port, and mistakes to a clear exit."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from benchmarks.emulator import free_ports
from functions.triggers import trigger_of
from layers.errors import InputError
from tests.functions.conftest import EVENTS, read_event

ROOT = Path(__file__).parents[2]


def local(*arguments: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "functions.local", *arguments]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **variables}, capture_output=True, check=False)


def test_an_events_result_stands_alone_on_standard_output(output: Path) -> None:
    process = local("toy", "--output", str(output), "--event", str(EVENTS / "function_url.json"))
    assert process.returncode == 0, process.stderr
    result = json.loads(process.stdout.decode("utf-8"))
    assert result["statusCode"] == 200
    assert set(json.loads(result["body"])[0][0]) == {"label", "score"}
    assert b'"ready"' in process.stderr


@pytest.mark.parametrize(("disabled", "lines"), [(None, 0), ("false", 1)])
def test_metrics_are_written_to_a_terminal_where_they_are_asked_for(
    output: Path, disabled: str | None, lines: int
) -> None:
    asked = {} if disabled is None else {"POWERTOOLS_METRICS_DISABLED": disabled}
    process = local("toy", "--output", str(output), "--event", str(EVENTS / "function_url.json"), **asked)
    assert process.stderr.count(b'"_aws"') == lines


def test_a_queue_events_results_are_files(output: Path, tmp_path: Path) -> None:
    process = local(
        "toy", "--output", str(output), "--results", str(tmp_path), "--event", str(EVENTS / "sqs_fifo.json")
    )
    assert process.returncode == 0, process.stderr
    failures = [failure["itemIdentifier"] for failure in json.loads(process.stdout)["batchItemFailures"]]
    assert failures == [record["messageId"] for record in read_event("sqs_fifo")["Records"][1:]]
    results = {path.name: json.loads(path.read_text()) for path in (tmp_path / "results" / "toy").iterdir()}
    assert set(results["order-1.json"]["outputs"][0][0]) == {"label", "score"}
    assert "unknown parameter 'topk'" in results["order-2.json"]["error"]
    assert f"results are in {tmp_path}" in process.stderr.decode()


def test_a_bucket_events_object_is_a_file(output: Path, tmp_path: Path) -> None:
    file = tmp_path / "toy-texts" / "in" / "texts one.jsonl"
    file.parent.mkdir(parents=True)
    file.write_text('"an editor"\n{"inputs": "a chess engine", "id": 7}\n', encoding="utf-8")
    process = local(
        "toy", "--output", str(output), "--objects", str(tmp_path), "--results", str(tmp_path / "out"),
        "--event", str(EVENTS / "sqs_s3.json"),
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    assert json.loads(process.stdout) == {"batchItemFailures": []}
    folder = tmp_path / "out" / "toy-texts" / "results" / "in" / "texts one.jsonl"
    assert json.loads((folder / "summary.json").read_text(encoding="utf-8"))["counts"]["succeeded"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tox"], "no artifact of 'tox'"),
        (["toy", "--event", "nowhere.json"], "nowhere.json: cannot be read"),
        (["toy", "--event", __file__], "not JSON"),
    ],
)
def test_mistakes_exit_with_2_and_say_what_is_wrong(output: Path, arguments: list[str], message: str) -> None:
    process = local(*arguments, "--output", str(output))
    assert (process.returncode, process.stdout) == (2, b"")
    assert message in process.stderr.decode()
    assert "Traceback" not in process.stderr.decode()


def test_an_address_that_cannot_be_had_is_refused(output: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        for port in (other.getsockname()[1], 65536):
            process = local("toy", "--output", str(output), "--port", str(port))
            assert (process.returncode, process.stdout) == (2, b"")
            assert f"error: nothing can be served at 127.0.0.1, port {port}: " in process.stderr.decode()
            assert "pass another --port" in process.stderr.decode()
            assert "Traceback" not in process.stderr.decode()


def test_an_unknown_model_is_told_from_those_built(output: Path) -> None:
    assert b"got toy. Build it first: python build_artifacts.py tox" in local("tox", "--output", str(output)).stderr


def test_a_model_is_served(output: Path) -> None:
    [port] = free_ports(1)
    command = [sys.executable, "-m", "functions.local", "toy", "--output", str(output), "--port", str(port)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        try:
            request = urllib.request.Request(f"http://127.0.0.1:{port}/", data=b'{"inputs": "an editor"}')
            for _ in range(200):
                try:
                    answer = json.load(urllib.request.urlopen(request))
                    break
                except OSError:
                    assert server.poll() is None
                    time.sleep(0.05)
            assert len(answer[0]) == 4
        finally:
            server.terminate()
        assert server.stdout is not None
        assert server.stdout.read() == b""


@pytest.mark.parametrize(
    ("name", "trigger"),
    [
        ("function_url", "https"),
        ("api_gateway_v1", "https"),
        ("alb", "https"),
        ("sqs", "queue"),
        ("sqs_fifo", "queue"),
        ("s3", "bucket"),
        ("s3_multipart", "bucket"),
        ("s3_removed", "bucket"),
        ("s3_test", "bucket"),
        ("sqs_s3", "bucket"),
        ("sqs_s3_test", "bucket"),
        ("sns_s3", "bucket"),
        ("eventbridge_s3", "bucket"),
    ],
)
def test_events_are_told_apart_by_shape(name: str, trigger: str) -> None:
    assert trigger_of(read_event(name)) == trigger


@pytest.mark.parametrize("name", ["s3", "eventbridge_s3", "sns_s3"])
def test_queue_records_of_objects_are_the_bucket_functions(name: str) -> None:
    event, carried = read_event("sqs"), read_event(name)
    event["Records"][0]["body"] = json.dumps(carried["Records"][0]["Sns"] if name == "sns_s3" else carried)
    assert trigger_of(event) == "bucket"


@pytest.mark.parametrize(
    "body",
    ["", "[]", "7", '{"Records": 7}', '{"Records": [7]}', '{"inputs": "a"}', '{"Type": "Notification"}', "[" * 100_000],
)
def test_other_queue_records_are_the_queue_functions(body: str) -> None:
    event = read_event("sqs")
    event["Records"][0]["body"] = body
    assert trigger_of(event) == "queue"


@pytest.mark.parametrize("event", [None, [], {}, {"Records": []}, {"Records": [{"eventSource": "aws:sns"}]}])
def test_events_of_nobody_are_refused(event: object) -> None:
    with pytest.raises(InputError, match="none that a handler here takes"):
        trigger_of(event)
