"""The page in Chromium: load, type, run, see, by keyboard, in the dark and on a phone."""

from __future__ import annotations

import ast
import itertools
import json
import re
import shlex
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path
from time import sleep
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from layers.runtime.generation.engine import GenerationEngine
from layers.runtime.predictor import Predictor
from layers.runtime.run import StreamEvent
from layers.runtime.settings import Settings
from layers.serving.application import create_app
from tests.runtime.generation.toy_decoder import write_toy_decoder
from tests.runtime.toy_artifact import Toy
from tests.serving.live_server import live

DONE = "#result:not([aria-busy]):not(:has(.empty))"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium where there is one, else playwright's own."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def alone(predictors: dict[str, Predictor], artifacts: dict[str, Toy]) -> Iterator[str]:
    """One classifier, served."""
    settings = Settings(artifact_dir=artifacts["toy"].directory)
    with live(create_app({"toy": predictors["toy"]}, settings)) as url:
        yield url


@pytest.fixture(scope="module")
def several(predictors: dict[str, Predictor], artifacts: dict[str, Toy]) -> Iterator[str]:
    """A classifier and an embedding model, served together."""
    settings = Settings(artifact_dir=artifacts["toy"].directory)
    with live(create_app({name: predictors[name] for name in ("toy", "sentences")}, settings)) as url:
        yield url


