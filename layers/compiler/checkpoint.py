"""A Hugging Face checkpoint on disk: its configuration and its tensors, read one at a time.

Safetensors only. A checkpoint that holds nothing but pickles is refused by name, because opening one runs it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from layers.errors import CheckpointError

Array = NDArray[Any]

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.h5", "*.msgpack")
# Google's first BERT checkpoints call a norm's tensors gamma and beta; transformers renames them on load.
LEGACY_NAMES = ((re.compile(r"\.gamma$"), ".weight"), (re.compile(r"\.beta$"), ".bias"))
DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype(np.float64),
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "I64": np.dtype(np.int64),
    "I32": np.dtype(np.int32),
    "U8": np.dtype(np.uint8),
    "BOOL": np.dtype(np.bool_),
}


@dataclass(frozen=True)
class TensorEntry:
    """Where a tensor lies: bytes [begin, end) of `file`, as `stored_name` there."""

    stored_name: str
    file: Path
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True)
class Checkpoint:
    """An opened checkpoint. `tensors` is keyed by the name with the base model's prefix (see `open_checkpoint`)."""

    directory: Path
    config: Mapping[str, Any]
    tensors: Mapping[str, TensorEntry]
    weight_files: tuple[Path, ...]
    used: set[str] = field(default_factory=set)

    @property
    def model_type(self) -> str:
        """The architecture's name as `config.json` has it."""
        return str(self.config.get("model_type", ""))

    @property
    def title(self) -> str:
        """What messages call this checkpoint."""
        return f"{self.directory.name} ({self.model_type})"

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor. Raises CheckpointError when there is none of that name."""
        return self._entry(name).shape

    def __contains__(self, name: str) -> bool:
        return name in self.tensors

    def read(self, name: str) -> Array:
        """One tensor as float32 (integers as they are), mapped from disk and converted; nothing is kept."""
        entry = self._entry(name)
        self.used.add(name)
        return read_entry(entry)

    def unused(self) -> list[str]:
        """Stored names of tensors that no recipe has read."""
        return sorted(entry.stored_name for name, entry in self.tensors.items() if name not in self.used)

    def read_json(self, name: str) -> Any | None:
        """A JSON file beside the weights, or None when the checkpoint has none of that name."""
        path = self.directory / name
        return parse_json(path) if path.is_file() else None

    def account_for_every_tensor(self, expected: Iterable[str]) -> None:
        """Raise CheckpointError for a tensor that no recipe has read and no pattern (fnmatch) of `expected` names."""
        patterns = tuple(expected)
        full_names = {entry.stored_name: name for name, entry in self.tensors.items()}
        strangers = [
            stored
            for stored in self.unused()
            if not any(fnmatchcase(full_names[stored], pattern) for pattern in patterns)
        ]
        if strangers:
            raise CheckpointError(
                f"tensors that no recipe reads, for {self.title}: got {len(strangers)}, first "
                f"{strangers[0]!r}, expected none but {', '.join(patterns)}. The graph would not be this model."
            )

    def _entry(self, name: str) -> TensorEntry:
        try:
            return self.tensors[name]
        except KeyError:
            raise CheckpointError(
                f"{self.title}: no tensor {name!r} among {len(self.tensors)}. "
                "The checkpoint was saved for another head or is incomplete."
            ) from None


def parse_json(path: Path) -> Any:
    """What a JSON file holds. Raises CheckpointError when it is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path}: not JSON: {error}. Download it again.") from error


def read_config(directory: Path) -> dict[str, Any]:
    """`config.json` as a dictionary. Raises CheckpointError when it is missing or says no model_type."""
    path = directory / "config.json"
    try:
        config = parse_json(path)
    except FileNotFoundError as error:
        raise CheckpointError(f"{directory}: no config.json; expected a Hugging Face checkpoint directory.") from error
    if not isinstance(config, dict) or not config.get("model_type"):
        raise CheckpointError(f"{path}: no model_type, so no recipe can be chosen.")
    return config


