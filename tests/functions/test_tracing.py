"""Traces: a subsegment of Lambda's segment, sent to where X-Ray's daemon listens; nothing unless it is asked for."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

from functions.tracing import NoTracing, open_tracing
from tests.functions.function_worker import ROOT

TRACED = """
from functions.tracing import open_tracing
try:
    with open_tracing(True).segment("queue"):
        raise ZeroDivisionError("no answer")
except ZeroDivisionError:
    pass
"""


def test_an_invocation_is_a_subsegment_with_its_exception() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
        daemon.bind(("127.0.0.1", 0))
        daemon.settimeout(20)
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "LAMBDA_TASK_ROOT": "/var/task",
            "AWS_LAMBDA_FUNCTION_NAME": "toy-queue",
            "AWS_XRAY_DAEMON_ADDRESS": f"127.0.0.1:{daemon.getsockname()[1]}",
            "_X_AMZN_TRACE_ID": "Root=1-5e272390-8c398be037738dc042009320;Parent=94ae789b969f1cc5;Sampled=1",
            "POWERTOOLS_SERVICE_NAME": "toy",
        }
        process = subprocess.run([sys.executable, "-c", TRACED], env=environment, capture_output=True, check=False)
        assert process.returncode == 0, process.stderr
        sent = json.loads(daemon.recv(2**16).decode("utf-8").splitlines()[-1])
    assert sent["name"] == "## queue"
    assert sent["trace_id"] == "1-5e272390-8c398be037738dc042009320"
    assert sent["cause"]["exceptions"][0]["type"] == "ZeroDivisionError"


def test_tracing_is_off_unless_it_is_asked_for() -> None:
    tracing = open_tracing(False)
    assert isinstance(tracing, NoTracing)
    with tracing.segment("queue"):
        pass
