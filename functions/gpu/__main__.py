"""The container's command, which SageMaker gives the argument `serve`.

    python -m functions.gpu serve [--host 0.0.0.0] [--port 8080] [--model-data /opt/ml/model]

Exit status: 0 stopped by a signal with every request answered, 1 with requests that were not, 2 nothing to serve.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from functions.gpu.loading import MODEL_DATA, load_application
from functions.gpu.server import serve
from functions.logs import log_to_stderr


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns its exit status."""
    options = _parser().parse_args(arguments)
    log_to_stderr()
    return serve(lambda: load_application(os.environ, options.model_data), options.host, options.port)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m functions.gpu", description="Serve models as SageMaker's containers do: /ping and /invocations."
    )
    parser.add_argument("command", choices=["serve"], help="what SageMaker gives a container")
    parser.add_argument("--host", default="0.0.0.0", help="address to serve on (default: 0.0.0.0)")
    parser.add_argument("--port", type=int, default=8080, help="port to serve on (default: 8080)")
    parser.add_argument(
        "--model-data",
        type=Path,
        metavar="DIR",
        default=MODEL_DATA,
        help=f"where model data lies when ARTIFACT_DIR holds none (default: {MODEL_DATA})",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
