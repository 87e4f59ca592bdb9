"""A folder in place of S3, for a laptop: DIRECTORY/BUCKET/KEY, metadata in a hidden file beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from functions.bucket.store import ObjectChangedError, ObjectGoneError, ObjectInfo
from layers.errors import InputError


class FolderStore:
    """Implements `ObjectStore` for one process at a time."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory.resolve()

    def info(self, bucket: str, key: str) -> ObjectInfo | None:
        """Size and time tell contents apart; there is no ETag."""
        path = self._path(bucket, key)
        if not path.is_file():
            return None
        status, beside = path.stat(), _beside(path)
        metadata = json.loads(beside.read_text(encoding="utf-8")) if beside.is_file() else {}
        return ObjectInfo("", f"{status.st_size}-{status.st_mtime_ns}", status.st_size, metadata)

    def read(self, bucket: str, key: str, info: ObjectInfo, start: int, length: int) -> bytes:
        """A part of the file, if it is still the same."""
        now = self.info(bucket, key)
        if now is None:
            raise ObjectGoneError(key)
        if now.version != info.version:
            raise ObjectChangedError(key)
        with self._path(bucket, key).open("rb") as file:
            file.seek(start)
            return file.read(length)

    def keys(self, bucket: str, prefix: str) -> list[str]:
        """Of files that are not hidden."""
        root, folder = self._path(bucket, ""), self._path(bucket, prefix.rpartition("/")[0])
        names = (path.relative_to(root).as_posix() for path in folder.rglob("[!.]*") if path.is_file())
        return sorted(name for name in names if name.startswith(prefix))

    def create(self, bucket: str, key: str, body: bytes, metadata: Mapping[str, str]) -> bool:
        """Write a file and its metadata."""
        path = self._path(bucket, key)
        if path.exists():
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        _beside(path).write_text(json.dumps(dict(metadata)), encoding="utf-8")
        path.write_bytes(body)
        return True

    def replace(self, bucket: str, key: str, body: bytes, current: ObjectInfo | None) -> bool:
        """Write a file."""
        now = self.info(bucket, key)
        if (now and now.version) != (current and current.version):
            return False
        path = self._path(bucket, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        return True

    def _path(self, bucket: str, key: str) -> Path:
        path = (self._directory / bucket / key).resolve()
        if not path.is_relative_to(self._directory):
            raise InputError(f"key: got {key!r}, which leads out of {self._directory}.")
        return path


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.metadata")
