"""A model on this machine: served over HTTP, or handed one Lambda event.

    python -m functions.local MODEL [--output build] [--host 127.0.0.1] [--port 8080]
    python -m functions.local MODEL --event FILE.json

Standard output carries the event's result and nothing else. Exit status: 0 answered, 1 the handler
failed, 2 the command cannot be carried out as given.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import os
import socket
import sys
from pathlib import Path
from typing import Any

from functions.triggers import HANDLERS, trigger_of
from layers.artifact import MANIFEST
from layers.errors import ArtifactError, HundredfoldError, InputError

# Where results go, of which one is enough.
RESULT_VARIABLES = ("HUNDREDFOLD_RESULTS_BUCKET", "HUNDREDFOLD_RESULTS_QUEUE_URL", "HUNDREDFOLD_RESULTS_DIR")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns its exit status."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        directory = find_artifact(options.output, options.model)
        if options.event is not None:
            return invoke(directory, options.event, options.results or options.output / "results", options.objects)
        serve(directory, options.host, options.port)
    except HundredfoldError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def find_artifact(output: Path, model: str) -> Path:
    """The folder of a built model. Raises ArtifactError naming those that are there."""
    directory = output / model
    if (directory / MANIFEST).is_file():
        return directory
    built = sorted(path.parent.name for path in output.glob(f"*/{MANIFEST}"))
    raise ArtifactError(
        f"no artifact of {model!r} in {output}: got {', '.join(built) or 'no built models at all'}. "
        f"Build it first: python build_artifacts.py {model} --output {output}"
    )


def invoke(directory: Path, event_file: Path, results: Path, objects: Path) -> int:
    """Hand the event to the handler that it belongs to, and print what the handler returns.

    Unless the environment says otherwise, a folder stands in for the results bucket and one for S3.
    """
    event = _read_event(event_file)
    name = HANDLERS[trigger_of(event)]
    os.environ["ARTIFACT_DIR"] = str(directory)
    # CloudWatch reads the line of metrics; on a terminal it would stand over the answer.
    os.environ.setdefault("POWERTOOLS_METRICS_DISABLED", "true")
    logging.getLogger("mangum").setLevel(logging.WARNING)
    if not any(os.environ.get(variable) for variable in RESULT_VARIABLES):
        os.environ["HUNDREDFOLD_RESULTS_DIR"] = str(results)
        os.environ.setdefault("HUNDREDFOLD_OBJECTS_DIR", str(objects))
    module = importlib.import_module(name)
    try:
        result = module.handler(event, None)
    except Exception:
        logging.getLogger("hundredfold.local").exception("the handler failed on %s", event_file)
        return 1
    if name != HANDLERS["https"]:
        print(f"results are in {os.environ.get('HUNDREDFOLD_RESULTS_DIR') or 'AWS'}", file=sys.stderr)
    sys.stdout.buffer.write(json.dumps(result, ensure_ascii=False).encode("utf-8") + b"\n")
    return 0


def serve(directory: Path, host: str, port: int) -> None:
    """Serve the model until interrupted."""
    try:
        import uvicorn
    except ModuleNotFoundError as error:
        raise InputError("serving needs uvicorn: pip install 'hundredfold[build]'") from error
    from layers.runtime.predictor import load_predictors
    from layers.runtime.settings import read_settings
    from layers.serving.application import create_app

    refuse_taken(host, port)
    os.environ["ARTIFACT_DIR"] = str(directory)
    # A server has several clients, and answers /health while texts are written for them.
    os.environ.setdefault("HUNDREDFOLD_WORKERS", "4")
    settings = read_settings()
    predictors = load_predictors(directory, **settings.load_options())
    # Given a log configuration, uvicorn would write its access log to standard output.
    uvicorn.run(create_app(predictors, settings), host=host, port=port, log_config=None)


def refuse_taken(host: str, port: int) -> None:
    """Raises InputError where nobody can listen; the server itself would say so after a model is loaded."""
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"nothing can be served at {host}, port {port}: {reason}. Stop what is there, or pass another --port."
        ) from error


def _read_event(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{path}: not JSON: {error}") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m functions.local", description="Serve a built model here, or hand it one Lambda event."
    )
    parser.add_argument("model", metavar="MODEL", help="a built model's name")
    parser.add_argument("--output", type=Path, default=Path("build"), help="folder of artifacts (default: build)")
    parser.add_argument("--host", default="127.0.0.1", help="address to serve on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8080, help="port to serve on (default: 8080)")
    parser.add_argument("--event", type=Path, metavar="FILE", help="hand this event to its handler instead of serving")
    parser.add_argument(
        "--results",
        type=Path,
        metavar="DIR",
        help="folder for results of queue and bucket events (default: OUTPUT/results)",
    )
    parser.add_argument(
        "--objects",
        type=Path,
        metavar="DIR",
        default=Path(),
        help="folder in which BUCKET/KEY of an S3 event is read (default: .)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
