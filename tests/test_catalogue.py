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
