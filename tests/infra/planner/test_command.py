"""`python -m infra.planner`: what it prints, what it writes, and how it ends."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from infra.planner import Option
from infra.planner.__main__ import main
from infra.planner.break_even import representatives
from infra.planner.plot import cost_plot
from tests.infra.planner.manifests import manifest_of

ROOT = Path(__file__).resolve().parents[3]
SVG = "{http://www.w3.org/2000/svg}"
CATALOGUE = """
[m]
source = "m"
task = "text-classification"
[m.traffic]
requests_per_second = 5
p95_ms = {p95_ms}
tokens_in = 32
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A catalogue of one model, and its artifact's manifest."""
    (tmp_path / "models.toml").write_text(CATALOGUE.format(p95_ms=200), encoding="utf-8")
    (tmp_path / "m").mkdir()
    manifest_of().write(tmp_path / "m")
    return tmp_path


def arguments(folder: Path, *more: str) -> list[str]:
    return ["--catalog", str(folder / "models.toml"), "--output", str(folder), *more]


def test_a_table_with_the_chosen_option_first(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(folder)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "m: 5 requests a second; p95 within 200 ms"
    assert lines[3].endswith("chosen")
    ends = {line.index("$/month") + len("$/month") for line in lines if "$/month" in line}
    prices = [re.match(r".*?[\d,]+\.\d\d(?=  )", line) for line in lines[3:] if line.startswith(("lambda", "ml."))]
    assert {match.end() for match in prices if match} == ends, "figures stand below their heading"


def test_every_option_on_request(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(arguments(folder))
    few = capsys.readouterr().out
    main(arguments(folder, "--all"))
    assert len(capsys.readouterr().out.splitlines()) > len(few.splitlines()) + 20


def test_json_holds_everything(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(folder, "--json")) == 0
    plan = json.loads(capsys.readouterr().out)
    options = [Option.from_json(option) for option in plan["options"]]
    assert Option.from_json(plan["chosen"]) == options[0]
    assert plan["chosen"]["monthly_usd"] == pytest.approx(sum(plan["chosen"]["cost"].values()))
    assert {"lambda", "sagemaker"} <= set(plan["prices"]["sources"])


def test_a_plot_of_every_kind(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(folder, "m", "--json", "--plot", str(folder / "plot.svg"))) == 0
    options = tuple(Option.from_json(option) for option in json.loads(capsys.readouterr().out)["options"])
    expected = {option.kind + (" (estimate)" if option.estimated else "") for option in representatives(options)}
    assert {kind.split()[0] for kind in expected} >= {"lambda", "ml.c5.large", "ml.g4dn.xlarge"}
    drawing = ElementTree.parse(folder / "plot.svg").getroot()
    assert expected <= {text.text for text in drawing.iter(f"{SVG}text")}
    assert len(list(drawing.iter(f"{SVG}polyline"))) == len(expected)


def test_a_plots_folder_is_made(folder: Path) -> None:
    plot = folder / "plots" / "of" / "m.svg"
    assert main(arguments(folder, "--plot", str(plot))) == 0
    assert ElementTree.parse(plot).getroot().tag == f"{SVG}svg"


@pytest.mark.parametrize("place", ["", "models.toml/plot.svg"], ids=["a folder", "below a file"])
def test_a_plot_that_cannot_be_written_ends_with_2_behind_the_plan(
    folder: Path, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(folder.rglob("*"))
    assert main(arguments(folder, "--plot", str(folder / place))) == 2
    printed = capsys.readouterr()
    assert "chosen" in printed.out
    assert f"error: {folder / place}: the plot cannot be written: " in printed.err
    assert printed.err.endswith(". Name a file in a folder, as in --plot plan.svg.\n")
    assert sorted(folder.rglob("*")) == before


def test_what_cannot_be_met_ends_with_1_and_shows_the_options(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "models.toml").write_text(CATALOGUE.format(p95_ms=1), encoding="utf-8")
    assert main(arguments(folder)) == 1
    printed = capsys.readouterr()
    assert "over 1 ms" in printed.out
    assert "error: m: nothing answers" in printed.err
    assert "Any of these would do: p95_ms = " in printed.err


def test_a_model_that_is_not_built_ends_with_1(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "m" / "manifest.json").unlink()
    assert main(arguments(folder)) == 1
    assert "Build the model first" in capsys.readouterr().err


def test_mistakes_end_with_2(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(folder, "n")) == 2
    assert "unknown model 'n'" in capsys.readouterr().err
    more = CATALOGUE.format(p95_ms=200) + "peak_requests_per_second = 4\n"
    (folder / "models.toml").write_text(more, encoding="utf-8")
    assert main(arguments(folder)) == 2
    assert "[m.traffic] peak_requests_per_second: got 4, expected at least" in capsys.readouterr().err


RESERVING = """
[{name}]
source = "m"
task = "text-classification"
[{name}.deploy]
concurrency = {concurrency}
triggers = ["https", "queue"]
"""


def test_models_that_reserve_too_much_together_end_with_1_behind_their_plans(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that states nothing reserves 10, as its stack does."""
    stated = [RESERVING.format(name=name, concurrency=concurrency) for name, concurrency in (("a", 250), ("b", 196))]
    (folder / "models.toml").write_text(CATALOGUE.format(p95_ms=200) + "".join(stated), encoding="utf-8")
    for name in "ab":
        (folder / name).mkdir()
        manifest_of().model_copy(update={"name": name}).write(folder / name)
    assert main(arguments(folder)) == 1
    printed = capsys.readouterr()
    assert printed.out.count("chosen") == 3
    assert "error: a 500, b 392, m 10: got 902 concurrent executions reserved by all functions" in printed.err
    assert "--account-concurrency" in printed.err
    assert main(arguments(folder, "a", "b")) == 0
    assert main(arguments(folder, "--account-concurrency", "1002")) == 0
    assert main(arguments(folder, "a", "--account-concurrency", "599")) == 1
    assert "an account can reserve 499" in capsys.readouterr().out


def test_a_group_reserves_once(folder: Path) -> None:
    """Its models share a function for each trigger."""
    grouped = [
        f'{RESERVING.format(name=name, concurrency=400)}group = "both"\n[{name}.traffic]\np95_ms = 200\n'
        for name in "ab"
    ]
    (folder / "models.toml").write_text("".join(grouped), encoding="utf-8")
    for name in "ab":
        (folder / name).mkdir()
        manifest_of().model_copy(update={"name": name}).write(folder / name)
    assert main(arguments(folder)) == 0


@pytest.mark.parametrize("quota", ["0", "many", "1.5"])
def test_a_quota_is_a_number_of_executions(folder: Path, quota: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments(folder, "--account-concurrency", quota))
    assert ended.value.code == 2
    assert f"--account-concurrency: got '{quota}', expected a whole number of at least 1" in capsys.readouterr().err


def test_one_model_a_plot(folder: Path) -> None:
    more = CATALOGUE.format(p95_ms=200)
    (folder / "models.toml").write_text(more + more.replace("[m", "[n"), encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        main(arguments(folder, "--plot", "plot.svg"))
    assert ended.value.code == 2


def test_names_are_escaped_and_points_stand_on_their_decades() -> None:
    drawing = cost_plot("a < b", {"x & y": [(1.0, 10.0), (10.0, 100.0)], "free": [(1.0, 0.0)]}, 3.0)
    root = ElementTree.fromstring(drawing)
    assert [text.text for text in root.iter(f"{SVG}title")] == ["a < b"]
    (line,) = root.iter(f"{SVG}polyline")
    texts = {text.text: text for text in root.iter(f"{SVG}text")}
    assert "x & y" in texts
    assert "free" not in texts
    start, end = (tuple(map(float, point.split(","))) for point in line.attrib["points"].split())
    assert (start[0], end[0]) == (float(texts["1"].attrib["x"]), float(texts["10"].attrib["x"]))
    assert start[1] - 4 < float(texts["$10"].attrib["y"]) < start[1] + 5
    assert "3/s" in texts


def test_the_worked_example_of_the_documentation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plot = tmp_path / "plot.svg"
    page = (ROOT / "docs" / "planner.md").read_text(encoding="utf-8")
    example = ROOT / "examples" / "planner"
    main(["minilm", "--catalog", str(example / "models.toml"), "--output", str(example), "--plot", str(plot)])
    assert f"```text\n{capsys.readouterr().out.rstrip()}\n```" in page, "run the command of the page and paste it again"
    drawn = (ROOT / "docs" / "planner.svg").read_text(encoding="utf-8")
    assert plot.read_text(encoding="utf-8") == drawn, "run the command of the page with --plot docs/planner.svg"