@contextmanager
def read_by_transformers(what: str, directory: Path) -> Iterator[None]:
    """Raise CheckpointError for whatever transformers raises while it reads: its own, validators', importers', any."""
    try:
        yield
    except Exception as error:
        raise CheckpointError(
            f"{what}, for {directory.name}: transformers cannot read it: {type(error).__name__}: {error}. "
            "Nothing was written; make the checkpoint one that transformers opens, or choose another."
        ) from error


def open_checkpoint(directory: Path, base_model_prefix: str) -> Checkpoint:
    """Index every tensor of the checkpoint without reading one.

    A bare encoder is saved without the prefix that the same tensors carry under a head ("encoder.layer.0"
    against "bert.encoder.layer.0"); names are given the prefix, so that recipes know one form only. T5 has none.
    Raises CheckpointError when there are no safetensors, a shard is missing, or a file is cut short.
    """
    files = _weight_files(directory)
    entries = [entry for file in files for entry in read_index(file)]
    names = [_modern_name(entry.stored_name) for entry in entries]
    bare = base_model_prefix != "" and not any(name.startswith(base_model_prefix + ".") for name in names)
    tensors = {f"{base_model_prefix}.{name}" if bare else name: e for name, e in zip(names, entries, strict=True)}
    return Checkpoint(directory, read_config(directory), tensors, tuple(files))


def read_index(file: Path) -> Iterable[TensorEntry]:
    """The header of a safetensors file: 8 bytes of length, then JSON (huggingface.co/docs/safetensors).

    Read here and not through the library because its numpy reader has no bfloat16 and copies whole tensors.
    """
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        size = file.stat().st_size
        if length > size - 8:
            raise CheckpointError(f"{file.name}: header of {length} bytes in a file of {size}; download it again.")
        try:
            header = json.loads(stream.read(length))
        except ValueError as error:
            raise CheckpointError(f"{file.name}: its header is not JSON: {error}. Download it again.") from error
    for name, item in header.items():
        if name == "__metadata__":
            continue
        if item["dtype"] not in DTYPES:
            raise CheckpointError(f"{file.name}: {name} is {item['dtype']}, expected one of {', '.join(DTYPES)}.")
        begin, end = (8 + length + offset for offset in item["data_offsets"])
        if end > size:
            raise CheckpointError(f"{file.name}: {name} ends at byte {end} of {size}; the file is cut short.")
        yield TensorEntry(name, file, DTYPES[item["dtype"]], tuple(item["shape"]), begin, end)


def read_entry(entry: TensorEntry) -> Array:
    """Map one tensor and convert it to float32; integers and booleans stay what they are."""
    raw = np.memmap(entry.file, mode="r", dtype=np.uint8, offset=entry.begin, shape=(entry.end - entry.begin,))
    tensor = raw.view(entry.dtype).reshape(entry.shape) if raw.size else np.zeros(entry.shape, entry.dtype)
    # ml_dtypes' bfloat16 reports kind 'V', so floats are told by exclusion.
    return tensor if entry.dtype.kind in "iub" else tensor.astype(np.float32)


def _weight_files(directory: Path) -> list[Path]:
    if (directory / SINGLE).is_file():
        return [directory / SINGLE]
    index = directory / INDEX
    if index.is_file():
        names = sorted(set(parse_json(index)["weight_map"].values()))
        outside = [name for name in names if Path(name).name != name]
        if outside:
            raise CheckpointError(f"{index}: shard {outside[0]!r} lies outside the checkpoint; refused.")
        missing = [name for name in names if not (directory / name).is_file()]
        if missing:
            raise CheckpointError(f"{directory}: {INDEX} names {missing[0]}, which is missing.")
        return [directory / name for name in names]
    pickles = sorted(path.name for pattern in PICKLES for path in directory.glob(pattern))
    if pickles:
        raise CheckpointError(
            f"{directory}: {pickles[0]} is not safetensors, and opening a pickle can run code, so it is refused. "
            "Convert it once: load it in transformers and call save_pretrained(path), which writes safetensors."
        )
    raise CheckpointError(f"{directory}: neither {SINGLE} nor {INDEX}.")


def _modern_name(name: str) -> str:
    for pattern, replacement in LEGACY_NAMES:
        name = pattern.sub(replacement, name)
    return name
