"""The model behind an endpoint, as the queue and bucket functions ask it: one request a record, some at a time."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from functions.asking import Answered, Asked, Outcome
from functions.forward.endpoint import Answer, Endpoint, Question
from layers.errors import HundredfoldError, InputError
from layers.serving.json_body import json_bytes
from layers.wording import shown

logger = logging.getLogger("hundredfold.forward")

# Requests of one environment that the endpoint has at once: enough for it to compute some together, and with ten
# environments of either trigger still fewer than it takes (HUNDREDFOLD_MAX_CONCURRENT_REQUESTS, 512).
AT_ONCE = 16
# Who throttles or starts is asked again after so long each time; who took too long is not. What is not answered then
# is left to the queue (functions/redelivery.py).
SOON = (429, 503)
WAITS_SECONDS = (0.25, 1.0, 4.0)
# Part of a route, and of the attributes that name it.
TASK = re.compile(r"[a-z0-9_-]{1,64}")


class EndpointError(HundredfoldError):
    """The model failed on a request, which says nothing of the requests beside it."""


@dataclass(frozen=True)
class EndpointModels:
    """Implements `Answering` for the one model of an endpoint; `task` is what it answers where none is named."""

    endpoint: Endpoint
    model: str
    task: str
    sleep: Callable[[float], None] = time.sleep
    askers: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(AT_ONCE, "ask"))

    def name_of(self, model: str | None) -> str:
        """As `Answering`."""
        if model not in (None, self.model):
            served = f"Served here: {self.model}."
            raise InputError(f"unknown model {model!r}: {served}", status=404, error_type="unknown_model")
        return self.model

    def answer(self, asked: Sequence[Asked]) -> list[Outcome]:
        """As `Answering`. An endpoint that is busy, starting or gone is an InputError (429): a later try may succeed.

        An asynchronous endpoint's outcome is where the answer will be.
        """
        return list(self.askers.map(self._outcome, asked))

    def _outcome(self, asked: Asked) -> Outcome:
        try:
            return outcome_of(self._ask(self._question(asked)))
        except InputError as refusal:
            return refusal
        except Exception as error:
            # Nothing that the model said: whatever it was, it was not this request's fault.
            logger.exception("the endpoint could not be asked")
            return _busy(f"the endpoint could not be asked: {type(error).__name__}.")

    def _ask(self, question: Question) -> Answer:
        answer = self.endpoint.ask(question)
        for seconds in WAITS_SECONDS:
            if answer.status not in SOON:
                break
            self.sleep(seconds)
            answer = self.endpoint.ask(question)
        return answer

    def _question(self, asked: Asked) -> Question:
        """What the predictor would be asked, by the route that names its task. Raises InputError."""
        request = asked.request
        task = request.task or self.task
        if not TASK.fullmatch(task):
            raise InputError(
                f"{self.model} answers {self.task}: got task {shown(task)}.", status=404, error_type="unknown_task"
            )
        if "stream" in request.parameters:
            raise InputError("unknown parameter 'stream': results hold whole answers.", parameter="stream")
        body = {"inputs": request.inputs}
        if request.parameters:
            body["parameters"] = dict(request.parameters)
        return Question(json_bytes(body), f"/models/{asked.model}/pipeline/{task}", id=asked.id or None)


def outcome_of(answer: Answer) -> Outcome:
    """What the answer to one record's question makes of the record. Raises ValueError for what is no answer of ours."""
    content = json.loads(answer.body)
    if answer.status == 200:
        return _answered(content, answer)
    if answer.status == 202:
        return Answered({name: content[name] for name in ("output_location", "failure_location")})
    error = str(content.get("error"))
    if answer.status == 500 and answer.is_models:
        return EndpointError(error)
    if answer.status == 429 or answer.status >= 500 or not answer.is_models:
        return _busy(error)
    return InputError(error, status=answer.status, error_type=str(content.get("error_type")))


def _answered(outputs: object, answer: Answer) -> Answered:
    """With what the headers say it took; where none came, the tokens are not known."""
    took = answer.headers
    tokenization, inference = (float(took.get(f"x-{stage}-time", 0)) for stage in ("tokenization", "inference"))
    return Answered(
        {"outputs": outputs},
        int(took["x-compute-tokens"]) if "x-compute-tokens" in took else None,
        int(took.get("x-truncated-tokens", 0)),
        int(took.get("x-generated-tokens", 0)),
        tokenization,
        inference,
        max(0.0, float(took.get("x-compute-time", 0)) - tokenization - inference),
    )


def _busy(error: str) -> InputError:
    return InputError(error, status=429, error_type="overloaded")