@pytest.fixture
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page that fails the test when the console, a script or a request complains."""
    context = browser.new_context(**getattr(request, "param", {}))
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text) if message.type != "log" else None)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("requestfailed", lambda failed: complaints.append(f"{failed.url} {failed.failure}"))
    yield opened
    context.close()
    # What tests ask for: a refusal, and a request that is stopped.
    assert [words for words in complaints if not re.search("status of 422|ERR_ABORTED", words)] == []


def test_a_text_is_typed_and_run_by_keyboard(page: Page, alone: str) -> None:
    page.goto(alone)
    expect(page.get_by_role("heading", level=1)).to_have_text("toy")
    page.get_by_label("Text", exact=True).fill("networking tools for python")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector(DONE)
    labels = page.locator("#result .label").all_inner_texts()
    assert sorted(labels) == ["admin", "libs", "net", "python"]
    assert re.fullmatch(r"\d+\.\d%", page.locator("#result .value").first.inner_text())
    assert re.search(r"[\d.]+ ms", page.get_by_role("status").inner_text())
    assert "Inference" in page.locator("#latency").inner_text()
    assert "tokens read" in page.locator("#latency").inner_text()


def test_everything_is_reached_by_tab_and_focus_is_seen(page: Page, alone: str) -> None:
    page.goto(alone)
    seen = []
    for _ in range(24):
        page.keyboard.press("Tab")
        focused = page.locator(":focus")
        if focused.count():
            seen.append(focused.evaluate("(e) => e.id || e.textContent.trim()"))
            assert focused.evaluate("(e) => getComputedStyle(e).outlineStyle") != "none", seen[-1]
    wanted = {"field-text", "option-top_k", "run", "copy", "call", "Gate report", "Python"}
    assert wanted <= set(seen)
    assert seen.index("field-text") < seen.index("run") < seen.index("copy")


def test_every_field_has_a_name(page: Page, several: str) -> None:
    page.goto(several)
    for field in page.locator("textarea, input, select, button").all():
        assert field.evaluate("(e) => e.labels?.[0]?.textContent || e.textContent || e.ariaLabel").strip()


@pytest.mark.parametrize("page", [{"color_scheme": "dark"}], indirect=True)
def test_the_dark_is_dark(page: Page, alone: str) -> None:
    page.goto(alone)
    colours = {
        name: page.locator("body").evaluate(f"(e) => getComputedStyle(e).{name}")
        for name in ("color", "backgroundColor")
    }
    lightness = {name: sum(map(int, re.findall(r"\d+", colour)[:3])) for name, colour in colours.items()}
    assert lightness["backgroundColor"] < 150
    assert lightness["color"] > 550


@pytest.mark.parametrize("page", [{"viewport": {"width": 375, "height": 700}}], indirect=True)
def test_a_phone_shows_everything_without_scrolling_sideways(page: Page, several: str) -> None:
    page.goto(several)
    page.get_by_label("Text", exact=True).fill("aVeryLongWordWithoutAnyPlaceToBreak" * 8)
    page.get_by_role("button", name="Run").click()
    page.wait_for_selector(DONE)
    assert page.locator("html").evaluate("(e) => e.scrollWidth") == 375


def test_a_refusal_is_told_in_words(page: Page, alone: str) -> None:
    page.goto(alone)
    page.get_by_text("More parameters").click()
    page.get_by_label("A JSON object").fill('{"topk": 3}')
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("alert")).to_contain_text("The request was refused (422)")
    expect(page.get_by_role("alert")).to_contain_text("unknown parameter 'topk'")
    page.get_by_label("A JSON object").fill("{")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("alert")).to_contain_text("More parameters: not JSON")


@pytest.mark.parametrize("text", ['it\'s "quoted" \\ `$HOME` ${x}\nline 🎓 é', "</script><img src=x onerror=alert(1)>"])
def test_the_calls_shown_are_the_call_made(page: Page, alone: str, text: str) -> None:
    page.goto(alone)
    page.get_by_label("Text", exact=True).fill(text)
    with page.expect_request(lambda request: request.method == "POST") as sent:
        page.get_by_role("button", name="Run").click()
    body = json.loads(sent.value.post_data or "")
    assert body["inputs"] == text
    words = shlex.split(page.locator("#call").inner_text())
    assert words[0] == "curl"
    assert sent.value.url in words
    assert json.loads(words[words.index("-d") + 1]) == body
    page.get_by_role("button", name="Python", exact=True).click()
    assert python_call(page.locator("#call").inner_text()) == (sent.value.url, body)
    page.wait_for_selector(DONE)
    assert page.locator("main img").count() == 0


def python_call(source: str) -> tuple[str, Any]:
    """The URL and the body of the `requests.post` in a program."""
    [call] = [
        n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Call) and ast.unparse(n.func) == "requests.post"
    ]
    return ast.literal_eval(call.args[0]), ast.literal_eval(call.keywords[0].value)


def test_the_call_is_copied(page: Page, alone: str) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(alone)
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.locator("body").evaluate("() => navigator.clipboard.readText()") == page.locator("#call").inner_text()


def test_models_and_tasks_are_chosen(page: Page, several: str) -> None:
    page.goto(several)
    page.get_by_label("Model", exact=False).and_(page.get_by_role("combobox")).select_option("sentences")
    expect(page.get_by_role("heading", level=1)).to_have_text("sentences")
    page.get_by_role("button", name="sentence-similarity").click()
    page.get_by_label("Sentence", exact=True).fill("an editor")
    page.get_by_label("Sentences to compare with").fill("an editor\nnetworking tools")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector(DONE)
    assert page.locator("#result .value").all_inner_texts()[0] == "1.000"
    page.get_by_role("button", name="feature-extraction").click()
    page.get_by_role("button", name="a game of chess").last.click()
    page.wait_for_selector(DONE)
    assert page.locator("#result canvas").count() == 3
    assert "8 dimensions" in page.locator("#result").inner_text()
    assert page.locator("#result .matrix td").count() == 9


def test_a_stage_before_the_path_is_kept(page: Page, alone: str) -> None:
    page.route(
        "**/prod", lambda route: route.fulfill(response=page.request.get(alone, headers={"accept": "text/html"}))
    )
    page.goto(f"{alone}/prod")
    assert f"{alone}/prod/'" in page.locator("#call").inner_text()
    assert page.get_by_role("link", name="Gate report").get_attribute("href") == f"{alone}/prod/report"


class Endless(Predictor):
    """Writes the same word until nobody listens any more."""

    def predict_stream(self, *_: Any, **__: Any) -> Generator[StreamEvent]:
        for index in itertools.count(1):
            yield StreamEvent(index, 7, " <b>word</b>", " <b>word</b>", False, -0.1, (), None)
            sleep(0.02)


def test_a_text_is_shown_as_it_is_written_and_can_be_stopped(page: Page, tmp_path: Path) -> None:
    write_toy_decoder(tmp_path / "writer")
    endless = Endless(GenerationEngine.load(tmp_path / "writer", threads=1))
    settings = Settings(artifact_dir=tmp_path / "writer")
    with live(create_app({endless.manifest.name: endless}, settings)) as url:
        page.goto(url)
        page.get_by_label("Prompt").fill("Say it:")
        page.keyboard.press("Control+Enter")
        result = page.locator("#result")
        expect(result).to_contain_text("Say it: <b>word</b> <b>word</b>")
        expect(result).to_have_attribute("aria-busy", "true")
        length = len(result.inner_text())
        expect(result).to_contain_text("<b>word</b> " * (length // 12 + 3))
        page.get_by_role("button", name="Stop").click()
        expect(page.get_by_role("status")).to_have_text("Stopped")
        expect(page.get_by_role("button", name="Run")).to_be_visible()
        assert "Say it: <b>word</b>" in result.inner_text(), "what came stays"


def test_a_stream_that_ends_is_timed(page: Page, tmp_path: Path) -> None:
    write_toy_decoder(tmp_path / "writer")
    predictor = Predictor.load(tmp_path / "writer", threads=1)
    with live(create_app({predictor.manifest.name: predictor}, Settings(artifact_dir=tmp_path))) as url:
        page.goto(url)
        page.get_by_label("Prompt").fill("an editor")
        page.get_by_label("New tokens, at most").fill("6")
        assert '"stream":true' in page.locator("#call").inner_text()
        page.keyboard.press("Control+Enter")
        page.wait_for_selector(DONE)
        assert re.search(r"\d tokens? written", page.locator("#latency").inner_text())
        assert "First token" in page.locator("#latency").inner_text()
        streamed = page.locator("#result .prose").inner_text()
        page.get_by_label("Show it as it is written").uncheck()
        assert "stream" not in page.locator("#call").inner_text()
        page.keyboard.press("Control+Enter")
        expect(page.locator("#latency")).to_contain_text("Inference")
        assert page.locator("#result .prose").inner_text() == streamed
