"""The documentation's commands, run: page by page and in order, in a copy of the repository.

Servers get a free port in the place of 8080 and live until the page's next server, or its end. What curl is answered
has to be JSON. The Hub is a stand-in: it has an example model's files under the name of the one repository that the
pages build. Blocks that give a reason (tests/pages.py) are not run.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import tomllib
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType

import pytest

from benchmarks.emulator import free_ports
from tests.compiler.hub import hub
from tests.pages import PAGES, ROOT, RUN, Block, blocks_of

SERVERS = ("functions.local", "functions.gpu")
ADDRESS = "127.0.0.1:8080"
START_SECONDS = 60
EXAMPLES = 24
NOTHING: Mapping[str, str] = MappingProxyType({})


def runnable(page: Path) -> list[Block]:
    return [block for block in blocks_of(page) if block.file or (block.language in RUN and not block.reason)]


@pytest.fixture(scope="module")
def hub_variables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment in which the Hub's own client asks the stand-in."""
    tables = [tomllib.loads(block.text) for page in PAGES for block in blocks_of(page) if block.file.endswith(".toml")]
    [model] = [model for table in tables for model in table.values() if model["source"].startswith("hf://")]
    home = tmp_path_factory.mktemp("hub")
    checkpoint = ROOT / "examples/models/debian-sections"
    with hub(checkpoint, model["source"].removeprefix("hf://"), model["revision"]) as (endpoint, _asked):
        yield {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0"}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository's files, the running environment as its .venv, and the example models built.

    Builds are quick here: a few held-out examples, and in fp32 the catalogue's models that a page names.
    """
    assert (ROOT / "node_modules").is_dir(), "`npm ci` first, as `make test` does"
    copy = tmp_path_factory.mktemp("repository")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in listed.strip("\0").split("\0"):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, copy / name)
    (copy / ".venv").symlink_to(sys.prefix)
    (copy / "node_modules").symlink_to(ROOT / "node_modules")
    for data in copy.glob("examples/models/*/heldout.jsonl"):
        lines = data.read_text(encoding="utf-8").splitlines(keepends=True)
        data.write_text("".join(lines[:EXAMPLES]), encoding="utf-8")
    catalogue = copy / "models.toml"
    tables = catalogue.read_text(encoding="utf-8").partition("[debian-summarizer]")[0]
    catalogue.write_text(
        re.sub(r"^(\[[a-z-]+\])$", r'\1\nprecision = "fp32"', tables, flags=re.MULTILINE), encoding="utf-8"
    )
    run([".venv/bin/python", "build_artifacts.py"], copy)
    return copy


@pytest.mark.parametrize("page", [page for page in PAGES if runnable(page)], ids=lambda page: page.stem)
def test_every_command_of_a_page_succeeds(page: Path, tree: Path, hub_variables: dict[str, str]) -> None:
    with ExitStack() as servers:
        address = ADDRESS
        for block in runnable(page):
            if block.file:
                (tree / block.file).write_text(block.text, encoding="utf-8")
                continue
            if block.language == "python":
                run([".venv/bin/python", "-c", block.text], tree)
                continue
            for line in block.text.splitlines():
                words = shlex.split(line, comments=True)
                if is_server(words):
                    servers.close()
                    address = servers.enter_context(serving(words, tree))
                elif words[:1] == ["curl"]:
                    json.loads(run([*(word.replace(ADDRESS, address) for word in words), "--fail"], tree))
                elif words:
                    run(words, tree, hub_variables)


def is_server(words: list[str]) -> bool:
    called = words[2] if words[1:2] == ["-m"] else ""
    return called in SERVERS and not {"--event", "--help"} & set(words)


def run(words: list[str], tree: Path, variables: Mapping[str, str] = NOTHING) -> str:
    env = {**environment(), **variables}
    done = subprocess.run(words, cwd=tree, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{shlex.join(words)}: status {done.returncode}\n{done.stderr[-2000:]}"
    return done.stdout


def environment() -> dict[str, str]:
    return {**os.environ, "HF_HUB_OFFLINE": "1", "NO_COLOR": "1", "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "20"}


@contextmanager
def serving(words: list[str], tree: Path) -> Iterator[str]:
    """Start a server on a free port; gives its address once it is well."""
    [port] = map(str, free_ports(1))
    at = words.index("--port") if "--port" in words else len(words)
    command = [*words[:at], "--port", port, *words[at + 2 :]]
    log = tree / "server.log"
    with log.open("w") as stream:
        process = subprocess.Popen(command, cwd=tree, env=environment(), stdout=stream, stderr=stream)
        try:
            await_health(f"http://127.0.0.1:{port}/health", process, log)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(START_SECONDS)


def await_health(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"{url} does not answer: {log.read_text()[-2000:]}")
