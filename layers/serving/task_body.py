"""What one request says, whichever way it came: parsed, taken apart, refused by name. Knows no HTTP framework.

The queue and bucket functions read it too, and start without FastAPI's 140 ms of imports.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NoReturn

from layers.errors import InputError
from layers.wording import kind, shown


@dataclass(frozen=True, slots=True)
class TaskBody:
    """What the Inference API's clients send: the inputs, and the parameters from wherever they stood.

    `use_cache` is false where `options` or the header `x-use-cache` say so.
    """

    inputs: Any
    parameters: dict[str, Any]
    use_cache: bool = True


def parse_object(body: bytes) -> dict[str, Any]:
    """A JSON object. Raises InputError: 400 not UTF-8 or not JSON, 422 not an object."""
    try:
        content = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except RecursionError as error:
        raise InputError("body is nested too deeply.", status=400, error_type="malformed") from error
    except UnicodeDecodeError as error:
        raise InputError(f"body is not UTF-8: {error.reason}.", status=400, error_type="malformed") from error
    except ValueError as error:
        raise InputError(f"body is not JSON: {error}.", status=400, error_type="malformed") from error
    if not isinstance(content, dict):
        raise InputError(f'body: got {kind(content)}, expected an object such as {{"inputs": "text"}}.')
    return content


def read_task_body(content: dict[str, Any], use_cache_header: str | None = None) -> TaskBody:
    """Take apart {"inputs", "parameters"?, ...}; parameters may also stand at the root, as TEI's do.

    Of `options`, which the older Inference API had, `use_cache` holds and stands before its header; the others are
    accepted and ignored. A parameter that is null in one place is the other's. Raises InputError (422).
    """
    if "inputs" not in content:
        raise InputError(f"body: got the keys {shown(list(content))}, expected inputs.")
    parameters = content.get("parameters")
    if parameters is not None and not isinstance(parameters, dict):
        raise InputError(f"parameters: got {kind(parameters)}, expected an object.")
    options = content.get("options")
    if options is not None and not isinstance(options, dict):
        raise InputError(f"options: got {kind(options)}, expected an object.")
    at_root = {key: value for key, value in content.items() if key not in ("inputs", "parameters", "options")}
    stated = {key: value for key, value in (parameters or {}).items() if value is not None or key not in at_root}
    twice = [key for key in stated if at_root.get(key) is not None]
    if twice:
        raise InputError(f"parameter {shown(min(twice))} is given twice: at the root and in parameters.")
    use_cache = (options or {}).get("use_cache")
    if use_cache is None:
        use_cache = read_flag("x-use-cache", use_cache_header)
    if not isinstance(use_cache, bool):
        raise InputError(f"options.use_cache: got {kind(use_cache)}, expected a boolean.")
    return TaskBody(content["inputs"], {**at_root, **stated}, use_cache)


def take_stream(parameters: dict[str, Any]) -> tuple[bool | None, dict[str, Any]]:
    """Whether the answer is wanted as a stream, if that is said, and the other parameters. Raises InputError (422)."""
    wanted = parameters.get("stream")
    if wanted is not None and not isinstance(wanted, bool):
        raise InputError(f"stream: got {kind(wanted)}, expected a boolean.")
    return wanted, {name: value for name, value in parameters.items() if name != "stream"}


def read_flag(name: str, value: str | None) -> bool:
    """A header that is true unless it says otherwise."""
    flags = {"true": True, "1": True, "false": False, "0": False}
    flag = flags.get((value or "true").strip().lower())
    if flag is None:
        raise InputError(f"header {name}: got {shown(value)}, expected true or false.")
    return flag


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
