"""A function's process: events in on standard input, one a line, and what the handler returns out again."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.functions.event_source_mapping import InvocationError

ROOT = Path(__file__).parents[2]


class Worker:
    """Starts the process, and a new one after it has died."""

    def __init__(self, handler: str, environment: dict[str, str], timeout_seconds: float) -> None:
        self._arguments = [handler, str(timeout_seconds)]
        self._environment = {**os.environ, **environment, "PYTHONPATH": str(ROOT)}
        self.process = self._start()

    def invoke(self, event: dict[str, Any]) -> Any:
        """What the handler returns. Raises InvocationError when it raised, or when its process died."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(event) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except OSError:
            line = ""
        if not line.endswith("\n"):
            self.process.wait()
            self.process = self._start()
            raise InvocationError("the process died")
        answer = json.loads(line)
        if "raised" in answer:
            raise InvocationError(answer["raised"])
        return answer["returned"]

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()

    def _start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", __name__, *self._arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
            env=self._environment,
        )


class Context:
    """Lambda's context for an invocation that begins now."""

    def __init__(self, timeout_seconds: float) -> None:
        self._end = time.monotonic() + timeout_seconds

    def get_remaining_time_in_millis(self) -> int:
        return int(1000 * (self._end - time.monotonic()))


def main(name: str, timeout_seconds: float) -> None:
    """The process's side."""
    module = importlib.import_module(name)
    for line in sys.stdin:
        try:
            answer = {"returned": module.handler(json.loads(line), Context(timeout_seconds))}
        except Exception as error:
            answer = {"raised": repr(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
