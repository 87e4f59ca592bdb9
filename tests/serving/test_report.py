"""The gate's report: what the manifest says of every variant, for programs and for people."""

from __future__ import annotations

import re

import pytest

from layers.runtime.engine import Engine
from layers.runtime.predictor import Predictor
from layers.serving.playground.report_page import report_page
from layers.serving.report import gate_report
from tests.runtime.toy_artifact import Toy
from tests.serving.conftest import Serve

HTML = {"accept": "text/html"}


@pytest.fixture(scope="module")
def judged(artifacts: dict[str, Toy]) -> Predictor:
    """A model with a variant that failed, one that is not row-independent, and one that was chosen."""
    engine = Engine.load(artifacts["toy"].directory, threads=1)
    chosen = engine.variant.model_copy(update={"latency_ms": {"2": {"128": 2.5, "8": 0.25}}, "kept_fp32": ("a<b>",)})
    verdict = chosen.verdict.model_copy(update={"passed": False, "drop": 0.0312, "interval": (0.01, 0.05)})
    failed = chosen.model_copy(
        update={"name": "int8", "file": None, "verdict": verdict, "row_independent": False, "latency_ms": {}}
    )
    engine.variant = chosen
    engine.manifest = engine.manifest.model_copy(update={"variants": (chosen, failed)})
    return Predictor(engine)


def test_a_program_gets_every_variant(judged: Predictor) -> None:
    report = gate_report(judged)
    assert (report["serving"], report["chosen"]["arm64"]) == ("fp32", "fp32")
    fp32, int8 = report["variants"]
    assert (fp32["shipped"], set(fp32["chosen_for"])) == (True, {"x86_64-vnni", "x86_64-avx2", "arm64"})
    assert (int8["shipped"], int8["chosen_for"]) == (False, [])
    assert int8["verdict"]["interval"] == [0.01, 0.05]
    assert int8["verdict"]["passed"] is False
    assert fp32["latency_ms"] == {"2": {"128": 2.5, "8": 0.25}}
    assert {"digest", "revision", "versions", "parity", "source", "architecture"} <= report.keys()


def test_people_get_a_table(judged: Predictor) -> None:
    page = bytes(report_page([gate_report(judged)]).body).decode()
    rows = [re.sub("<[^>]+>", "|", row) for row in re.findall("<tr[^>]*>(.*?)</tr>", page)]
    assert [heading for heading in ("8 tokens, ms", "128 tokens, ms") if heading in rows[0]] != []
    assert rows[0].index("8 tokens") < rows[0].index("128 tokens")
    assert "0.25||2.50" in rows[1]
    assert "+3.12%||+1.00% to +5.00%" in rows[2]
    assert "failed" in rows[2]
    assert "one text a call" in rows[2]
    assert 'title="a&lt;b&gt;"' in page
    assert page.count('<tr class="serving">') == 1


def test_who_accepts_html_gets_the_page(serve: Serve) -> None:
    client = serve("toy")
    page = client.get("/report", headers=HTML)
    assert page.headers["content-type"].startswith("text/html")
    assert "script-src" not in page.headers["content-security-policy"], "default-src 'none' forbids every script"
    assert "<script" not in page.text
    assert client.get("/report").json()["name"] == "toy"


def test_several_models_are_reported_by_name(serve: Serve) -> None:
    client = serve("toy", "encoder")
    assert set(client.get("/report").json()["models"]) == {"toy", "encoder"}
    assert client.get("/models/encoder/report").json()["name"] == "encoder"
    assert client.get("/models/nobody/report").status_code == 404
    page = client.get("/report", headers=HTML).text
    assert page.count("<table") == 2
