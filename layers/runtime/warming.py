"""The first inference, made before anybody waits for one, and not waited for beyond a moment that is given."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


def warm(run: Callable[[], None], until: float | None = None, clock: Callable[[], float] = time.monotonic) -> bool:
    """Call `run` and wait for it until `clock` reads `until` (None: as long as it takes); true when it is done.

    It is not begun when no time is left, and goes on behind the caller's back when time runs out: an inference cannot
    be broken off, and what it has done is not lost. Raises what `run` raises within the time.
    """
    if until is None:
        run()
        return True
    left = until - clock()
    if left <= 0:
        return False
    failures: list[BaseException] = []

    def keep_failure() -> None:
        try:
            run()
        except Exception as failure:
            failures.append(failure)

    # A daemon, which a process that ends does not wait for.
    beside = threading.Thread(target=keep_failure, name="warm-up", daemon=True)
    beside.start()
    beside.join(left)
    if failures:
        raise failures[0]
    return not beside.is_alive()
