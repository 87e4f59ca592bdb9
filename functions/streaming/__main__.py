"""`python -m functions.streaming`: loads the models once, as the HTTPS handler does, then answers events in parts."""

from __future__ import annotations

import asyncio
import sys
import traceback

from functions.streaming.loop import StreamingFunction, run
from functions.streaming.runtime_api import RuntimeApi


def load() -> StreamingFunction:
    """The HTTPS function with its models. Raises what its handler raises at import."""
    # Mangum runs the application on the thread's loop, so it is set before Mangum is made; Python 3.14 makes none.
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    from functions.https import handler as https
    from functions.https.event_path import routed
    from functions.loads import measure_loads
    from functions.streaming.measured import MeasuredApplication

    return StreamingFunction(
        MeasuredApplication(
            https.application,
            https.metrics,
            lambda metrics: measure_loads(metrics, https.predictors),
            https.formatter,
        ),
        lambda event, context: https.adapter.infer(routed(event), context),
        https.handler,
        https.formatter,
        loop,
    )


def restore(api: RuntimeApi) -> bool:
    """Run the hooks around the snapshot, as the runtime interface client does; false when one failed."""
    import snapshot_restore_py

    try:
        for function, arguments, keywords in reversed(snapshot_restore_py.get_before_snapshot()):
            function(*arguments, **keywords)
        api.restored()
        for function, arguments, keywords in snapshot_restore_py.get_after_restore():
            function(*arguments, **keywords)
    except Exception as error:
        traceback.print_exc()
        api.fail_restore(f"Runtime.{type(error).__name__}", str(error))
        return False
    return True


if __name__ == "__main__":
    sys.exit(run(load, restore))
