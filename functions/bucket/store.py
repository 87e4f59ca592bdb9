"""Objects in buckets, as far as the bucket function needs them: a protocol, and a file over it that can seek."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

# One ranged request reads so much. Nothing is held open while a model works.
CHUNK_BYTES = 2**20


class ObjectGoneError(Exception):
    """There is no such object: it was deleted, or never there."""


class ObjectChangedError(Exception):
    """The object is another one than it was: it was overwritten."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What is known of an object. `etag` is S3's, empty where a folder stands in; `version` changes with the object."""

    etag: str
    version: str
    size: int
    metadata: Mapping[str, str]


class ObjectStore(Protocol):
    """Where objects are read from and results are written to."""

    def info(self, bucket: str, key: str) -> ObjectInfo | None:
        """None when there is no such object."""

    def read(self, bucket: str, key: str, info: ObjectInfo, start: int, length: int) -> bytes:
        """Bytes of the object that `info` was about. Raises ObjectGoneError and ObjectChangedError."""

    def keys(self, bucket: str, prefix: str) -> list[str]:
        """Every key below a prefix, in order."""

    def create(self, bucket: str, key: str, body: bytes, metadata: Mapping[str, str]) -> bool:
        """Write an object that is not there yet; False, and nothing written, when it is."""

    def replace(self, bucket: str, key: str, body: bytes, current: ObjectInfo | None) -> bool:
        """Write an object if what is there is still `current` (None: nothing); False when it is not."""


class ObjectFile(io.RawIOBase):
    """An object as a file to read and seek in, by ranged requests."""

    def __init__(self, store: ObjectStore, bucket: str, key: str, info: ObjectInfo) -> None:
        super().__init__()
        self._store, self._bucket, self._key, self._info = store, bucket, key, info
        self._position = 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Costs nothing."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._info.size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        """One request. Raises ObjectGoneError and ObjectChangedError."""
        view = memoryview(buffer)
        length = min(len(view), self._info.size - self._position)
        if length <= 0:
            return 0
        content = self._store.read(self._bucket, self._key, self._info, self._position, length)
        view[: len(content)] = content
        self._position += len(content)
        return len(content)


def open_object(store: ObjectStore, bucket: str, key: str, info: ObjectInfo) -> io.BufferedReader:
    """The object, read ahead in chunks."""
    return io.BufferedReader(ObjectFile(store, bucket, key, info), CHUNK_BYTES)


def read_whole(store: ObjectStore, bucket: str, key: str, info: ObjectInfo) -> bytes:
    """A small object."""
    return store.read(bucket, key, info, 0, info.size) if info.size else b""
