"""What zips hold: everything that their handlers import, for an interpreter with nothing installed."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any, cast

import pytest

from infra.backend import EndpointBackend
from infra.code import zip_of


@pytest.mark.parametrize("trigger", ["https", "queue", "bucket"])
def test_a_forwarding_handler_needs_its_zip_alone(trigger: Any) -> None:
    with zip_of("forward", beside=["aws"]) as code:
        handler = EndpointBackend(cast(Any, SimpleNamespace()), code).code(trigger).handler
        program = f"import sys; sys.path.insert(0, {str(code.folder)!r}); import {handler.rpartition('.')[0]}"
        subprocess.run([sys.executable, "-I", "-S", "-c", program], check=True)
