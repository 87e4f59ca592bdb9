"""HTTPS trigger before an endpoint: a Function URL's request goes there as it came, and the answer back as it is.

Clients are made at import, in the init phase, from the environment (`settings.py`).
"""

from __future__ import annotations

from time import perf_counter
from typing import Any

from functions.forward.environment import open_environment
from functions.forward.url_events import UrlFunction
from functions.https.measured import measure

# The function has 60 s, and some of it is for saying that the endpoint took longer.
environment = open_environment("https", wait_seconds=57.0)
_settings = environment.settings
function = UrlFunction(environment.endpoint, _settings)
# Told to the first caller, as the HTTPS function does (layers/serving/cold_start.py).
cold_headers = {"x-cold-start": "1", "x-init-time": f"{environment.invocations.init_ms:.1f}"}


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer one event of payload version 2.0. `context` may be None."""
    began = perf_counter()
    request_id = getattr(context, "aws_request_id", None)
    environment.invocations.formatter.request_id = request_id
    answer = function.answer(event)
    answer["headers"].update(cold_headers)
    cold_headers.clear()
    measure(environment.metrics, answer, 1000 * (perf_counter() - began))
    environment.metrics.flush({"function_request_id": request_id} if request_id else {})
    return answer
