"""Everything at once: duplicates, refused records, reordering, and processes killed in the middle of batches.

Every record has exactly one result or is in the dead-letter queue. `make test` runs it small, `make chaos` large.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Queue as Pool
from typing import Any

import pytest

from layers.runtime.predictor import Predictor
from tests.functions.event_source_mapping import EventSourceMapping
from tests.functions.fifo_queue import FifoQueue, body_of
from tests.functions.function_worker import ROOT, Worker
from tests.functions.large_object import ROWS_AN_INVOCATION
from tests.functions.stand_in import Queue, StandIn

RECORDS = int(os.environ.get("CHAOS_RECORDS", "500"))
LINES = int(os.environ.get("CHAOS_LINES", "150000"))
SEED = int(os.environ.get("CHAOS_SEED", "7"))
WORKERS = 2
# Receives of a record before it is given up. So many processes may be killed that a record could not use them all up.
RECEIVES, KILLED = 6, 3
VISIBILITY_SECONDS, TIMEOUT_SECONDS = 3, 2.5
# Batches from one killed process to the next: spread, so that the same records are not in all of them.
KILLED_EVERY = max(3, RECORDS // 600)
# Messages in the queue at once, about.
WAITING = 400
# What no try can answer.
REFUSED = ["not json {}", '{{"id": "bad-{}"}}', '{{"id": "bad-{}", "inputs": 7}}', '{{"id": "bad-{}", "inputs": []}}']


def send(aws: StandIn, url: str, bodies: list[str]) -> None:
    for start in range(0, len(bodies), 10):
        entries = [{"Id": str(place), "MessageBody": body} for place, body in enumerate(bodies[start : start + 10])]
        aws.sqs.send_message_batch(QueueUrl=url, Entries=entries)


class Producer:
    """Sends while the queue is worked off: moto takes ever longer to accept a message the more are waiting."""

    def __init__(self, aws: StandIn, url: str, bodies: list[str]) -> None:
        self._aws, self._url, self._bodies = aws, url, bodies

    def is_done(self) -> bool:
        """True when everything was sent and nothing is left; sends more when little is."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        attributes = self._aws.sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=names)["Attributes"]
        left = sum(int(attributes[name]) for name in names)
        if left < WAITING // 2:
            send(self._aws, self._url, self._bodies[:WAITING])
            left, self._bodies = left + len(self._bodies[:WAITING]), self._bodies[WAITING:]
        return left == 0


class KilledWorkers:
    """Processes that take turns; some are killed a moment after they were handed a batch."""

    def __init__(self, environment: dict[str, str], kills: int) -> None:
        self.workers = [Worker("functions.queue.handler", environment, TIMEOUT_SECONDS) for _ in range(WORKERS)]
        self._free: Pool[Worker] = Pool()
        for worker in self.workers:
            self._free.put(worker)
        self._kills, self._batches = kills, 0
        self._chance = random.Random(SEED)
        self._lock = threading.Lock()

    def invoke(self, event: dict[str, Any]) -> Any:
        worker = self._free.get()
        timer = threading.Timer(self._chance.uniform(0.001, 0.05), worker.process.kill)
        with self._lock:
            self._batches += 1
            if self._kills and self._batches % KILLED_EVERY == 0:
                self._kills -= 1
                timer.start()
        try:
            return worker.invoke(event)
        finally:
            timer.cancel()
            self._free.put(worker)


@pytest.fixture
def places(aws: StandIn, output: Path) -> dict[str, str]:
    """A results bucket and a table of claims, as the function's environment names them."""
    return {
        **aws.environment,
        "ARTIFACT_DIR": str(output / "toy"),
        "HUNDREDFOLD_RESULTS_BUCKET": aws.bucket(),
        "HUNDREDFOLD_IDEMPOTENCY_TABLE": aws.table(),
        "HUNDREDFOLD_SPARE_SECONDS": "0.2",
        "HUNDREDFOLD_THREADS": "1",
    }


