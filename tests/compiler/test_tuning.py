"""Tuning through the build: what stays, what wins, what the gate refuses, and what is known without a measurement."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from layers.artifact import Manifest, Variant
from layers.catalogue import ModelSpec
from layers.compiler.build import Built, build
from layers.compiler.decisions import SHIPPED, SHIPPED_PATTERN, Decisions, machine_kind
from layers.compiler.duel import Contender, Gain, duel
from layers.compiler.operator_choice import Tuning
from layers.compiler.report import trials_of
from layers.errors import CatalogueError
from layers.runtime.cpu import instruction_set, thread_count
from layers.runtime.predictor import Predictor

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples/models"
NOISE = Gain(1.01, (0.97, 1.05))
SHAPE = "distilbert, 192 wide"
CPUINFO = "vendor_id\t: Example\ncpu family\t: 7\nmodel\t\t: 9\nmodel name\t: Example 9000\n"

TuneSections = Callable[..., Built]


@dataclass
class Scripted:
    """A duel without a fight: gains by the end of the challenger's name (after the first, `later`), and who fought."""

    gains: dict[str, Gain] = field(default_factory=dict)
    later: dict[str, Gain] = field(default_factory=dict)
    challengers: list[str] = field(default_factory=list)

    def __call__(self, first: Contender, second: Contender, seconds_per_case: float) -> Gain:
        assert seconds_per_case > 0
        assert list(first.calls) == list(second.calls) == ["8", "32", "128"]
        [call, *_] = second.calls.values()
        call()
        name = second.name.partition("~")[2]
        again = name in self.challengers
        self.challengers.append(name)
        return self.later.get(name, self.gains.get(name, NOISE)) if again else self.gains.get(name, NOISE)


def gain(ratio: float) -> Gain:
    return Gain(ratio, (ratio - 0.02, ratio + 0.02))


