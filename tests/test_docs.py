"""The documentation against the code: commands, keys, settings, routes, parameters, dependencies, tables and links."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest
from pydantic import BaseModel

from functions.event_settings import EventSettings
from layers.catalogue import Metric, ModelSpec, Table, Task, read_catalogue
from layers.compiler.architectures.registry import ARCHITECTURES
from layers.runtime.settings import Settings
from layers.runtime.tasks import TASKS
from layers.runtime.tasks.task import StrictParameters
from layers.serving.application import create_app
from tests.pages import FENCE, PAGES, REASONS, ROOT, RUN, SHOWN, Block, blocks_of, rows, section, text_of

LINK = re.compile(r"\]\(([^)\s]+)\)")
TABLES: dict[str, type[Table]] = {
    "MODEL": ModelSpec,
    **{f"MODEL.{name}": field.annotation for name, field in ModelSpec.model_fields.items()},  # type: ignore[dict-item]
}
TABLES = {title: table for title, table in TABLES.items() if isinstance(table, type) and issubclass(table, Table)}


def blocks(language: str) -> list[Any]:
    """Every fenced block of a language, one test each."""
    found = [
        pytest.param(block.text, id=str(block))
        for page in PAGES
        for block in blocks_of(page)
        if block.language == language
    ]
    assert found, f"no {language} blocks: the pages are not where this test looks"
    return found


# Commands


@pytest.mark.parametrize("block", [block for page in PAGES for block in blocks_of(page)], ids=str)
def test_a_block_is_run_or_says_why_not(block: Block) -> None:
    """tests/test_docs_run.py runs every block of RUN that gives no reason."""
    assert block.language in (*RUN, *SHOWN), "nobody runs blocks of this language, nor knows that they are only shown"
    assert block.reason in ("", *REASONS)
    assert not (block.reason and block.language in SHOWN), "only shown: there is nothing to explain"
    assert not (block.file and block.language in RUN), "run, and not written to a file"


def commands() -> Iterator[Any]:
    """Of blocks that are not run; the others prove themselves."""
    for block in [block for page in PAGES for block in blocks_of(page) if block.language == "sh" and block.reason]:
        for line in block.text.splitlines():
            words = shlex.split(line, comments=True)
            if words:
                yield pytest.param(words, id=f"{block}: {' '.join(words)[:70]}")


@pytest.mark.parametrize("words", list(commands()))
def test_a_command_names_what_exists(words: list[str]) -> None:
    program, *arguments = words
    if program == "make":
        targets = re.findall(r"^([a-z0-9-]+):", text_of("Makefile"), re.MULTILINE)
        assert [word for word in arguments if "=" not in word and word not in targets] == []
    elif program == "curl":
        check_request(arguments)
    elif program in ("npm", "npx"):
        check_node(words)
    else:
        assert program == ".venv/bin/python", f"a command that this test does not know how to check: {program}"
        check_python(arguments)


def check_node(words: list[str]) -> None:
    """`npm install`, and the CDK's commands: on models of the catalogue, with context that infra/app.py reads."""
    if words == ["npm", "ci"]:
        assert (ROOT / "package-lock.json").is_file()
        return
    assert words[:2] == ["npx", "cdk"]
    models = {*read_catalogue(ROOT / "models.toml"), *("bootstrap", "deploy", "diff", "destroy", "synth", "list", "gc")}
    previous = ""
    for word in words[2:]:
        if previous == "-c":
            assert f'"{word.split("=")[0]}"' in text_of("infra/app.py"), f"infra/app.py reads no context {word}"
        elif not word.startswith("-"):
            assert word in models or word.startswith("aws://"), f"models.toml has no {word}"
        previous = word


def check_python(arguments: list[str]) -> None:
    if arguments[0] == "-m":
        assert importlib.util.find_spec(arguments[1]), f"no module {arguments[1]}"
        call, rest = arguments[:2], arguments[2:]
    else:
        assert (ROOT / arguments[0]).is_file(), f"no file {arguments[0]}"
        call, rest = arguments[:1], arguments[1:]
    known = help_of(*call)
    catalogue = arguments[arguments.index("--catalog") + 1] if "--catalog" in arguments else "models.toml"
    models = read_catalogue(ROOT / catalogue)
    previous = ""
    for word in rest:
        if word.startswith("-"):
            assert re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", known), f"{call} has no option {word}"
        elif "/" in word and previous != "--output":
            assert (ROOT / word).exists(), f"no file {word}"
        elif not previous.startswith("-"):
            assert word in models or f"{{{word}}}" in known, f"models.toml has no {word}, nor does {call} take it"
        previous = word


