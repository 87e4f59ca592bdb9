"""Finding a checkpoint: a local directory as it is, or a pinned commit of a Hub repository, only the files needed."""

from __future__ import annotations

from pathlib import Path

from layers.catalogue import ModelSpec
from layers.errors import CheckpointError

# No pickles, no other frameworks' weights, no ONNX files made by others.
WANTED = ("*.json", "*.txt", "*.model", "*.safetensors", "*.jinja", "*/*.json", "*/*.safetensors")
UNWANTED = ("onnx/*", "openvino/*", "flax_model*", "original/*")


def locate(spec: ModelSpec, catalogue_directory: Path) -> Path:
    """The directory of the model's checkpoint, downloaded at the pinned revision when it is remote.

    Raises CheckpointError when the directory or the revision does not exist, or the Hub cannot be reached.
    """
    if not spec.is_remote:
        directory = catalogue_directory / spec.source
        if not directory.is_dir():
            raise CheckpointError(
                f"[{spec.name}] source: {directory} is not a directory; paths are relative to the catalogue file."
            )
        return directory
    from huggingface_hub import snapshot_download  # only remote models pay for the import

    repository = spec.source.removeprefix("hf://")
    try:
        return Path(
            snapshot_download(
                repository, revision=spec.revision, allow_patterns=list(WANTED), ignore_patterns=list(UNWANTED)
            )
        )
    except Exception as error:  # the client raises its own, requests' and httpx's families
        raise CheckpointError(
            f"[{spec.name}] {spec.source}@{spec.revision}: {type(error).__name__}: {error}. "
            "Check the name, the commit, HF_TOKEN for gated models, and the network."
        ) from error
