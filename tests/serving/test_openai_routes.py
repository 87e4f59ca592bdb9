"""OpenAI's API over toy models: shapes, counts, what is done and what is refused, and errors under /v1."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from layers.runtime.predictor import Predictor
from layers.runtime.settings import Settings
from layers.serving.application import create_app
from tests.runtime.generation.toy_decoder import write_toy_decoder

SETTINGS = Settings(artifact_dir=Path("unused"))
PROMPT = "an editor"
GREEDY = {"temperature": 0, "max_tokens": 6}


@pytest.fixture(scope="module")
def client(writer: Predictor, predictors: dict[str, Predictor]) -> TestClient:
    """A model that writes, one that embeds and one that does neither."""
    names = {"toy-writer": writer, "sentences": predictors["sentences"], "toy": predictors["toy"]}
    return TestClient(create_app(names, SETTINGS), raise_server_exceptions=True)


def post(client: TestClient, path: str, **body: Any) -> Any:
    answer = client.post(f"/v1/{path}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def chunks_of(client: TestClient, path: str, **body: Any) -> list[dict[str, Any]]:
    answer = client.post(f"/v1/{path}", json={**body, "stream": True})
    assert answer.status_code == 200, answer.text
    *events, done, rest = answer.text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    return [json.loads(event.removeprefix("data: ")) for event in events]


def tokens_of(writer: Predictor, text: str, *, special: bool = True) -> list[int]:
    return [int(one) for one in writer.engine.tokenizer.encode(text, add_special_tokens=special).input_ids]


# Completions


def test_a_completion_has_openais_shape(client: TestClient, writer: Predictor) -> None:
    answer = post(client, "completions", model="any", prompt=PROMPT, **GREEDY)
    assert answer["object"] == "text_completion"
    assert answer["id"].startswith("cmpl-")
    assert answer["model"] == "toy-writer"
    [choice] = answer["choices"]
    written = writer.predict(PROMPT, {"max_new_tokens": 6, "return_full_text": False}).value[0]["generated_text"]
    assert choice == {"index": 0, "text": written, "logprobs": None, "finish_reason": "length"}
    count = len(tokens_of(writer, PROMPT))
    assert answer["usage"] == {"prompt_tokens": count, "completion_tokens": 6, "total_tokens": count + 6}


def test_prompts_come_in_four_forms(client: TestClient, writer: Predictor) -> None:
    tokens = tokens_of(writer, PROMPT)
    alone = post(client, "completions", prompt=PROMPT, **GREEDY)["choices"]
    assert post(client, "completions", prompt=tokens, **GREEDY)["choices"] == alone
    for several in ([PROMPT, "net"], [tokens, tokens_of(writer, "net")]):
        choices = post(client, "completions", prompt=several, **GREEDY)["choices"]
        assert [choice["index"] for choice in choices] == [0, 1]
        assert choices[0] == alone[0]


def test_tokens_are_drawn_unless_the_temperature_is_0(client: TestClient) -> None:
    def text(**more: Any) -> str:
        return str(post(client, "completions", prompt=PROMPT, max_tokens=8, **more)["choices"][0]["text"])

    assert text(seed=3) == text(seed=3) != text(temperature=0)
    assert text(seed=-3) == text(seed=-3)
    assert text(temperature=0, top_p=0.5, top_k=3) == text(temperature=0) == text(do_sample=False)
    assert text(temperature=2, do_sample=False) == text(temperature=0, do_sample=True, seed=3) == text(temperature=0)
    assert text(seed=3, top_k=1) == text(temperature=0)


def test_several_choices_are_drawn_apart(client: TestClient) -> None:
    answer = post(client, "completions", prompt=[PROMPT, "net"], n=2, seed=5, max_tokens=5, temperature=2)
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2, 3]
    assert len({choice["text"] for choice in answer["choices"]}) == 4
    assert answer["usage"]["completion_tokens"] == 20
    same = post(client, "completions", prompt=PROMPT, n=2, **GREEDY)["choices"]
    assert same[0]["text"] == same[1]["text"]


def test_a_stop_string_ends_the_text_and_is_no_part_of_it(client: TestClient) -> None:
    whole = post(client, "completions", prompt=PROMPT, **GREEDY)["choices"][0]["text"]
    stop = whole[5:8]
    for stops in (stop, [stop, "never written"]):
        [choice] = post(client, "completions", prompt=PROMPT, stop=stops, **GREEDY)["choices"]
        assert (choice["text"], choice["finish_reason"]) == (whole[: whole.index(stop)], "stop")


def test_log_probabilities_and_echo(client: TestClient, writer: Predictor) -> None:
    [choice] = post(client, "completions", prompt=PROMPT, logprobs=2, echo=True, **GREEDY)["choices"]
    logprobs = choice["logprobs"]
    count = len(tokens_of(writer, PROMPT)) + 6
    assert choice["text"].startswith(PROMPT)
    assert "".join(logprobs["tokens"]) == choice["text"]
    assert [len(logprobs[key]) for key in ("tokens", "token_logprobs", "top_logprobs", "text_offset")] == [count] * 4
    assert logprobs["token_logprobs"][0] is None
    assert logprobs["text_offset"] == [sum(map(len, logprobs["tokens"][:place])) for place in range(count)]
    assert [len(top) for top in logprobs["top_logprobs"][-6:]] == [2] * 6
    scored = post(client, "completions", prompt=choice["text"], echo=True, max_tokens=0, logprobs=0)
    assert scored["choices"][0]["text"] == choice["text"]
    assert scored["usage"]["completion_tokens"] == 0


@pytest.mark.parametrize("more", [{}, {"logprobs": 1}, {"n": 2, "temperature": 1.0, "seed": 2}])
def test_chunks_add_up_to_the_completion(client: TestClient, more: dict[str, Any]) -> None:
    body = {"prompt": PROMPT, **GREEDY, **more}
    whole = post(client, "completions", **body)
    chunks = chunks_of(client, "completions", **body, stream_options={"include_usage": True})
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == whole["usage"]
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    for choice in whole["choices"]:
        parts = [part for chunk in chunks for part in chunk["choices"] if part["index"] == choice["index"]]
        assert "".join(part["text"] for part in parts) == choice["text"]
        assert [part["finish_reason"] for part in parts if part["finish_reason"]] == [choice["finish_reason"]]
        if more.get("logprobs"):
            offsets = [offset for part in parts for offset in part["logprobs"]["text_offset"]]
            assert offsets == choice["logprobs"]["text_offset"]
    assert "usage" not in chunks_of(client, "completions", **body)[0]


# Chats


MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": " What is this? "}]
RENDERED = "<|endoftext|>system: Be brief.\n<|endoftext|>user: What is this?\nassistant:"


def test_a_chat_is_the_templates_prompt_continued(client: TestClient, writer: Predictor) -> None:
    answer = post(client, "chat/completions", model="dummy", messages=MESSAGES, **GREEDY)
    prompt = tokens_of(writer, RENDERED, special=False)
    expected = post(client, "completions", prompt=prompt, **GREEDY)
    assert answer["object"] == "chat.completion"
    assert answer["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": expected["choices"][0]["text"], "refusal": None},
            "logprobs": None,
            "finish_reason": "length",
        }
    ]
    assert answer["usage"] == expected["usage"]


def test_contents_may_be_parts(client: TestClient) -> None:
    parts = [
        MESSAGES[0],
        {"role": "user", "content": [{"type": "text", "text": " What is"}, {"type": "text", "text": " this? "}]},
    ]
    assert (
        post(client, "chat/completions", messages=parts, **GREEDY)["choices"]
        == post(client, "chat/completions", messages=MESSAGES, **GREEDY)["choices"]
    )


@pytest.mark.parametrize(
    "form", [lambda text: text, lambda text: [{"type": "text", "text": text}]], ids=["text", "parts"]
)
def test_a_predicted_answer_is_the_same_and_takes_fewer_runs(writer_directory: Path, form: Any) -> None:
    predictor = Predictor.load(writer_directory, threads=1)
    alone = TestClient(create_app({"writer": predictor}, Settings(artifact_dir=writer_directory)))

    def runs_of(**more: Any) -> tuple[Any, int]:
        body = {"messages": MESSAGES, "temperature": 0, "max_tokens": 40, **more}
        before = alone.get("/info").json()["lookup"]["runs"]
        answer = post(alone, "chat/completions", **body)
        return (answer["choices"], answer["usage"]), alone.get("/info").json()["lookup"]["runs"] - before

    plain, runs = runs_of()
    text = plain[0][0]["message"]["content"]
    predicted, fewer = runs_of(prediction={"type": "content", "content": form(text)})
    assert predicted == plain
    assert fewer < runs / 2
    streamed = chunks_of(
        alone, "chat/completions", messages=MESSAGES, temperature=0, max_tokens=40,
        prediction={"type": "content", "content": form(text)},
    )  # fmt: skip
    assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in streamed) == text


def test_a_chat_goes_on_while_it_fits(client: TestClient) -> None:
    answer = post(client, "chat/completions", messages=MESSAGES, temperature=0)
    assert answer["usage"]["total_tokens"] <= 300
    [choice] = answer["choices"]
    assert choice["finish_reason"] == "stop" or answer["usage"]["total_tokens"] == 300
    assert (
        post(client, "chat/completions", messages=MESSAGES, max_completion_tokens=2)["usage"]["completion_tokens"] <= 2
    )


def test_chunks_of_a_chat(client: TestClient) -> None:
    body = {"messages": MESSAGES, **GREEDY, "logprobs": True, "top_logprobs": 2}
    [choice] = post(client, "chat/completions", **body)["choices"]
    chunks = [chunk["choices"][0] for chunk in chunks_of(client, "chat/completions", **body)]
    assert chunks[0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(chunk["delta"].get("content", "") for chunk in chunks) == choice["message"]["content"]
    assert [chunk["finish_reason"] for chunk in chunks] == [None] * (len(chunks) - 1) + ["length"]
    content = [token for chunk in chunks if chunk["logprobs"] for token in chunk["logprobs"]["content"]]
    assert [token["token"] for token in content] == [token["token"] for token in choice["logprobs"]["content"]]
    assert all(len(token["top_logprobs"]) == 2 for token in content)
    assert bytes(content[0]["bytes"]).decode() == content[0]["token"]


# Embeddings


def test_embeddings_have_openais_shape(client: TestClient, predictors: dict[str, Predictor]) -> None:
    answer = post(client, "embeddings", model="x", input=[PROMPT, "tools"], user="someone")
    vectors = predictors["sentences"].predict([PROMPT, "tools"], {"normalize": True}).value
    assert [entry["embedding"] for entry in answer["data"]] == vectors
    assert [(entry["object"], entry["index"]) for entry in answer["data"]] == [("embedding", 0), ("embedding", 1)]
    assert (answer["object"], answer["model"]) == ("list", "sentences")
    assert answer["usage"]["prompt_tokens"] == answer["usage"]["total_tokens"] > 0


def test_embeddings_may_be_base64_shorter_and_of_tokens(client: TestClient, predictors: dict[str, Predictor]) -> None:
    [vector] = post(client, "embeddings", input=PROMPT, dimensions=3)["data"]
    assert np.linalg.norm(vector["embedding"]) == pytest.approx(1)
    [encoded] = post(client, "embeddings", input=PROMPT, dimensions=3, encoding_format="base64")["data"]
    decoded = np.frombuffer(base64.b64decode(encoded["embedding"]), dtype="<f4")
    np.testing.assert_array_equal(decoded, np.array(vector["embedding"], dtype="<f4"))
    tokens = tokens_of(predictors["sentences"], PROMPT)
    for of_tokens in (tokens, [tokens]):
        assert post(client, "embeddings", input=of_tokens, dimensions=3)["data"] == [vector]


# Models, and errors


def test_models_are_listed(client: TestClient) -> None:
    listed = client.get("/v1/models").json()
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == ["toy-writer", "sentences", "toy"]
    assert client.get("/v1/models/toy").json() == listed["data"][2]


@pytest.mark.parametrize("name", ["toy-writer", "examples/toy-writer"])
def test_a_models_own_url_lists_it_alone(client: TestClient, name: str) -> None:
    listed = client.get(f"/models/{name}/v1/models").json()
    assert listed == {"object": "list", "data": [client.get("/v1/models/toy-writer").json()]}
    assert check_error(client.get("/models/nobody/v1/models"), 404)["code"] == "model_not_found"


def test_what_is_unknown_below_a_models_v1_is_told_as_openai_tells_it(client: TestClient) -> None:
    for answer in (client.get("/models/toy/v1/nothing"), client.post("/models/toy/v1/audio/speech", json={})):
        assert check_error(answer, 404)["code"] == "unknown_url"


def test_a_models_own_url_has_the_routes_too(client: TestClient) -> None:
    for name in ("toy-writer", "examples/toy-writer"):
        answer = client.post(f"/models/{name}/v1/completions", json={"prompt": PROMPT, **GREEDY})
        assert answer.status_code == 200, answer.text
        chat = client.post(f"/models/{name}/v1/chat/completions", json={"messages": MESSAGES, **GREEDY})
        assert chat.status_code == 200, chat.text
    assert client.post("/models/sentences/v1/embeddings", json={"input": "a"}).status_code == 200
    wrong = client.post("/models/toy/v1/completions", json={"prompt": PROMPT})
    assert wrong.status_code == 404
    assert wrong.json()["error"]["code"] == "model_not_found"


def check_error(answer: Any, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    return dict(body["error"])


@pytest.mark.parametrize(
    ("path", "body", "parameter", "message"),
    [
        ("completions", {}, "prompt", "expected prompt"),
        ("completions", {"prompt": {}}, "prompt", "got an object"),
        ("completions", {"prompt": [1.5]}, "prompt", "got a number in a list"),
        ("completions", {"prompt": [[1], "a", 1]}, "prompt", "got a number in a list"),
        ("completions", {"prompt": [10**20]}, "prompt", "expected 0 to 8191"),
        ("completions", {"prompt": [-1]}, "prompt", "got token -1"),
        ("completions", {"prompt": []}, None, "at least 1"),
        ("completions", {"prompt": ["a"] * 33}, None, "too many inputs"),
        ("completions", {"prompt": "a", "max_tokens": 1000}, "max_tokens", "expected at most"),
        ("completions", {"prompt": "a", "max_tokens": 0}, "max_tokens", "without echo"),
        ("completions", {"prompt": "a", "max_tokens": 10**30}, "max_tokens", "expected at most"),
        ("completions", {"prompt": "a", "temperature": 3}, "temperature", "less than or equal to 2"),
        ("completions", {"prompt": "a", "temperature": "hot"}, "temperature", "got 'hot'"),
        ("completions", {"prompt": "a", "best_of": 2}, "best_of", "unknown parameter 'best_of'"),
        ("completions", {"prompt": "a", "suffix": "b"}, "suffix", "unknown parameter 'suffix'"),
        ("completions", {"prompt": "a", "n": 10**9, "stream": True}, "n", "less than or equal to 16"),
        ("completions", {"prompt": "a", "stream": 1}, "stream", "got 1"),
        ("completions", {"prompt": ["a", "b"], "stream": True}, "prompt", "expected 1"),
        ("completions", {"prompt": "a", "echo": True, "stream": True}, "echo", "with stream"),
        ("completions", {"prompt": "a", "logit_bias": {"5": 1}}, "logit_bias", "at most 0"),
        ("completions", {"prompt": "a", "max_tokens": 1, "max_new_tokens": 1}, None, "not both"),
        ("completions", {"prompt": "half \ud800"}, None, "surrogate"),
        ("chat/completions", {"messages": []}, "messages", "at least one"),
        ("chat/completions", {"messages": "hello"}, "messages", "got a string"),
        ("chat/completions", {"messages": [{"content": "a"}]}, "messages", "role and content"),
        ("chat/completions", {"messages": [{"role": "user"}]}, "messages", "content: got null"),
        (
            "chat/completions",
            {"messages": [{"role": "tool", "content": "a"}]},
            "messages",
            "starts with system or user",
        ),
        (
            "chat/completions",
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            "messages",
            "image_url",
        ),
        ("chat/completions", {"messages": MESSAGES, "tools": [{"type": "function"}]}, "tools", "at most 0"),
        (
            "chat/completions",
            {"messages": MESSAGES, "response_format": {"type": "json_object"}},
            "response_format",
            "got type 'json_object'",
        ),
        ("chat/completions", {"messages": MESSAGES, "prediction": {"type": "file"}}, "prediction", "content"),
        (
            "chat/completions",
            {"messages": MESSAGES, "prediction": {"type": "content", "content": 3}},
            "prediction",
            "got",
        ),
        (
            "chat/completions",
            {"messages": MESSAGES, "prediction": {"type": "content", "content": "half \ud800"}},
            None,
            "surrogate",
        ),
        ("chat/completions", {"messages": MESSAGES, "top_logprobs": 1}, "top_logprobs", "without logprobs"),
        ("chat/completions", {"messages": MESSAGES, "echo": True}, "echo", "a chat has none"),
        ("chat/completions", {"messages": MESSAGES, "max_tokens": 1, "max_completion_tokens": 1}, None, "not both"),
        ("embeddings", {"model": "x"}, "input", "expected input"),
        ("embeddings", {"input": 3}, "input", "got a number"),
        ("embeddings", {"input": [["a"]]}, "input", "got a list"),
        ("embeddings", {"input": [10**20]}, "ids", "no token"),
        ("embeddings", {"input": []}, None, "at least 1"),
        ("embeddings", {"input": "a", "dimensions": 9}, None, "at most 8"),
        ("embeddings", {"input": "a", "encoding_format": "hex"}, "encoding_format", "got 'hex'"),
        ("embeddings", {"input": "a", "normalize": False}, "normalize", "unknown parameter"),
    ],
)
def test_what_cannot_be_done_is_a_400_that_names_it(
    client: TestClient, path: str, body: dict[str, Any], parameter: str | None, message: str
) -> None:
    answer = client.post(f"/v1/{path}", content=json.dumps(body).encode())
    error = check_error(answer, 400)
    assert message in error["message"]
    assert (error["param"], error["type"]) == (parameter, "invalid_request_error")


def test_errors_under_v1_have_openais_shape(client: TestClient, predictors: dict[str, Predictor]) -> None:
    check_error(client.post("/v1/completions", content=b"{"), 400)
    check_error(client.post("/v1/completions", content=b"[" * 100_000), 400)
    assert check_error(client.get("/v1/nothing"), 404)["code"] == "unknown_url"
    assert check_error(client.get("/v1/models/bert"), 404)["code"] == "model_not_found"
    check_error(client.get("/v1/completions"), 405)
    check_error(client.post("/v1/completions", content=b"x" * 2_000_001), 413)
    alone = TestClient(create_app({"toy": predictors["toy"]}, SETTINGS))
    assert check_error(alone.post("/v1/completions", json={"prompt": "a"}), 404)["code"] == "model_not_found"
    broken = TestClient(create_app({"toy": BrokenPredictor(predictors["sentences"].engine)}, SETTINGS))
    error = check_error(broken.post("/v1/embeddings", json={"input": "a"}), 500)
    assert error["type"] == "server_error"
    assert "secret" not in error["message"]


class BrokenPredictor(Predictor):
    """Fails in a way that nobody foresaw."""

    def predict(self, *_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("secret detail")


def test_several_that_can_are_told_apart_by_name(predictors: dict[str, Predictor]) -> None:
    two = {"sentences": predictors["sentences"], "encoder": predictors["encoder"]}
    client = TestClient(create_app(two, SETTINGS))
    assert post(client, "embeddings", model="encoder", input="a")["model"] == "encoder"
    for name in ("bert", "dummy", None):
        error = check_error(client.post("/v1/embeddings", json={"model": name, "input": "a"}), 404)
        assert error["code"] == "model_not_found"


def test_a_model_without_a_template_says_so(tmp_path: Path) -> None:
    bare = Predictor.load(write_toy_decoder(tmp_path / "bare").directory, threads=1)
    client = TestClient(create_app({"bare": bare}, SETTINGS))
    error = check_error(client.post("/v1/chat/completions", json={"messages": MESSAGES}), 400)
    assert "no chat template" in error["message"]
