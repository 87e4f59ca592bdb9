"""Things that are loaded when they are needed and given up, least recently used first, when room is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import Generic, TypeVar

Loaded = TypeVar("Loaded")


@dataclass(slots=True)
class _Place(Generic[Loaded]):
    """`taken` while its bytes count; `users` are those who hold what is loaded, or wait for it."""

    loaded: Loaded | None = None
    taken: bool = False
    users: int = 0
    loading: Lock = field(default_factory=Lock)


class Residents(Generic[Loaded]):
    """What is loaded within so many bytes. Safe between threads; loads of different names go side by side."""

    def __init__(self, load: Callable[[str], Loaded], sizes: Mapping[str, int], budget_bytes: int) -> None:
        """`sizes` are the bytes of each once it is loaded, by name."""
        self._load = load
        self._sizes = dict(sizes)
        self._budget_bytes = budget_bytes
        # In order of use, the latest last.
        self._places: dict[str, _Place[Loaded]] = {name: _Place() for name in sizes}
        self._lock = Lock()

    @contextmanager
    def held(self, name: str) -> Iterator[Loaded]:
        """What is loaded under this name, which stays so meanwhile; whoever asks during a load waits for it.

        What others hold is never given up, so the budget is passed while more is in use than it has room for. Raises
        what loading raises; whoever asks next loads again.
        """
        with self._lock:
            place = self._places[name] = self._places.pop(name)
            place.users += 1
        try:
            yield self._ready(name, place)
        finally:
            with self._lock:
                place.users -= 1
                self._make_room(0)

    def loaded(self, name: str) -> Loaded | None:
        """What is loaded under this name; None when nothing is. Loads nothing and counts as no use."""
        with self._lock:
            return self._places[name].loaded

    def _ready(self, name: str, place: _Place[Loaded]) -> Loaded:
        with place.loading:
            if place.loaded is None:
                with self._lock:
                    self._make_room(self._sizes[name])
                    place.taken = True
                try:
                    place.loaded = self._load(name)
                except BaseException:
                    place.taken = False
                    raise
            return place.loaded

    def _make_room(self, wanted_bytes: int) -> None:
        held = wanted_bytes + sum(self._sizes[name] for name, place in self._places.items() if place.taken)
        for name, place in self._places.items():
            if held <= self._budget_bytes:
                return
            if place.taken and place.users == 0:
                place.loaded, place.taken = None, False
                held -= self._sizes[name]
