"""Finding a checkpoint: a local directory as it is, or a pinned commit of a Hub repository, only the files needed."""

from __future__ import annotations

from glob import escape
from pathlib import Path

from layers.catalogue import ModelSpec
from layers.compiler.checkpoint import SINGLE, parse_json
from layers.errors import CheckpointError

# No pickles, no other frameworks' weights, and nothing in folders (checkpoints of the training, ONNX files made by
# others): the Hub's patterns are fnmatch's, whose * crosses folders. Mistral publishes its weights twice.
WANTED = ("*.json", "*.txt", "*.model", "*.spm", "*.safetensors", "*.jinja")
UNWANTED = ("*/*", "consolidated*")


def locate(spec: ModelSpec, catalogue_directory: Path) -> Path:
    """The directory of the model's checkpoint, downloaded at the pinned revision when it is remote.

    Raises CheckpointError when the directory or the revision does not exist, the Hub cannot be reached, or a file that
    says what else to download is broken.
    """
    if not spec.is_remote:
        directory = catalogue_directory / spec.source
        if not directory.is_dir():
            raise CheckpointError(
                f"[{spec.name}] source: {directory} is not a directory; paths are relative to the catalogue file."
            )
        return directory
    try:
        return _download(spec.source.removeprefix("hf://"), spec.revision)
    except CheckpointError as error:
        raise CheckpointError(f"[{spec.name}] {spec.source}@{spec.revision}: {error}") from error
    except Exception as error:  # the client raises its own, requests' and httpx's families
        raise CheckpointError(
            f"[{spec.name}] {spec.source}@{spec.revision}: {type(error).__name__}: {error}. "
            "Check the name, the commit, HF_TOKEN for gated models, and the network."
        ) from error


def _download(repository: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download  # only remote models pay for the import

    top = snapshot_download(repository, revision=revision, allow_patterns=list(WANTED), ignore_patterns=list(UNWANTED))
    modules = Path(top) / "modules.json"
    if modules.is_file():
        # sentence-transformers' folders are wanted, and named there.
        folders = [escape(module["path"]) for module in parse_json(modules)]
        inside = [f"{folder}/{name}" for folder in folders if folder for name in ("config.json", SINGLE)]
        snapshot_download(repository, revision=revision, allow_patterns=inside)
    return Path(top)
