"""Log lines: one JSON object each, with the request's id and the exception."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from functions.emf import Metrics
from functions.logs import JsonFormatter, log_to_stderr
from layers.errors import ArtifactError


@pytest.fixture
def own_logger() -> Iterator[logging.Logger]:
    """The project's logger, which is afterwards what it was."""
    logger = logging.getLogger("hundredfold")
    before = (logger.handlers, logger.level, logger.propagate)
    yield logger
    logger.handlers, logger.level, logger.propagate = before


def record(**fields: object) -> logging.LogRecord:
    made = logging.LogRecord("hundredfold", logging.INFO, __file__, 7, "loaded %s", ("toy",), None, "load")
    made.__dict__.update(fields)
    return made


def test_a_record_is_one_json_object() -> None:
    line = json.loads(JsonFormatter().format(record(fields={"init_ms": 3.5})))
    assert {key: line[key] for key in ("level", "location", "message", "init_ms")} == {
        "level": "INFO",
        "location": "load:7",
        "message": "loaded toy",
        "init_ms": 3.5,
    }


def test_the_request_is_named_when_there_is_one() -> None:
    formatter = JsonFormatter()
    assert "function_request_id" not in json.loads(formatter.format(record()))
    formatter.request_id = "0b5f2f6e"
    assert json.loads(formatter.format(record()))["function_request_id"] == "0b5f2f6e"


def test_an_exception_stays_on_its_line() -> None:
    try:
        raise ZeroDivisionError("no\nway")
    except ZeroDivisionError as error:
        line = JsonFormatter().format(record(exc_info=(type(error), error, error.__traceback__)))
    assert "\n" not in line
    assert "ZeroDivisionError: no" in json.loads(line)["exception"]


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch, own_logger: logging.Logger) -> None:
    for name in ("SERVICE_NAME", "LOG_LEVEL", "METRICS_NAMESPACE", "METRICS_DISABLED"):
        monkeypatch.setenv(f"POWERTOOLS_{name}", "")
    assert json.loads(log_to_stderr().format(record()))["service"] == "hundredfold"
    assert own_logger.level == logging.INFO
    log = io.StringIO()
    metrics = Metrics("queue", log)
    metrics.add("BatchSize", 1)
    metrics.flush({})
    line = json.loads(log.getvalue())
    [directive] = line["_aws"]["CloudWatchMetrics"]
    assert (line["service"], directive["Namespace"]) == ("hundredfold", "Hundredfold")


@pytest.mark.usefixtures("own_logger")
def test_a_level_that_is_none_is_refused_by_the_variables_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POWERTOOLS_LOG_LEVEL", "loud")
    with pytest.raises(ArtifactError, match="POWERTOOLS_LOG_LEVEL: got 'loud', expected one of CRITICAL, FATAL, ERROR"):
        log_to_stderr()


def test_every_level_that_the_standard_library_names_is_one(
    monkeypatch: pytest.MonkeyPatch, own_logger: logging.Logger
) -> None:
    for name, level in logging.getLevelNamesMapping().items():
        monkeypatch.setenv("POWERTOOLS_LOG_LEVEL", name.lower())
        log_to_stderr()
        assert own_logger.level == level, name