def check_request(arguments: list[str]) -> None:
    url = urlparse(next(word for word in arguments if word.startswith("http")))
    if url.hostname == "huggingface.co":
        return
    method = "post" if "-d" in arguments else "get"
    assert url.hostname == "127.0.0.1"
    assert method in routes()[url.path]
    if method == "post":
        assert "inputs" in json.loads(arguments[arguments.index("-d") + 1])


@functools.cache
def help_of(*call: str) -> str:
    environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
    command = [sys.executable, *call, "--help"]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout


# models.toml


@pytest.mark.parametrize("title", TABLES)
def test_every_key_of_the_catalogue_is_documented(title: str) -> None:
    documented = rows(section("docs/models-toml.md", f"[{title}]"))
    tables = {table.removeprefix("MODEL.") for table in TABLES}
    for key, field in TABLES[title].model_fields.items():
        if key == "name" or key in tables:
            continue
        assert key in documented, f"docs/models-toml.md, [{title}]: no row for {key}"
        if field.default not in (None, ...) and not field.is_required():
            stated = documented[key][2].strip("`")
            assert stated in (str(field.default), json.dumps(field.default)), f"[{title}] {key}: default {stated}"


@pytest.mark.parametrize("title", TABLES)
def test_every_documented_key_exists(title: str) -> None:
    first_table = section("docs/models-toml.md", f"[{title}]").split("\n###")[0]
    documented = {key for key in rows(first_table) if re.fullmatch("[a-z_0-9]+", key)}
    assert documented <= set(TABLES[title].model_fields)


@pytest.mark.parametrize("title", TABLES)
def test_every_choice_of_a_key_is_documented(title: str) -> None:
    page = section("docs/models-toml.md", f"[{title}]")
    for field in TABLES[title].model_fields.values():
        for choice in literals(field.annotation):
            assert f"`{choice}`" in page or f'`"{choice}"`' in page, f"[{title}]: nothing on {choice}"


def literals(annotation: Any) -> Iterator[str]:
    if typing.get_origin(annotation) is typing.Literal:
        yield from typing.get_args(annotation)
    else:
        for part in typing.get_args(annotation):
            yield from literals(part)


@pytest.mark.parametrize("block", blocks("toml"))
def test_a_catalogue_in_the_documentation_is_one(block: str, tmp_path: Path) -> None:
    path = tmp_path / "models.toml"
    path.write_text(block, encoding="utf-8")
    assert read_catalogue(path)


# The gate, settings, routes, parameters


@pytest.mark.parametrize("metric", typing.get_args(Metric))
def test_every_metric_is_documented(metric: str) -> None:
    assert f"`{metric}`" in text_of("docs/accuracy-gate.md")


@pytest.mark.parametrize("block", blocks("json"))
def test_json_in_the_documentation_is_json_line_by_line(block: str) -> None:
    for line in block.splitlines():
        assert json.loads(line)


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_documented(name: str) -> None:
    variable = "ARTIFACT_DIR" if name == "artifact_dir" else f"HUNDREDFOLD_{name.upper()}"
    documented = rows(section("docs/http.md", "Limits and settings"))
    assert variable in documented
    default = Settings.model_fields[name].default
    if isinstance(default, bool | int):
        assert documented[variable][1] == f"`{json.dumps(default)}`"


@pytest.mark.parametrize("name", EventSettings.model_fields)
def test_every_setting_of_events_is_documented(name: str) -> None:
    documented = rows(section("docs/events.md", "Settings"))
    variable = f"HUNDREDFOLD_{name.upper()}"
    assert variable in documented
    default = EventSettings.model_fields[name].default
    if isinstance(default, bool | int | float | dict):
        assert documented[variable][1] == f"`{json.dumps(default)}`"


def test_every_documented_setting_exists() -> None:
    names = [*Settings.model_fields, *EventSettings.model_fields]
    known = {f"HUNDREDFOLD_{name.upper()}" for name in names} | {"HUNDREDFOLD_"}
    for page in PAGES:
        found = set(re.findall(r"HUNDREDFOLD_[A-Z_]*", page.read_text(encoding="utf-8")))
        assert found <= known, f"{page.name}: {found - known}"


def routes() -> dict[str, set[str]]:
    """Methods of every path that the application serves."""
    app = create_app({}, Settings(artifact_dir=ROOT))
    return {path: set(methods) for path, methods in app.openapi()["paths"].items()}


