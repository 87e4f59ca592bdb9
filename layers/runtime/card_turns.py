"""Who may use the card while a graph is captured: nobody else.

A capture fails when another thread of the process allocates or copies meanwhile (CUDA's documentation of
cudaStreamCaptureModeGlobal, which is onnxruntime's mode). It is done once a shape, so it waits for the others to finish
and lets them wait; everything else goes on side by side.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class Turns:
    """Many share, or one is alone. Who wants to be alone is waited for. Not to be entered twice by one thread."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._sharing = 0
        self._wanting = 0
        self._alone = False

    @property
    def somebody_waits(self) -> bool:
        """Whether somebody wants to be alone and is not yet."""
        return self._wanting > 0

    @contextmanager
    def shared(self) -> Iterator[None]:
        """While nobody is alone or wants to be."""
        with self._changed:
            while self._alone or self._wanting:
                self._changed.wait()
            self._sharing += 1
        try:
            yield
        finally:
            with self._changed:
                self._sharing -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While nobody shares."""
        with self._changed:
            self._wanting += 1
            while self._alone or self._sharing:
                self._changed.wait()
            self._wanting -= 1
            self._alone = True
        try:
            yield
        finally:
            with self._changed:
                self._alone = False
                self._changed.notify_all()


CARD_TURNS = Turns()