@pytest.fixture(scope="module")
def nothing_known(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shipped")


@pytest.fixture(scope="module")
def tune_sections(tmp_path_factory: pytest.TempPathFactory, nothing_known: Path) -> TuneSections:
    """Builds the example classifier in fp32: one variant, so that operators are all there is to choose."""
    directory = tmp_path_factory.mktemp("machine")
    data, cpuinfo = directory / "heldout.jsonl", directory / "cpuinfo"
    lines = (EXAMPLES / "debian-sections/heldout.jsonl").read_text(encoding="utf-8").splitlines()[:48]
    data.write_text("\n".join(lines), encoding="utf-8")
    cpuinfo.write_text(CPUINFO, encoding="utf-8")

    def run(output: Path, *, target: str = "x86_64", lines: list[str] | None = None, **tuning: Any) -> Built:
        gate = {"metric": "logit_error", "max_drop": 1e-4, "data": str(data)}
        table = {"name": "sections", "source": str(EXAMPLES / "debian-sections"), "task": "text-classification"}
        spec = ModelSpec.model_validate({**table, "precision": "fp32", "gate": gate})
        chosen = Tuning(**{"shipped": nothing_known, "cpuinfo": cpuinfo, **tuning})
        return build(spec, ROOT, output, target, [].append if lines is None else lines.append, chosen)

    return run


@pytest.fixture(scope="module")
def plain(tune_sections: TuneSections, tmp_path_factory: pytest.TempPathFactory) -> Built:
    return tune_sections(tmp_path_factory.mktemp("plain"))


def served(built: Built) -> Variant:
    return Manifest.read(built.directory).variant("fp32")


def machine(directory: Path) -> str:
    path = directory / "cpuinfo"
    path.write_text(CPUINFO, encoding="utf-8")
    return machine_kind(instruction_set(), thread_count(), path)


def decided(operators: str, machine_name: str, **changed: str) -> str:
    """A table of one decision."""
    keys = {
        "operators": operators,
        "gain": "1.25",
        "interval": "[1.2, 1.3]",
        "depth": '"full"',
        "measured": '"2026-01-02"',
        "onnxruntime": '"1.0"',
        "model": '"another"',
        **changed,
    }
    lines = "\n".join(f"{key} = {value}" for key, value in keys.items() if value)
    return f'["{machine_name}"."{SHAPE}".fp32]\n{lines}\n'


def test_the_default_stays_where_nothing_that_passes_is_faster_beyond_noise(
    plain: Built, tune_sections: TuneSections, tmp_path: Path
) -> None:
    duels, said = Scripted({"gelu-sigmoid": gain(2.0)}), list[str]()
    built = tune_sections(tmp_path, depth="full", dueling=duels, lines=said)
    variant = served(built)
    assert variant.tuned is not None
    assert variant.operators == {}
    assert variant.tuned.gain == 1.0
    tried = set(duels.challengers)
    assert {"attention-products", "normalization-skip", "gelu-tanh", "threads-one", "spinning-off"} <= tried
    assert "embeddings-fp32" not in tried, "the graph would be the same"
    [refused] = [trial for trial in variant.tuned.trials if trial.why != "not faster beyond noise"]
    assert (refused.axis, refused.value, refused.kept, refused.gain) == ("gelu", "sigmoid", False, 2.0)
    assert refused.why.startswith("failed the gate: logit_error dropped")
    assert len(variant.tuned.trials) == len(tried), "nothing was left to confirm"
    assert any("the default operators stay" in line for line in said)
    assert built.manifest.files == plain.manifest.files, "graph and weights are those of a build that tunes nothing"
    assert {path.name for path in tmp_path.iterdir()} == {"sections", "tuning.toml"}
    assert {path.name for path in built.directory.iterdir()} == {"manifest.json", *built.manifest.files}


def test_what_is_faster_and_passes_is_served(plain: Built, tune_sections: TuneSections, tmp_path: Path) -> None:
    duels = Scripted({"attention-products": gain(1.3), "spinning-off": gain(1.1), "after": gain(1.4)})
    built = tune_sections(tmp_path, depth="full", dueling=duels)
    variant = served(built)
    assert variant.operators == {"attention": "products", "spinning": "off"}
    assert variant.session.spinning is False
    assert "MultiHeadAttention" not in variant.fused_nodes
    assert variant.verdict.passed
    assert variant.latency_ms
    assert variant.tuned is not None
    assert (variant.tuned.gain, variant.tuned.interval) == (1.4, (1.38, 1.42))
    assert [trial.axis for trial in variant.tuned.trials if trial.kept] == ["attention", "spinning"]
    predictor = Predictor.load(built.directory)
    assert predictor.engine.spinning is False
    for golden in plain.manifest.goldens:
        [answers], [expected] = predictor.predict(golden.inputs).value, golden.outputs
        assert {a["label"]: a["score"] for a in answers} == pytest.approx(
            {e["label"]: e["score"] for e in expected}, abs=1e-3
        )
    [table] = trials_of(built.manifest)
    assert not isinstance(table, str)
    assert "attention = products, spinning = off: 1.40 times as fast [1.38 to 1.42]" in str(table.title)
    assert table.row_count == len(variant.tuned.trials)
    known = Decisions.open(tmp_path / "tuning.toml", machine(tmp_path), SHAPE).of("fp32")
    assert known is not None
    assert dict(known[0].chosen.named) == known[0].operators == variant.operators
    assert (known[0].gain, known[0].depth, known[0].model) == (1.4, "full", "sections")
    assert known[0].tried == variant.tuned.trials


def test_gains_that_other_sessions_do_not_show_are_none(
    plain: Built, tune_sections: TuneSections, tmp_path: Path
) -> None:
    """One is gone in the second pair of sessions; the other, measured as all that is left, in the last."""
    lucky = "attention-fused-with-biases"
    duels = Scripted({lucky: gain(1.4), "threads-one": gain(1.3)}, later={lucky: NOISE})
    built = tune_sections(tmp_path, depth="quick", dueling=duels)
    variant = served(built)
    assert variant.operators == {}
    assert variant.tuned is not None
    trials = {f"{trial.axis}-{trial.value}": trial for trial in variant.tuned.trials}
    assert not any(trial.kept for trial in trials.values())
    assert (trials[lucky].gain, trials[lucky].why) == (NOISE.ratio, "not faster beyond noise")
    assert trials["threads-one"].why.startswith("not confirmed in fresh sessions: 1.01 times as fast")
    assert built.manifest.files == plain.manifest.files


def test_what_was_measured_is_not_measured_again(tune_sections: TuneSections, tmp_path: Path) -> None:
    fast = Scripted({"threads-one": gain(1.3), "after": gain(1.3)})
    built = tune_sections(tmp_path, depth="quick", dueling=fast)
    assert served(built).session.threads == 1
    assert fast.challengers[-1] == "after"
    again = Scripted()
    for depth in ("off", "quick"):
        reused = tune_sections(tmp_path, depth=depth, dueling=again)
        assert reused.reused, depth
        assert reused.manifest == built.manifest
    assert again.challengers == []
    deeper = tune_sections(tmp_path, depth="full", dueling=again)
    assert not deeper.reused
    assert len(again.challengers) > len(fast.challengers)
    assert served(deeper).session.threads is None


def test_a_known_decision_is_used_on_its_machine_alone(
    plain: Built, tune_sections: TuneSections, tmp_path: Path
) -> None:
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    table = decided('{ attention = "products", normalization = "gone" }', machine(tmp_path))
    (shipped / "processors-example.toml").write_text(table, encoding="utf-8")
    known = tune_sections(tmp_path / "known", shipped=shipped)
    variant = served(known)
    assert variant.operators == {"attention": "products"}, "what an axis has no longer is left out"
    assert variant.tuned is not None
    assert variant.tuned.origin == "shipped with this release, measured 2026-01-02 with onnxruntime 1.0"
    assert known.manifest.digest != plain.manifest.digest
    [line] = trials_of(known.manifest)
    assert str(line).endswith("1.25 times as fast [1.20 to 1.30] (" + variant.tuned.origin + ")")

    other = tmp_path / "other-cpuinfo"
    other.write_text(CPUINFO.replace("model\t\t: 9", "model\t\t: 10"), encoding="utf-8")
    unknown = tune_sections(tmp_path / "unknown", shipped=shipped, cpuinfo=other)
    assert (served(unknown).operators, served(unknown).tuned) == ({}, None)
    assert unknown.manifest.digest == plain.manifest.digest
    assert unknown.manifest.files == plain.manifest.files


def test_the_users_own_table_comes_before_the_shipped_one(
    plain: Built, tune_sections: TuneSections, tmp_path: Path
) -> None:
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    here = machine(tmp_path)
    (shipped / "processors.toml").write_text(decided('{ attention = "products" }', here), encoding="utf-8")
    output = tmp_path / "build"
    output.mkdir()
    (output / "tuning.toml").write_text(decided("{}", here), encoding="utf-8")
    built = tune_sections(output, shipped=shipped)
    assert served(built).operators == {}
    assert built.manifest.digest == plain.manifest.digest

    (output / "tuning.toml").write_text(decided('{ normalization = "skip" }', here), encoding="utf-8")
    mended = tune_sections(output, shipped=shipped)
    assert not mended.reused
    assert served(mended).operators == {"normalization": "skip"}


def test_a_known_decision_that_the_gate_fails_is_not_used(
    plain: Built, tune_sections: TuneSections, tmp_path: Path
) -> None:
    (tmp_path / "tuning.toml").write_text(decided('{ gelu = "sigmoid" }', machine(tmp_path)), encoding="utf-8")
    said: list[str] = []
    built = tune_sections(tmp_path, lines=said)
    assert (served(built).operators, served(built).verdict.passed) == ({}, True)
    assert served(built).latency_ms
    assert built.manifest.files == plain.manifest.files
    assert any("failed, with gelu = sigmoid (tuning.toml, measured 2026-01-02" in line for line in said)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("[", "tuning.toml: not TOML"),
        (decided("{}", "MACHINE", interval=""), r"the decision on fp32 is not complete \(KeyError\('interval'\)\)"),
        (decided("{}", "MACHINE", depth='"deep"'), "not complete .*'deep'"),
    ],
)
def test_a_broken_table_is_named(table: str, said: str, tune_sections: TuneSections, tmp_path: Path) -> None:
    written = table.replace("MACHINE", machine(tmp_path))
    (tmp_path / "tuning.toml").write_text(written, encoding="utf-8")
    with pytest.raises(CatalogueError, match=said):
        tune_sections(tmp_path)


