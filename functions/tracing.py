"""Traces of invocations for X-Ray, through Powertools' Tracer, where they are asked for."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from layers.errors import ArtifactError


class Tracing(Protocol):
    """Puts what happens within a context under a name."""

    def segment(self, name: str) -> AbstractContextManager[Any]:
        """A context that is traced."""


class NoTracing:
    """Nothing is imported and nothing is written."""

    def segment(self, name: str) -> AbstractContextManager[Any]:  # noqa: ARG002
        """A context like any other."""
        return nullcontext()


class XRayTracing:
    """Subsegments of the segment that Lambda makes. Outside Lambda, Powertools turns itself off."""

    def __init__(self) -> None:
        from aws_lambda_powertools import Tracer

        try:
            self._tracer = Tracer(auto_patch=False)
        except ModuleNotFoundError as error:
            raise ArtifactError(
                "HUNDREDFOLD_TRACING is set and aws-xray-sdk is not installed: pip install 'hundredfold[events]'."
            ) from error

    def segment(self, name: str) -> AbstractContextManager[Any]:
        """A subsegment, an exception included."""
        context: AbstractContextManager[Any] = self._tracer.provider.in_subsegment(name=f"## {name}")
        return context


def open_tracing(enabled: bool) -> Tracing:
    """Raises ArtifactError when it is enabled and its library is missing."""
    return XRayTracing() if enabled else NoTracing()
