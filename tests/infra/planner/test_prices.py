"""The price table: complete, dated, with a source for every part, and refused when it is not."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from infra.planner import PriceTable
from infra.planner.prices import PRICES
from layers.errors import CatalogueError

TABLE = PriceTable.read()


def test_every_part_names_its_source() -> None:
    parts = {"lambda": TABLE.functions, "sagemaker": TABLE.instances, "sqs": TABLE.messages, "s3": TABLE.messages}
    assert set(TABLE.sources) == set(parts)
    assert all(source.page.startswith("https://aws.amazon.com/") for source in TABLE.sources.values())
    assert datetime.date(2026, 9, 1) <= TABLE.as_of <= datetime.datetime.now(datetime.UTC).date()


def test_arm64_costs_a_fifth_less() -> None:
    functions = TABLE.functions
    for name in type(functions.x86_64).model_fields:
        ratio = getattr(functions.of("arm64"), name) / getattr(functions.of("x86_64"), name)
        assert ratio == pytest.approx(0.8, abs=1e-4), name


def test_a_worked_example_of_awss_own_page() -> None:
    # Provisioned concurrency, example 2: 7 environments of 4 GB for a day, 2 million requests of 280 ms.
    prices = TABLE.functions.x86_64
    assert 7 * 4 * 86_400 * prices.provisioned_gb_second == pytest.approx(10.08, abs=0.005)
    assert 2e6 * 0.28 * 4 * prices.provisioned_duration_gb_second == pytest.approx(21.78, abs=0.005)
    assert 2 * TABLE.functions.million_requests == pytest.approx(0.40)
    # SnapStart: 1 GB cached for 31 days, 74,400 restores.
    assert 31 * 86_400 * TABLE.functions.snapstart_cache_gb_second == pytest.approx(4.03, abs=0.005)
    assert 74_400 * TABLE.functions.snapstart_restore_gb == pytest.approx(10.4, abs=0.005)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("million_requests = 0.20", "million_requests = -1", "greater than or equal to 0"),
        ("million_requests = 0.20", "", "million_requests"),
        ("million_requests = 0.20", "million_requests = 0.20\nbillion_requests = 1", "billion_requests"),
        ("as_of = 2026-09-27", "as_of = ", "not a price table"),
    ],
    ids=["negative", "missing", "unknown", "not TOML"],
)
def test_a_broken_table_is_refused(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(PRICES.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    with pytest.raises(CatalogueError, match=complaint):
        PriceTable.read(path)


def test_a_table_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match=r"nowhere\.toml"):
        PriceTable.read(tmp_path / "nowhere.toml")