def test_every_route_is_documented() -> None:
    documented = section("docs/http.md", "Routes")
    for path, methods in routes().items():
        for method in methods:
            route = f"{method.upper()} {path.replace('{name}', 'NAME').replace('{task}', 'TASK')}"
            assert f"`{route}`" in documented, f"docs/http.md: no route {route}"


def test_every_parameter_is_documented() -> None:
    def kinds(kind: type[BaseModel]) -> Iterator[type[BaseModel]]:
        yield kind
        for other in kind.__subclasses__():
            yield from kinds(other)

    documented = set(rows(section("docs/http.md", "Requests")))
    for row in rows(section("docs/http.md", "Requests")).values():
        documented |= set(re.findall(r"`([a-z_]+)`", row[0]))
    names = {
        name for kind in kinds(StrictParameters) if kind.__module__.startswith("layers.") for name in kind.model_fields
    }
    assert {"truncate", "top_k", "dimensions"} <= names
    assert sorted(names - documented) == []


# Tasks and dependencies


def test_served_tasks_are_in_the_readme() -> None:
    stated = [line for line in text_of("README.md").splitlines() if line.startswith("| Served tasks")]
    names = {name.strip() for line in stated for name in line.strip("| ").split("|")[1].split(",")}
    assert names == TASKS.keys() & set(typing.get_args(Task))


def test_supported_architectures_are_in_the_readme() -> None:
    rows_of = [
        line for line in text_of("README.md").splitlines() if re.match(r"\| (Enc|Dec)oders|\| Encoder-dec", line)
    ]
    names = {name.split()[0] for line in rows_of for name in line.strip("| ").split("|")[1].split(",")}
    assert names == set(ARCHITECTURES)


def test_served_tasks_are_marked_in_the_catalogues_page() -> None:
    documented = section("docs/models-toml.md", "[MODEL]").partition("### Tasks")[2].partition("###")[0]
    for line in documented.splitlines():
        cells = line.strip("| ").split(" | ")
        for task in re.findall(r"`([a-z0-9-]+)`", cells[0]):
            assert cells[3].startswith("yes") == (task in TASKS), f"docs/models-toml.md: {task} is served: {cells[3]}"


def dependencies() -> list[str]:
    """Names of every direct dependency, whatever its group and its version."""
    project = tomllib.loads(text_of("pyproject.toml"))["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    return sorted({re.split("[^a-zA-Z0-9_-]", pin)[0] for group in groups for pin in group})


@pytest.mark.parametrize("name", dependencies())
def test_every_dependency_is_explained(name: str) -> None:
    used = text_of("docs/dependencies.md").partition("## Not used")[0]
    explained = {found for row in rows(used).values() for found in re.findall(r"`([^`]+)`", row[0])}
    assert name in explained


# Folders


def test_every_folder_of_code_is_in_the_table_of_folders() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    files = [Path(name) for name in listed if name[:1] not in (".", '"', "")]
    top = {f"{file.parts[0]}/" for file in files if len(file.parts) > 1}
    packages = {f"{file.parent}/" for file in files if file.name == "__init__.py" and file.parts[0] != "tests"}
    named = set(re.findall(r"`([a-z/_]+/)`", section("docs/architecture.md", "Folders")))
    # What is above the strata needs no row of its own.
    assert sorted((top | packages) - named - {"layers/"}) == []
    assert [name for name in sorted(named) if not (ROOT / name).is_dir()] == []


# Links


def links() -> Iterator[Any]:
    for page in PAGES:
        for target in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
            if not urlparse(target).scheme:
                yield pytest.param(page, target, id=f"{page.stem} to {target}")


@pytest.mark.parametrize(("page", "target"), list(links()))
def test_a_link_leads_somewhere(page: Path, target: str) -> None:
    name, _, anchor = target.partition("#")
    file = page.parent / name if name else page
    assert file.exists(), f"{page.name}: no {name}"
    if anchor:
        headings = re.findall(r"^#+ (.+)$", FENCE.sub("", file.read_text(encoding="utf-8")), re.MULTILINE)
        slugs = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert anchor in slugs, f"{file.name} has no heading for #{anchor}"


def test_the_index_has_every_page() -> None:
    named = {target.partition("#")[0] for target in LINK.findall(text_of("docs/README.md"))}
    assert {page.name for page in PAGES if page.parent.name == "docs"} - {"README.md"} <= named


def test_every_page_is_reached_from_the_readme() -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md" or not page.exists():
            continue
        reached.add(page)
        targets = [target.partition("#")[0] for target in LINK.findall(page.read_text(encoding="utf-8"))]
        waiting += [(page.parent / name).resolve() for name in targets if name and "://" not in name]
    assert set(PAGES) <= reached
