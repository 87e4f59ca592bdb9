"""A folder in place of the results bucket, for a laptop: DIRECTORY/PREFIX/MODEL/ID.json."""

from __future__ import annotations

from pathlib import Path

from functions.results import Result
from layers.whole_file import write_whole


class FolderSink:
    """Writes results as files, each replaced whole."""

    def __init__(self, directory: Path, prefix: str) -> None:
        self._directory = directory / prefix

    def publish(self, result: Result) -> None:
        """As the bucket: a refusal only where nothing is. Raises OSError."""
        path = self._directory / result.key
        if result.is_error and path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, result.body())
