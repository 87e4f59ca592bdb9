"""Memory and runs on a device: everything that knows where tensors lie.

A graphics card takes longer to be told about a kernel than to run one. So a session's runs of one shape are recorded
by the card's driver (a CUDA graph) and replayed, which needs every tensor at one place: a `Recording` has its inputs in
one block, filled by one transfer, and its outputs in buffers of its own. Shapes come in buckets, so that there are few.
`Place("cpu")` does the same in the processor's memory, without the recording; tests run it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from threading import Lock, get_ident
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnxruntime

from layers.errors import ArtifactError
from layers.runtime.card import CUDA
from layers.runtime.card_turns import CARD_TURNS
from layers.runtime.run_thread import RunThread

Array = npt.NDArray[Any]

# ONNX's numbers of element types, which bindings take where numpy has no such type.
ELEMENT_TYPES = {
    "tensor(float)": 1,
    "tensor(int32)": 6,
    "tensor(int64)": 7,
    "tensor(float16)": 10,
    "tensor(bfloat16)": 16,
}
ITEM_BYTES = {1: 4, 6: 4, 7: 8, 10: 2, 16: 2}
# int16 and int32.
RAW_TYPES = {2: 5, 4: 6}
NUMPY_OF = {1: np.float32, 6: np.int32, 7: np.int64}
# What onnxruntime's kernels may expect of an address.
ALIGNMENT = 256
NOT_RECORDED = -1


@dataclass(frozen=True)
class Place:
    """Where tensors lie: a processor's memory or a card's."""

    kind: Literal["cpu", "cuda"]
    index: int = 0

    def allocate(self, shape: Sequence[int], element_type: int) -> onnxruntime.OrtValue:
        """A tensor whose content is not set; its memory lives as long as the value."""
        with self.shared():
            return onnxruntime.OrtValue.ortvalue_from_shape_and_type(list(shape), element_type, self.kind, self.index)

    def shared(self) -> AbstractContextManager[None]:
        """To be held while something of the place is allocated, copied or run; not twice by one thread."""
        return CARD_TURNS.shared() if self.kind == "cuda" else nullcontext()


CPU_PLACE = Place("cpu")
CARD = Place("cuda")


@dataclass(frozen=True)
class Tensor:
    """A piece of memory as a graph sees it. `owner` keeps the memory alive."""

    element_type: int
    shape: tuple[int, ...]
    address: int
    owner: onnxruntime.OrtValue


def raw_buffer(place: Place, shape: tuple[int, ...], element_type: int) -> Tensor:
    """Memory that graphs see as `element_type`, and numpy as integers of its size: it has no bfloat16."""
    owner = place.allocate(shape, RAW_TYPES[ITEM_BYTES[element_type]])
    return Tensor(element_type, shape, owner.data_ptr(), owner)


def rows_of(buffer: Tensor, first: int, rows: int) -> Tensor:
    """`rows` rows of a buffer from row `first` on, in place."""
    stride = int(np.prod(buffer.shape[1:], dtype=np.int64)) * ITEM_BYTES[buffer.element_type]
    return Tensor(buffer.element_type, (rows, *buffer.shape[1:]), buffer.address + first * stride, buffer.owner)


class Device:
    """A session, where its tensors lie, and on which thread it runs: the caller's, or with `thread` that one's."""

    def __init__(self, session: onnxruntime.InferenceSession, place: Place, thread: RunThread | None = None) -> None:
        self.session = session
        self.place = place
        self.thread = thread or (RunThread() if place.kind == "cuda" else None)
        self.inputs = {node.name: ELEMENT_TYPES[node.type] for node in session.get_inputs()}
        self.outputs = {node.name: ELEMENT_TYPES[node.type] for node in session.get_outputs()}
        self._ids = count(1)
        # Runs that are recorded cannot overlap.
        self.lock = Lock()

    def record(
        self,
        fed: Mapping[str, tuple[int, ...]],
        answers: Mapping[str, tuple[int, ...]],
        bound: Mapping[str, Tensor] | None = None,
        written: Mapping[str, Tensor] | None = None,
        scalars: Mapping[str, int] | None = None,
        *,
        replayed: bool = True,
    ) -> Recording:
        """Prepare runs of one shape.

        `fed` are inputs that every run brings anew, `answers` outputs it is read for, by shape. `bound` inputs and
        `written` outputs are memory of others, which the graph reads and writes where it lies. `scalars` are int32
        inputs that the processor reads; they are part of the recording.
        """
        run_id = next(self._ids) if replayed else NOT_RECORDED
        return Recording(self, run_id, fed, answers, bound or {}, written or {}, scalars or {})


class Recording:
    """Runs of one shape, all tensors at their places. Not to be used by two threads at a time."""

    def __init__(
        self,
        device: Device,
        run_id: int,
        fed: Mapping[str, tuple[int, ...]],
        answers: Mapping[str, tuple[int, ...]],
        bound: Mapping[str, Tensor],
        written: Mapping[str, Tensor],
        scalars: Mapping[str, int],
    ) -> None:
        place = device.place
        self._run_id = run_id
        self._lock = device.lock
        self._thread = device.thread
        self._place = place
        self._recorded = place.kind == "cuda" and run_id != NOT_RECORDED
        # onnxruntime captures in the first run of each thread.
        self._captured_by: set[int] = set()
        self._session = device.session
        self._binding = device.session.io_binding()
        self._options = onnxruntime.RunOptions()
        if place.kind == "cuda":
            self._options.add_run_config_entry("gpu_graph_id", str(run_id))
        self._kept: list[Any] = [*bound.values(), *written.values()]
        self.feed = self._stage(device, fed)
        self._answers: dict[str, onnxruntime.OrtValue] = {}
        for name, shape in answers.items():
            self._answers[name] = place.allocate(shape, device.outputs[name])
            self._binding.bind_ortvalue_output(name, self._answers[name])
        for name, tensor in bound.items():
            self._bind(self._binding.bind_input, place, name, tensor)
        for name, tensor in written.items():
            self._bind(self._binding.bind_output, place, name, tensor)
        for name, value in scalars.items():
            scalar = onnxruntime.OrtValue.ortvalue_from_numpy(np.array(value, np.int32))
            self._kept.append(scalar)
            self._binding.bind_ortvalue_input(name, scalar)

    def run(self) -> None:
        """Send what `feed` holds and run; returns when the device has finished."""
        if self._thread is None:
            self._run()
        else:
            self._thread.run(self._run)

    def _run(self) -> None:
        captures = self._recorded and get_ident() not in self._captured_by
        with self._lock, CARD_TURNS.alone() if captures else self._place.shared():
            self._block.update_inplace(self._staged)
            self._session.run_with_iobinding(self._binding, self._options)
            self._captured_by.add(get_ident())

    def answer(self, name: str) -> Array:
        """A copy of an output of the last run."""
        with self._place.shared():
            answer: Array = self._answers[name].numpy()
        return answer

    def _stage(self, device: Device, fed: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
        """One block of device memory for all inputs that runs bring, and views of its twin on this side by name."""
        offsets, size = {}, 0
        for name, shape in fed.items():
            offsets[name] = size
            length = int(np.prod(shape, dtype=np.int64)) * ITEM_BYTES[device.inputs[name]]
            size += -(-length // ALIGNMENT) * ALIGNMENT
        self._staged = np.zeros(size // 8, np.int64)
        self._block = device.place.allocate([size // 8], ELEMENT_TYPES["tensor(int64)"])
        views: dict[str, Array] = {}
        for name, shape in fed.items():
            element_type = device.inputs[name]
            tensor = Tensor(element_type, shape, self._block.data_ptr() + offsets[name], self._block)
            self._bind(self._binding.bind_input, device.place, name, tensor)
            length = int(np.prod(shape, dtype=np.int64)) * ITEM_BYTES[element_type]
            piece = self._staged.view(np.uint8)[offsets[name] : offsets[name] + length]
            views[name] = piece.view(NUMPY_OF[element_type]).reshape(shape)
        return views

    def release(self) -> None:
        """Let the driver forget the recording, as the thread that runs it."""
        if self._recorded:
            assert self._thread is not None, "only a card's runs are recorded"
            self._thread.run(lambda: self._session.release_captured_graph(self._run_id))

    @staticmethod
    def _bind(bind: Any, place: Place, name: str, tensor: Tensor) -> None:
        bind(name, place.kind, place.index, tensor.element_type, list(tensor.shape), tensor.address)


def open_on_card(path: Path) -> onnxruntime.InferenceSession:
    """Open a graph on the card. Raises ArtifactError when onnxruntime cannot, or would run it elsewhere."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    # Products of few rows are timed against kernels made for them, once a shape (docs/gpu.md).
    options.add_session_config_entry("ep.cuda.enable_gemm_auto_tune", "1")
    settings = {"enable_cuda_graph": "1", "use_tf32": "0", "arena_extend_strategy": "kSameAsRequested"}
    if hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()
    try:
        with CARD.shared():
            session = onnxruntime.InferenceSession(str(path), sess_options=options, providers=[(CUDA, settings)])
    except Exception as error:  # onnxruntime's exceptions share no public base
        raise ArtifactError(
            f"{path}: onnxruntime cannot open it on the card: {error}. Build the model again."
        ) from error
    if CUDA not in session.get_providers():
        raise ArtifactError(
            f"{path}: onnxruntime would run it on the processor: its CUDA libraries were not found. "
            "Install onnxruntime-gpu with the CUDA and cuDNN versions of docs/gpu.md."
        )
    return session
