"""`models.toml`: what is wrong in it is said by file, table and key, and nothing wrong is taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from layers.catalogue import read_catalogue
from layers.errors import CatalogueError

MODEL = '[m]\nsource = "checkpoint"\ntask = "text-classification"\n'


def said_of(folder: Path, tables: str) -> str:
    path = folder / "models.toml"
    path.write_text(MODEL + tables, encoding="utf-8")
    with pytest.raises(CatalogueError, match=r"models\.toml: ") as caught:
        read_catalogue(path)
    return str(caught.value).removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    "key", ["requests_per_second", "peak_requests_per_second", "busy_hours_per_day", "monthly_budget_usd", "p95_ms"]
)
@pytest.mark.parametrize(
    ("value", "said"),
    [("inf", "finite"), ("nan", ""), ("true", "got True, input should be a valid number"), ('"5"', "got '5', input")],
)
def test_demand_is_finite_numbers(tmp_path: Path, key: str, value: str, said: str) -> None:
    found = said_of(tmp_path, f"[m.traffic]\n{key} = {value}\n")
    assert found.startswith(f"[m.traffic] key '{key}': got ")
    assert said in found


def test_demand_may_be_whole_numbers(tmp_path: Path) -> None:
    path = tmp_path / "models.toml"
    path.write_text(f"{MODEL}[m.traffic]\nrequests_per_second = 5\np95_ms = 100\n", encoding="utf-8")
    assert read_catalogue(path)["m"].traffic.requests_per_second == 5.0


SCHEDULE = "[m.deploy]\nprovisioned = 1\n[[m.deploy.schedule]]\n"


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ('[m.deploy]\ngroup = "A b"\n', "[m.deploy] key 'group': got 'A b', string should match pattern"),
        ('[m.deploy]\ngroup = "a/b"\n', "[m.deploy] key 'group': got 'a/b', string should match pattern"),
        ('[m.deploy]\ntriggers = ["https", "queue", "https"]\n', "[m.deploy] triggers: got 'https' twice"),
        *(
            (
                f"[m.deploy]\ntriggers = {others}\n{key} = true\n",
                f'[m.deploy] {key}: is of the {trigger} trigger; add "{trigger}" to triggers, or remove {key}',
            )
            for key, trigger, others in (
                ("streaming", "https", '["queue", "bucket"]'),
                ("response_cache", "https", '["queue", "bucket"]'),
                ("idempotency", "queue", '["https", "bucket"]'),
            )
        ),
        (
            f'{SCHEDULE}cron = "0 8 ? * MON-FRI *"\nminimum = 3\nmaximum = 2\n',
            "[m.deploy.schedule] minimum: got 3, expected at most maximum, which is 2",
        ),
        *(
            (
                f'[m.deploy]\ntarget = "{target}"\n{key} = {value}\n',
                f'[m.deploy] {key}: is of {owner}, and target = "{target}" deploys none; remove {key}, or target',
            )
            for target, owner, keys in (
                ("lambda", "a GPU endpoint", {"mode": '"realtime"', "instance_type": '"ml.g6.xlarge"'}),
                ("gpu", "a function that holds the model", {"memory_mib": "1769", "architecture": '"arm64"'}),
            )
            for key, value in keys.items()
        ),
    ],
)
def test_what_could_not_be_deployed_is_refused(tmp_path: Path, tables: str, said: str) -> None:
    assert said in said_of(tmp_path, tables)


@pytest.mark.parametrize(
    "table",
    [
        'target = "lambda"\nmode = "auto"\ninstance_type = "auto"\n',
        'target = "gpu"\nmemory_mib = "auto"\narchitecture = "auto"\n',
        'memory_mib = 1769\ninstance_type = "ml.g6.xlarge"\n',
    ],
)
def test_keys_of_the_other_target_may_stand_where_they_change_nothing(tmp_path: Path, table: str) -> None:
    path = tmp_path / "models.toml"
    path.write_text(f"{MODEL}[m.deploy]\n{table}", encoding="utf-8")
    assert read_catalogue(path)["m"].deploy


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        (
            f'{SCHEDULE}cron = "0 8 ? * MON-FRI *"\nminimum = 3\n',
            "[m.deploy.schedule] missing key 'maximum': every entry needs cron, minimum, maximum.",
        ),
        *(
            (
                f"[m.deploy]\nmemory_mib = {value}\n",
                f"[m.deploy] key 'memory_mib': got {got}, expected 'auto' or an integer from 128 to 10240.",
            )
            for value, got in (
                ("64", "64"),
                ("20000", "20000"),
                ('"atuo"', "'atuo'"),
                ("true", "True"),
                ("1e3", "1000.0"),
            )
        ),
    ],
)
def test_a_mistake_is_named_by_its_own_table_and_key(tmp_path: Path, tables: str, said: str) -> None:
    assert said_of(tmp_path, tables) == said


def test_a_folder_is_no_catalogue(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="cannot be read: Is a directory"):
        read_catalogue(tmp_path)
