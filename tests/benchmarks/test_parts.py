"""A part that fails is said, a contender that cannot run says why, and a process's peak of memory is its own."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from benchmarks import cost
from benchmarks.__main__ import run_part
from benchmarks.cold_start import first_answer, in_turns
from benchmarks.contest import COMPILES, Result, Standing, Worker, hold
from benchmarks.encoder_models import cut, endless_tokenizer
from benchmarks.example_artifacts import ROOT
from benchmarks.ledger import NAIVE, ONE_THREAD, QUANTIZED, TUNED
from benchmarks.page import render
from benchmarks.tables import contest

ALLOCATED_MIB = 300


def test_a_part_that_failed_is_on_the_page_until_it_runs(tmp_path: Path) -> None:
    def fails(_say: Any) -> Any:
        raise OSError("no such card")

    assert not run_part("load", fails, tmp_path)
    assert "load failed when it was last run" in _page(tmp_path)
    assert "OSError: no such card" in _page(tmp_path)
    assert run_part("load", lambda _say: {"seconds": 1.0, "servers": {}}, tmp_path)
    assert "failed when" not in _page(tmp_path)
    assert json.loads((tmp_path / "load.json").read_text(encoding="utf-8"))["seconds"] >= 0


def test_a_contender_whose_process_ends_says_what_it_wrote_last() -> None:
    worker = Worker("anyone", "benchmarks.no_such_contender", [], 1)
    try:
        assert worker.call("1", 1) == []
        assert worker.error is not None
        assert "No module named benchmarks.no_such_contender" in worker.error
        assert worker.peak_mib() is None
    finally:
        worker.close()


class Told(Worker):
    """A contender of whom the milliseconds of every call are told."""

    def __init__(self, name: str, ms: float) -> None:
        self.name, self.ms, self.calls = name, ms, 0
        self.error, self.facts = None, {}

    def call(self, _case: str, count: int) -> list[float]:
        self.calls += count
        return [self.ms] * count

    def peak_mib(self) -> float | None:
        return None


def test_what_takes_long_is_called_once_and_that_call_counts() -> None:
    slow, quick = Told("slow", 39_000.0), Told("quick", 100.0)
    standings = {standing.name: standing.results["1"] for standing in hold([slow, quick], ["1"], print, rounds=2)}
    assert (slow.calls, standings["slow"].calls, standings["slow"].median_ms) == (1, 1, 39_000.0)
    assert standings["quick"].calls > 1


class Compiling(Told):
    """A contender whose first call of a case takes 28 seconds more."""

    def __init__(self, name: str, ms: float) -> None:
        super().__init__(name, ms)
        self.facts = {COMPILES: True}

    def call(self, case: str, count: int) -> list[float]:
        compiled = self.calls > 0
        times = super().call(case, count)
        return times if compiled else [28_000.0 + times[0], *times[1:]]


def test_what_compiling_takes_does_not_count() -> None:
    [standing] = hold([Compiling("compiled", 100.0)], ["1"], print, rounds=2)
    assert standing.results["1"].high_ms == 100.0
    assert standing.results["1"].calls > 1


def test_the_peak_of_a_child_is_not_that_of_its_parent() -> None:
    held = bytearray(ALLOCATED_MIB * 2**20)
    _, small = first_answer([sys.executable, "-c", "print('{}')"])
    _, large = first_answer([sys.executable, "-c", f"held = bytearray({ALLOCATED_MIB} * 2**20); print('{{}}')"])
    assert len(held) == ALLOCATED_MIB * 2**20
    assert 0 < small < ALLOCATED_MIB < large


def test_a_command_that_cannot_run_leaves_the_others_their_turns() -> None:
    commands = {
        "answers": [sys.executable, "-c", "print('{}')"],
        "fails": [sys.executable, "-c", "raise SystemExit('no weights here')"],
    }
    answers, errors = in_turns(commands, 2)
    assert {name: len(taken) for name, taken in answers.items()} == {"answers": 2}
    assert errors == {"fails": "process ended with status 1: no weights here"}


def test_costs_say_what_does_not_fit_and_what_was_not_measured() -> None:
    peaks = {NAIVE: 9000.0, TUNED: 900.0, QUANTIZED: 300.0, ONE_THREAD: None}
    standings = [Standing(name, {"write": Result(9.0, 9.0, 9.0, 3)}, None, {}, peak) for name, peak in peaks.items()]
    contest = {"cases": ["write"], "threads": 2, "standings": [asdict(standing) for standing in standings]}
    section = cost.section({"workloads": {"write": contest}})
    assert f"Does not fit into the memory it is priced at: write, {NAIVE}." in section
    assert f"Whether it fits was not measured: write, {ONE_THREAD}." in section
    assert "[300]" in section


def test_a_case_that_a_contender_has_not_run_has_no_ratio(tmp_path: Path) -> None:
    cases = ["1 x 8", "8 x 128"]
    ours = Standing("hundredfold int8", {case: Result(2.0, 2.0, 2.0, 3) for case in cases}, None, {"variant": "int8"})
    theirs = Standing("OpenVINO bf16", {"1 x 8": Result(5.0, 5.0, 5.0, 3)}, "OSError: gone", {})
    measured = {"cases": cases, "threads": 2, "standings": [asdict(theirs), asdict(ours)]}
    assert run_part("encoders", lambda _say: measured, tmp_path)
    assert "| OpenVINO bf16 | 2.50 |  |" in _page(tmp_path)


@pytest.mark.parametrize("tokens", [6, 30, 126])
def test_a_text_is_cut_to_so_many_tokens(tokens: int) -> None:
    tokenizer = endless_tokenizer(ROOT / "examples/models/debian-sections")
    text = "Unbelievably incompatible reverse-dependencies of libgstreamer-plugins-bad1.0-0 " * 30
    assert len(tokenizer.encode(cut(tokenizer, text, tokens)).ids) == tokens + 2


def _page(results: Path) -> str:
    render(results, results / "page.md")
    return (results / "page.md").read_text(encoding="utf-8")


def test_what_a_contender_ran_before_it_failed_is_shown() -> None:
    partly = Standing("fastembed", {"1 x 8": Result(5.0, 5.0, 5.0, 3)}, "RuntimeError: too long", {})
    table = contest({"cases": ["1 x 8", "8 x 128", "32 x 384"], "standings": [asdict(partly)]}, "texts x tokens")
    assert table.splitlines()[-1] == "| fastembed | 5.00 [5.00 to 5.00] | could not run: RuntimeError: too long |  |"
