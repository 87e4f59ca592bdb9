"""The check of a new version: right answers pass, wrong and missing ones do not, and CloudFormation always hears."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest

from functions.check.answers import difference
from functions.check.handler import respond
from functions.check.questions import WrongAnswerError, check

GOLDENS = {
    "m": [
        {
            "inputs": "a text",
            "parameters": {"top_k": 2},
            "outputs": [[{"label": "a", "score": 0.75}]],
            "tolerance": 0.05,
        }
    ]
}


class Version:
    """A function version that answers as it is told, and remembers what it was asked."""

    def __init__(
        self,
        outputs: Any,
        digest: str = "d",
        status: int = 200,
        objects: list[bytes | None] | None = None,
        failures: list[bytes | None] | None = None,
    ):
        self.asked: list[dict[str, Any]] = []
        self._outputs, self._digest, self._status = outputs, digest, status
        self._objects = {"answers/1.out": objects or [], "failures/1-error.out": failures or []}

    def invoke(self, function_arn: str, event: dict[str, Any]) -> dict[str, Any]:
        assert function_arn == "arn:version"
        self.asked.append(event)
        if event["requestContext"]["http"]["method"] == "GET":
            return {"statusCode": 200, "body": json.dumps({"digest": self._digest})}
        return {"statusCode": self._status, "body": json.dumps(self._outputs)}

    def read_object(self, bucket: str, key: str) -> bytes | None:
        assert bucket == "b"
        return self._objects[key].pop(0)


def ask(version: Version, seconds: float = 600) -> int:
    return check(version, "arn:version", {"m": "d"}, GOLDENS, remaining_seconds=lambda: seconds, sleep=lambda _: None)


def test_the_goldens_are_asked_as_they_were_recorded() -> None:
    version = Version([[{"label": "a", "score": 0.74}]])
    assert ask(version) == 1
    info, question = version.asked
    assert (info["rawPath"], question["rawPath"]) == ("/models/m/info", "/models/m")
    assert json.loads(question["body"]) == {"inputs": "a text", "parameters": {"top_k": 2}}


@pytest.mark.parametrize(
    ("version", "said"),
    [
        (Version([[{"label": "a", "score": 0.6}]]), r"golden input 0: answer\[0\]\['a'\]: expected 0.75, got 0.6"),
        (Version([[{"label": "b", "score": 0.75}]]), "golden input 0"),
        (Version([[{"label": "a", "score": 0.75}]], digest="other"), "expected the artifact d, got other"),
        (Version({"error": "internal"}, status=500), "m: status 500"),
    ],
)
def test_a_wrong_answer_is_refused(version: Version, said: str) -> None:
    with pytest.raises(WrongAnswerError, match=said):
        ask(version)


def test_an_answer_that_comes_later_is_waited_for() -> None:
    accepted = {"output_location": "s3://b/answers/1.out"}
    right = json.dumps([[{"label": "a", "score": 0.75}]]).encode()
    assert ask(Version(accepted, status=202, objects=[None, None, right])) == 1


def test_a_failure_that_comes_later_is_told_in_its_own_words_at_once() -> None:
    accepted = {"output_location": "s3://b/answers/1.out", "failure_location": "s3://b/failures/1-error.out"}
    version = Version(accepted, status=202, objects=[None, None], failures=[None, b'{"error": "out of memory"}'])
    with pytest.raises(WrongAnswerError) as refused:
        ask(version)
    assert str(refused.value) == 'm: the endpoint failed: {"error": "out of memory"}'


def test_an_answer_that_never_comes_is_refused_in_time() -> None:
    with pytest.raises(WrongAnswerError, match="in time"):
        ask(Version({"output_location": "s3://b/answers/1.out"}, status=202, objects=[None]), seconds=1)


@pytest.mark.parametrize(
    ("expected", "answered", "place"),
    [
        ([0.1, 0.2], [0.1, 0.26], "answer[1]"),
        ([0.1], [float("nan")], "answer[0]"),
        ([1.0], [True], "answer[0]"),
        ([[1.0], [2.0]], [[1.0]], "answer"),
        ({"text": "a"}, {"text": "b"}, "answer['text']"),
        ({"text": "a"}, {}, "answer['text']"),
    ],
)
def test_differences_are_found_and_named(expected: Any, answered: Any, place: str) -> None:
    assert (difference(expected, answered, 0.05) or "").startswith(place + ":")


def test_labels_whose_scores_are_close_may_change_places() -> None:
    expected = [{"label": "a", "score": 0.5}, {"label": "b", "score": 0.31}, {"label": "c", "score": 0.30}]
    answered = [{"label": "a", "score": 0.5}, {"label": "d", "score": 0.31}, {"label": "b", "score": 0.30}]
    assert difference(expected, answered, 0.05) is None
    assert difference(expected, answered[1:], 0.05) == "answer: no label 'a'"


def test_cloudformation_is_told_and_an_update_replaces_nothing() -> None:
    heard: list[dict[str, Any]] = []

    class Listener(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            heard.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            """Nothing is logged."""

    server = HTTPServer(("127.0.0.1", 0), Listener)
    Thread(target=server.handle_request, daemon=True).start()
    event = {
        "ResponseURL": f"http://127.0.0.1:{server.server_port}/answer",
        "StackId": "s",
        "RequestId": "r",
        "LogicalResourceId": "l",
        "PhysicalResourceId": "golden-check-before",
    }
    respond(event, "FAILED", "x" * 5000)
    server.server_close()
    [answer] = heard
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("FAILED", "golden-check-before")
    assert len(answer["Reason"]) < 1000
