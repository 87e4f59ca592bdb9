"""An encoder's runs in shapes that repeat: batches are padded up to a bucket, and each bucket is recorded once.

A text's answer is the same in any bucket: padding is masked, and rows that stand for nobody are dropped.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from layers.runtime.device import NOT_RECORDED, Device, Place, Recording

Array = npt.NDArray[Any]

ROWS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
# Steps of 16 where a step is a large share of the work, and wider ones where it is not.
WIDTHS = (*range(16, 129, 16), *range(160, 257, 32), *range(320, 513, 64))
# From so many tokens on, kernels run longer than it takes to launch them, and shapes seldom repeat.
RECORDED_TOKENS = 16_384
MOST_RECORDINGS = 128


def bucket(count: int, steps: Sequence[int]) -> int:
    """The smallest step that holds `count`; beyond the last one, the next multiple of it."""
    place = bisect_left(steps, count)
    return steps[place] if place < len(steps) else -(-count // steps[-1]) * steps[-1]


class BucketedRuns:
    """Runs of a session whose inputs are int64 [batch, sequence]. Safe to share between threads, which take turns."""

    def __init__(self, session: onnxruntime.InferenceSession, place: Place) -> None:
        self._device = Device(session, place)
        self._lock = Lock()
        self._recordings: OrderedDict[tuple[object, ...], Recording] = OrderedDict()
        batch, sequence = session.get_inputs()[0].shape
        self._axes = {node.name: tuple(node.shape) for node in session.get_outputs()}
        self._known = {batch: 0, sequence: 1}
        self._sizes: dict[str, tuple[int, ...]] = {}

    def run(self, names: Sequence[str], feed: Mapping[str, Array]) -> list[Array]:
        """The outputs named, each [rows, ...]; an axis of tokens is as long as the bucket, longer than the batch's."""
        rows, width = next(iter(feed.values())).shape
        shape = bucket(rows, ROWS), bucket(width, WIDTHS)
        with self._lock:
            recording = self._recording(tuple(names), shape, feed)
            for name, array in feed.items():
                staged = recording.feed[name]
                staged[...] = 0
                staged[:rows, :width] = array
            # A row of padding alone would have no key to attend to.
            recording.feed["attention_mask"][rows:, 0] = 1
            recording.run()
            return [recording.answer(name)[:rows] for name in names]

    def _recording(self, names: tuple[str, ...], shape: tuple[int, int], feed: Mapping[str, Array]) -> Recording:
        key = (names, shape)
        if key not in self._recordings:
            self._learn_sizes(names, feed)
            while len(self._recordings) >= MOST_RECORDINGS:
                self._recordings.popitem(last=False)[1].release()
            self._recordings[key] = self._device.record(
                dict.fromkeys(feed, shape),
                {name: self._shape_of(name, shape) for name in names},
                replayed=shape[0] * shape[1] <= RECORDED_TOKENS,
            )
        self._recordings.move_to_end(key)
        return self._recordings[key]

    def _learn_sizes(self, names: Sequence[str], feed: Mapping[str, Array]) -> None:
        """Sizes of axes that the graph calls by a name of its own (labels, hidden), seen in one run."""
        unknown = [name for name in names if name not in self._sizes]
        if not unknown:
            return
        options = onnxruntime.RunOptions()
        if self._device.place.kind == "cuda":
            options.add_run_config_entry("gpu_graph_id", str(NOT_RECORDED))
        with self._device.place.shared():
            answers: list[Any] = self._device.session.run(unknown, dict(feed), options)
        self._sizes |= {name: np.shape(answer) for name, answer in zip(unknown, answers, strict=True)}

    def _shape_of(self, name: str, shape: tuple[int, int]) -> tuple[int, ...]:
        return tuple(
            shape[self._known[axis]] if axis in self._known else size
            for axis, size in zip(self._axes[name], self._sizes[name], strict=True)
        )
