"""The project's exceptions. Messages read: what, for which model: got X, expected Y. Next step."""

from __future__ import annotations


class HundredfoldError(Exception):
    """Anything this project raises on purpose; everything else is a defect."""


class CatalogueError(HundredfoldError):
    """`models.toml` says something that cannot be built: unknown key, missing key, wrong type."""


class CheckpointError(HundredfoldError):
    """A checkpoint is absent, incomplete, in a refused format, or holds tensors nobody expects."""


class UnsupportedError(HundredfoldError):
    """The checkpoint is sound, but no recipe, head or option here covers it."""


class GateError(HundredfoldError):
    """The precision that was asked for by name did not keep the model's accuracy."""


class ArtifactError(HundredfoldError):
    """An artifact cannot be served: missing, altered, of another schema or for another machine."""


class InputError(HundredfoldError):
    """A request cannot be answered as it stands; the caller can change it. `status` is its HTTP status.

    `parameter` is the one that is wrong, where it is one.
    """

    def __init__(
        self, message: str, *, status: int = 422, error_type: str = "validation", parameter: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error_type = error_type
        self.parameter = parameter


class ModelOutputError(HundredfoldError):
    """The model answered with something that is no answer (NaN, infinity). Ours to mend: a 5xx."""


class ImageError(HundredfoldError):
    """A container image cannot be built: no engine, a base that does not fit, a build that failed."""