@pytest.fixture
def killed_workers(places: dict[str, str]) -> Iterator[KilledWorkers]:
    workers = KilledWorkers(places, KILLED * max(1, RECORDS // 2000))
    yield workers
    for worker in workers.workers:
        worker.close()


def test_no_record_is_lost_and_none_has_two_results(
    aws: StandIn, output: Path, places: dict[str, str], killed_workers: KilledWorkers
) -> None:
    chance = random.Random(SEED)
    texts = {f"r{n}": f"package {n} " + "for editing text " * chance.randint(0, 6) for n in range(RECORDS)}
    bodies = [json.dumps({"id": name, "inputs": text, "parameters": {"top_k": 1}}) for name, text in texts.items()]
    refused = [REFUSED[n % len(REFUSED)].format(n) for n in range(RECORDS // 50)]
    sent = [*bodies, *refused, *chance.sample(bodies, RECORDS // 20)]
    chance.shuffle(sent)
    queue = aws.queue(visibility_seconds=VISIBILITY_SECONDS, receives=RECEIVES)
    mapping = EventSourceMapping(
        aws.sqs, queue.url, queue.arn, killed_workers.invoke, batch_size=20, window_seconds=0.1,
        concurrency=WORKERS, duplicated=0.05, shuffled=True, seed=SEED,
    )  # fmt: skip
    mapping.run(Producer(aws, queue.url, sent).is_done, timeout_seconds=120 + RECORDS / 10)

    bucket = places["HUNDREDFOLD_RESULTS_BUCKET"]
    answered = {Path(key).stem for key in aws.keys(bucket, "results/toy/r")}
    dead = aws.messages(queue.dead_url)
    given_up = {json.loads(body)["id"] for body in dead if body not in refused}
    print({"answered": len(answered), "refused": len(refused), "given up": len(given_up), "crashes": mapping.crashes})
    assert answered | given_up == texts.keys()
    assert sorted(body for body in dead if body in refused) == sorted(refused)
    # Records that were with killed processes again and again; they are not lost, and must be few.
    assert len(given_up) <= RECORDS // 200
    assert mapping.crashes > 0
    predictor = Predictor.load(output / "toy", threads=1)
    for name in chance.sample(list(texts), 20):
        result = json.loads(aws.read(bucket, f"results/toy/{name}.json"))
        assert result["outputs"][0][0]["label"] == predictor.predict(texts[name]).value[0][0]["label"]
    errors = [json.loads(aws.read(bucket, key)) for key in aws.keys(bucket, "results/") if "/toy/r" not in key]
    assert len(errors) == len(refused)
    assert all(error["status"] in (400, 422) for error in errors)


def test_groups_of_a_fifo_queue_keep_their_order_around_what_is_refused(aws: StandIn, places: dict[str, str]) -> None:
    queue, results = FifoQueue(visibility_seconds=30, receives=3), aws.queue(fifo=True)
    groups = {f"g{g}": [f"g{g}-{n}" for n in range(40)] for g in range(4)}
    refused = {"g1-3", "g2-0", "g2-17"}
    for names in zip(*groups.values(), strict=True):
        for name in names:
            queue.send(body_of(name, 7 if name in refused else f"package {name}"), name.partition("-")[0])
    del places["HUNDREDFOLD_RESULTS_BUCKET"]
    worker = Worker(
        "functions.queue.handler", {**places, "HUNDREDFOLD_RESULTS_QUEUE_URL": results.url}, TIMEOUT_SECONDS
    )
    arn = "arn:aws:sqs:eu-west-1:123456789012:toy.fifo"
    mapping = EventSourceMapping(queue, "", arn, worker.invoke)
    try:
        while queue.messages:
            if mapping.batches == 2:
                worker.process.kill()
            if not mapping.poll_once():
                queue.now += queue.visibility_seconds
    finally:
        worker.close()
    written = [json.loads(body)["id"] for body in aws.messages(results.url)]
    dead = [json.loads(body)["id"] for body in queue.dead]
    assert sorted(written + dead) == sorted(name for names in groups.values() for name in names)
    # What was handed back behind a refused record had as many receives, so it may share its way.
    assert refused <= set(dead)
    assert {name.partition("-")[0] for name in dead} == {"g1", "g2"}
    assert mapping.crashes == 1
    for group, names in groups.items():
        assert [name for name in written if name.startswith(f"{group}-")] == [n for n in names if n not in dead]


def test_an_object_of_many_lines_takes_no_more_memory_than_a_part(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.functions.large_object", str(tmp_path), str(LINES)]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found = json.loads(process.stdout.splitlines()[-1])
    print(found)
    assert found["counts"] == {"records": LINES, "succeeded": LINES, "failed": 0, "truncated": 0}
    assert found["in order"] == LINES
    assert "out of order" not in found
    # A part of 8 MiB with its lines as objects, and what Python keeps of them.
    assert found["grown_mib"] < 64
    assert found["invocations"] >= LINES // ROWS_AN_INVOCATION


def test_the_chaos_has_a_dead_letter_queue(aws: StandIn) -> None:
    """The stand-in moves a message that is never deleted, without which the tests above would prove nothing."""
    queue: Queue = aws.queue(visibility_seconds=0, receives=2)
    send(aws, queue.url, ["a"])
    for _ in range(3):
        aws.sqs.receive_message(QueueUrl=queue.url)
    assert aws.messages(queue.dead_url) == ["a"]