def test_another_machines_target_is_not_measured(tune_sections: TuneSections, tmp_path: Path) -> None:
    duels, said = Scripted(), list[str]()
    (tmp_path / "tuning.toml").write_text(decided('{ attention = "products" }', machine(tmp_path)), encoding="utf-8")
    built = tune_sections(tmp_path, target="arm64", depth="full", dueling=duels, lines=said)
    assert duels.challengers == []
    assert served(built).operators == {}, "what is known of this machine says nothing of another"
    assert any("tuning: nothing to measure, this machine is x86_64" in line for line in said)


def test_the_tables_that_ship_are_whole() -> None:
    """Every decision can be read, and names axes and values that there are."""
    paths = sorted(SHIPPED.glob(SHIPPED_PATTERN))
    assert paths
    for path in paths:
        for machine_name, shapes in tomllib.loads(path.read_text(encoding="utf-8")).items():
            for shape, forms in shapes.items():
                decisions = Decisions.open(Path("absent.toml"), machine_name, shape)
                for form in forms:
                    known = decisions.of(form)
                    assert known is not None
                    assert dict(known[0].chosen.named) == known[0].operators
                    assert known[0].tried


def test_models_that_write_are_tuned_too(nothing_known: Path, tmp_path: Path) -> None:
    """One with an encoder: its threads are the decoder's."""
    challengers: list[str] = []

    def dueling(first: Contender, second: Contender, _seconds: float) -> Gain:
        assert list(first.calls) == list(second.calls) == ["prefill 128", "decode"]
        for call in second.calls.values():
            call()
        challengers.append(second.name)
        return gain(1.5) if second.name.endswith(("threads-one", "after")) else NOISE

    source = str(EXAMPLES / "debian-summarizer")
    spec = ModelSpec(name="summarizer", source=source, task="summarization", precision="fp32")
    tuning = Tuning("quick", dueling, nothing_known)
    manifest = build(spec, ROOT, tmp_path, "x86_64", lambda _line: None, tuning).manifest
    variant = manifest.variant("fp32")
    assert variant.operators == {"threads": "one"}
    assert "fp32~spinning-off" not in challengers, "a quick tuning tries few"
    assert Predictor.load(tmp_path / "summarizer").threads == 1


class Clock:
    """Time that passes only when somebody works."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def work(self, milliseconds: itertools.cycle[float]) -> Callable[[], None]:
        def call() -> None:
            self.now += next(milliseconds) / 1000

        return call

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_a_duel_compares_medians_of_rounds() -> None:
    clock = Clock()
    slow, fast = (
        Contender(name, {case: clock.work(itertools.cycle([ms * scale])) for case, scale in (("8", 1), ("128", 5))})
        for name, ms in (("slow", 3.0), ("fast", 2.0))
    )
    assert duel(slow, fast, 0.5, clock, clock.sleep) == Gain(1.5, (1.5, 1.5))
    assert duel(fast, slow, 0.5, clock, clock.sleep) == Gain(0.667, (0.667, 0.667))


def test_a_duel_of_equals_says_that_it_cannot_tell() -> None:
    clock = Clock()
    wavering = itertools.cycle([2.0, 2.2, 1.9, 2.6, 2.1, 1.8, 2.4])
    first, second = (Contender(name, {"8": clock.work(wavering)}) for name in ("first", "second"))
    low, high = duel(first, second, 0.5, clock, clock.sleep).interval
    assert low < 1 < high
