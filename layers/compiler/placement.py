"""Where an artifact is made, and how it takes the place of an earlier one: a build that is killed loses neither.

While NAME is built, `.NAME` stands beside it. In it are the directory that the build works in, and for a moment `next`,
a finished artifact on its way in, and `earlier`, the one on its way out.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

if sys.platform != "win32":
    import fcntl

WORKING = "making-"


@dataclass(frozen=True)
class Place:
    """The directory of a finished artifact."""

    final: Path

    @property
    def _aside(self) -> Path:
        return self.final.parent / f".{self.final.name}"

    def recover(self) -> None:
        """Finish a replacement that was begun, and remove what builds that were killed have left."""
        if not self._aside.is_dir():
            return
        with _locked(self.final.parent):
            self._finish()
            for left in self._aside.glob(f"{WORKING}*"):
                with _locked(left, wait=False) as nobody_elses:
                    if nobody_elses:
                        shutil.rmtree(left)
        self._tidy()

    @contextmanager
    def workplace(self) -> Iterator[Path]:
        """An empty directory to make the artifact in, on the same file system; removed in the end."""
        with ExitStack() as stack:
            self.final.parent.mkdir(parents=True, exist_ok=True)
            stack.callback(self._tidy)
            with _locked(self.final.parent):
                self._aside.mkdir(exist_ok=True)
                made = Path(stack.enter_context(TemporaryDirectory(prefix=WORKING, dir=self._aside)))
                stack.enter_context(_locked(made))
            work = made / self.final.name
            work.mkdir()
            yield work

    def put(self, work: Path) -> None:
        """Let a finished directory take the place. Wherever this is cut off, `recover` goes on."""
        with _locked(self.final.parent):
            self._finish()
            work.rename(self._aside / "next")
            self._finish()

    def _finish(self) -> None:
        arriving, earlier = self._aside / "next", self._aside / "earlier"
        if arriving.exists():
            if self.final.exists():
                _remove(earlier)
                self.final.rename(earlier)
            arriving.rename(self.final)
        elif earlier.exists() and not self.final.exists():
            earlier.rename(self.final)
        _remove(earlier)

    def _tidy(self) -> None:
        # Not empty where another build of the model still works in it.
        with _locked(self.final.parent), suppress(OSError):
            self._aside.rmdir()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _locked(directory: Path, *, wait: bool = True) -> Iterator[bool]:
    """Whether the directory is held for this process, until it ends however it does.

    It is not where the system has no such locks (Windows, some network file systems): there, nothing is ever removed
    as left behind.
    """
    if sys.platform == "win32":
        yield False
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        held = True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError:
            held = False
        yield held
    finally:
        os.close(descriptor)
