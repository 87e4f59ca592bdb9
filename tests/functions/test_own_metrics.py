"""What the dashboard shows is what the functions write: every handler answers one event, and its line is read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infra.own_metrics import COLD_START, NAMESPACE, STAGES
from layers.catalogue import Trigger
from tests.functions.conftest import imported, read_event
from tests.runtime.toy_artifact import write_toy


@pytest.mark.parametrize(("trigger", "event_name"), [("https", "function_url"), ("queue", "sqs"), ("bucket", "s3")])
def test_functions_write_what_the_dashboard_shows(
    trigger: Trigger, event_name: str, output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    event = read_event(event_name)
    if trigger == "bucket":
        place = event["Records"][0]["s3"]
        place["object"]["key"] = "texts.txt"
        (tmp_path / place["bucket"]["name"]).mkdir()
        (tmp_path / place["bucket"]["name"] / "texts.txt").write_text("an editor\n", encoding="utf-8")
    folders = {"HUNDREDFOLD_RESULTS_DIR": str(tmp_path / "results"), "HUNDREDFOLD_OBJECTS_DIR": str(tmp_path)}
    with imported(f"functions.{trigger}.handler", ARTIFACT_DIR=str(output / "toy"), **folders) as module:
        module.handler(event, None)
    [line] = [json.loads(line) for line in capsys.readouterr().err.splitlines() if '"_aws"' in line]
    [directive] = line["_aws"]["CloudWatchMetrics"]
    assert (directive["Namespace"], directive["Dimensions"]) == (NAMESPACE, [["service", "trigger"]])
    units = {metric["Name"]: metric["Unit"] for metric in directive["Metrics"]}
    assert {name: units.get(name) for name in (COLD_START, *STAGES[trigger])} == {
        COLD_START: "Count",
        **dict.fromkeys(STAGES[trigger], "Milliseconds"),
    }
    assert min(line[name] for name in STAGES[trigger]) > 0


def test_the_invocation_that_loads_a_model_of_several_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "two"):
        write_toy(tmp_path / name, name=name)
    event = read_event("api_gateway_v1") | {"path": "/models/two", "body": json.dumps({"inputs": "an editor"})}
    event |= {"isBase64Encoded": False}
    with imported("functions.https.handler", ARTIFACT_DIR=str(tmp_path)) as module:
        assert [module.handler(event, None)["statusCode"] for _ in range(2)] == [200, 200]
    first, second = [json.loads(line) for line in capsys.readouterr().err.splitlines() if '"_aws"' in line]
    assert first["ModelLoads"] == 1
    assert first["ModelLoadLatency"] > 0
    assert "ModelLoads" not in second
