"""Log lines: one JSON object each, with the request's id and the exception."""

from __future__ import annotations

import json
import logging

from functions.logs import JsonFormatter


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
