"""Request bodies: read from the connection within the limit, whatever their content type says."""

from __future__ import annotations

from typing import Any, NoReturn

from fastapi import Request
from starlette.requests import ClientDisconnect

from layers.errors import InputError
from layers.serving.task_body import TaskBody, parse_object, read_flag, read_task_body


async def read_json(request: Request, max_bytes: int) -> dict[str, Any]:
    """The body's JSON object. Raises InputError: as `read_bytes` and as `parse_object`."""
    return parse_object(await read_bytes(request, max_bytes))


async def read_task(request: Request, max_bytes: int) -> TaskBody:
    """A request of the Inference API or of TEI, body and headers. Raises InputError as its parts."""
    return read_task_body(await read_json(request, max_bytes), request.headers.get("x-use-cache"))


def allows_cache(request: Request) -> bool:
    """What the header `x-use-cache` says. Raises InputError (422)."""
    return read_flag("x-use-cache", request.headers.get("x-use-cache"))


async def read_bytes(request: Request, max_bytes: int) -> bytes:
    """The body as it came. Raises InputError: 413 beyond `max_bytes`, 400 when the client leaves before its end."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > max_bytes:
        _refuse_size(int(declared), max_bytes)
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > max_bytes:
                _refuse_size(size, max_bytes)
            chunks.append(chunk)
    except ClientDisconnect:  # nobody reads the answer, but it is counted
        raise InputError(
            f"body is incomplete: the client left after {size} bytes.", status=400, error_type="malformed"
        ) from None
    return b"".join(chunks)


def _refuse_size(got: int, limit: int) -> NoReturn:
    raise InputError(
        f"body is too large: got {got} bytes or more, expected at most {limit}.", status=413, error_type="too_large"
    )
