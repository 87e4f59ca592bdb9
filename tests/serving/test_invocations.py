"""Which route a body of /invocations belongs to, by what it holds and by what stands in the header."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from layers.errors import InputError
from layers.serving.invocations import ATTRIBUTES, MOST_CHARACTERS, Attributes, Invocations, route_of

ONE, TWO = ("toy",), ("toy", "writer")


@pytest.mark.parametrize(
    ("content", "route"),
    [
        ({"inputs": "a"}, "/"),
        ({"inputs": "a", "parameters": {"normalize": True}}, "/"),
        ({"inputs": "a", "stream": True}, "/"),
        ({"inputs": "a", "normalize": True}, "/embed"),
        ({"inputs": "a", "raw_scores": True}, "/predict"),
        ({"query": "a", "texts": ["b"]}, "/rerank"),
        ({"input": "a", "model": "toy"}, "/v1/embeddings"),
        ({"prompt": "a"}, "/v1/completions"),
        ({"messages": [], "stream": True}, "/v1/chat/completions"),
        ({"unknown": 1}, "/"),
        (["a"], "/"),
        (None, "/"),
    ],
)
def test_the_body_tells(content: Any, route: str) -> None:
    assert route_of(content, Attributes(), ONE) == route


@pytest.mark.parametrize(
    ("header", "content", "route"),
    [
        ("model=toy", {"inputs": "a"}, "/models/toy"),
        ("model=toy", {"prompt": "a"}, "/models/toy/v1/completions"),
        ("model=toy;task=embed", {"inputs": "a"}, "/models/toy/pipeline/embed"),
        ("route=/embed", {"inputs": "a"}, "/embed"),
        ("trace-9c, accept_eula=true , model = toy", {"inputs": "a"}, "/models/toy"),
    ],
)
def test_the_header_comes_first(header: str, content: Any, route: str) -> None:
    assert route_of(content, Attributes.read(header), TWO) == route


def test_a_task_needs_no_name_where_there_is_one_model() -> None:
    assert route_of({"inputs": "a"}, Attributes(task="embed"), ONE) == "/models/toy/pipeline/embed"
    with pytest.raises(InputError, match="several models") as refused:
        route_of({"inputs": "a"}, Attributes(task="embed"), TWO)
    assert refused.value.status == 404


@pytest.mark.parametrize(
    "header",
    [
        "model=", "model=a,model=b", "route=/embed,model=toy", "route=embed",
        "method=GET", "method=get,route=/info", "tell=all", "x-use-cache=",
    ],
)  # fmt: skip
def test_a_wrong_header_is_refused(header: str) -> None:
    with pytest.raises(InputError, match="x-amzn-sagemaker-custom-attributes"):
        route_of({"inputs": "a"}, Attributes.read(header), TWO)


def test_a_name_is_refused_where_the_body_cannot_carry_it() -> None:
    with pytest.raises(InputError, match="/rerank"):
        route_of({"query": "a", "texts": ["b"]}, Attributes(model="toy"), TWO)


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """An application whose answer is what was asked, with headers that a pair cannot hold as they are."""
    request = Request(scope, receive)
    told = f"{request.method} {request.url.path} {request.headers.get('x-use-cache')} {len(await request.body())}"
    headers = {"x-first": "a;b, c=d%", "x-long": "x" * MOST_CHARACTERS, "x-last": "1"}
    await Response(told, headers=headers)(scope, receive, send)


def test_method_and_cache_go_along_and_headers_come_back() -> None:
    client = TestClient(Invocations(echo, ONE, 100))
    sent = "method=GET;route=/info;x-use-cache=false;tell=headers"
    answer = client.post("/invocations", content=b"{}", headers={ATTRIBUTES: sent, "x-use-cache": "true"})
    assert answer.text == "GET /info false 2"
    assert answer.headers[ATTRIBUTES] == f"{sent};x-first=a%3Bb%2C%20c=d%25;x-last=1"
    answer = client.post("/invocations", content=b"{}", headers={ATTRIBUTES: "method=HEAD;route=/info"})
    assert answer.text == "GET /info None 2"
    answer = client.post("/invocations", content=b"{}", headers={ATTRIBUTES: "route=/info"})
    assert (answer.text, answer.headers[ATTRIBUTES]) == ("POST /info None 2", "route=/info")
