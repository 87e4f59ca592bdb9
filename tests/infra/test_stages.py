"""Stages are typed, names become legal ones, and groups agree."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from infra.app import compose
from infra.domains import Domain
from infra.naming import check_distinct, stack_name
from infra.stages import Stage, read_stage
from layers.errors import CatalogueError
from tests.infra.projects import app_of, write_project

ROOT = Path(__file__).resolve().parents[2]
KEYS = re.compile(r"`(\w+)`")


@pytest.mark.parametrize("name", ["dev", "prod"])
def test_the_stages_that_ship_are_valid(name: str) -> None:
    assert read_stage(ROOT / "stages.toml", name).name == name


def test_dev_keeps_nothing_and_prod_keeps_data_and_moves_in_steps() -> None:
    dev, prod = (read_stage(ROOT / "stages.toml", name) for name in ("dev", "prod"))
    assert (dev.retain_data, prod.retain_data) == (False, True)
    assert prod.rollout == "canary-5-minutes"
    assert dev.stack_prefix != prod.stack_prefix, "both stages fit one account"


@pytest.mark.parametrize(("table", "heading"), [(Stage, "Stages"), (Domain, "Domains")])
def test_every_key_of_a_stage_is_documented(table: type[Stage | Domain], heading: str) -> None:
    page = (ROOT / "docs" / "deploying.md").read_text(encoding="utf-8")
    rows = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    documented = {
        key for line in rows.splitlines() if line.startswith("| `") for key in KEYS.findall(line.split("|")[1])
    }
    # A stage's name is its table's title; a domain's is a key.
    assert documented == set(table.model_fields) - ({"name"} if table is Stage else set())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[prod]\n", "no stage 'dev': got prod"),
        ("[dev]\naccount = '12'\n", "key 'account': got '12'"),
        (
            "[dev]\nregoin = 'eu-west-1'\n",
            "[dev] unknown key 'regoin': did you mean 'region'? Valid keys: account, region",
        ),
        ("[dev]\nname = 'prod'\n", "[dev] key 'name': the table's title is the name; remove the key"),
        ("[dev]\nrollout = 'linear'\n", "[dev] key 'rollout': got 'linear', input should be 'all-at-once', "),
        ("[dev]\nrollout = 'linear'\n", "did you mean 'linear-10-minutes'?"),
        ("[dev.tags]\n'a,b' = 'c'\n", "[dev] key 'tags.a,b': got 'a,b', string should match pattern"),
        ("[dev]\nretain_data = 1\ntag = 2\n", "'retain_data': got 1, input should be a valid boolean; [dev] unknown"),
        ("[dev]\nregion = 'Ireland'\n", "key 'region'"),
        ("[dev]\nlog_retention_days = 8\n", "key 'log_retention_days'"),
        ("[dev]\ncallers = ['everybody']\n", "key 'callers': got 'everybody'"),
        ("[dev]\nmonthly_budget_usd = inf\n", "key 'monthly_budget_usd': got inf"),
        ("[dev]\nmonthly_budget_usd = true\n", "key 'monthly_budget_usd': got True"),
        ("[dev\n", "not valid TOML"),
    ],
)
def test_a_stage_that_is_wrong_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "stages.toml").write_text(text, encoding="utf-8")
    with pytest.raises(CatalogueError, match=r"stages\.toml") as caught:
        read_stage(tmp_path / "stages.toml", "dev")
    assert said in str(caught.value)


def test_a_folder_is_no_stages(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="cannot be read: Is a directory"):
        read_stage(tmp_path, "dev")


@pytest.mark.parametrize(
    ("name", "legal"),
    [("debian-sections", "debian-sections"), ("bge_small-v1.5", "bge-small-v1-5"), ("3b.model", "m-3b-model")],
)
def test_stack_names_are_legal(name: str, legal: str) -> None:
    assert stack_name(name) == legal
    assert stack_name(name, "prod-") == f"prod-{legal.removeprefix('m-')}"


def test_two_models_that_would_be_one_stack_are_refused() -> None:
    with pytest.raises(CatalogueError, match=r"'a\.b' and 'a_b' would both be the stack 'a-b'"):
        check_distinct(["a.b", "c", "a_b"])


def test_ids_are_the_catalogues_names_and_groups_one_stack(project: Path) -> None:
    stacks = {stack.node.id: stack.stack_name for stack in compose(app_of(project, "prod"))}
    assert stacks == {
        "everything": "prod-everything",
        "plain-v1.5": "prod-plain-v1-5",
        "open": "prod-open",
        "batches": "prod-batches",
        "small-models": "prod-small-models",
        "unbuilt": "prod-unbuilt",
        "gpu-now": "prod-gpu-now",
        "gpu-later": "prod-gpu-later",
    }


def test_a_group_named_as_a_model_is_refused(tmp_path: Path) -> None:
    catalogue = '[a]\nsource = "c"\ntask = "rerank"\n[b]\nsource = "c"\ntask = "rerank"\n[b.deploy]\ngroup = "a"\n'
    write_project(tmp_path, catalogue)
    with pytest.raises(CatalogueError, match="'a' is a model's name"):
        compose(app_of(tmp_path, "dev"))
