"""Files that are there whole or not at all: what a killed process leaves of one does not take the place of the last."""

from __future__ import annotations

from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Write a file beside its place, in a directory that exists, and put it there in one step. Raises OSError."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_bytes(content)
    unfinished.replace(path)
