"""Runs inside the image's build: takes out what nothing served needs, compiles, weighs, and fixes times.

    python3 dependency_layer.py PACKAGES CODE BUDGET_BYTES

A script of its own with the standard library alone: at that moment nothing of the project can be imported.
"""

from __future__ import annotations

import compileall
import os
import py_compile
import re
import shutil
import sys
from pathlib import Path

# What wheels ask for and nothing served imports: `tokenizers` would download with huggingface-hub, and onnxruntime
# uses protobuf and flatbuffers in its tools only.
UNUSED = (
    "huggingface-hub",
    "hf-xet",
    "httpx2",
    "httpcore2",
    "h11",
    "truststore",
    "fsspec",
    "filelock",
    "tqdm",
    "click",
    "pyyaml",
    "protobuf",
    "flatbuffers",
)
# Parts of packages: tools of build machines, their tests and samples, and the clients of AWS services never called.
UNUSED_PARTS = (
    "onnxruntime/transformers",
    "onnxruntime/tools",
    "onnxruntime/quantization",
    "onnxruntime/datasets",
    "onnxruntime/backend",
    "numpy/f2py",
    "numpy/_pyinstaller",
)
AWS_SERVICES = {"s3", "sqs", "dynamodb", "sts", "sso", "sso-oidc", "ssm", "secretsmanager", "appconfigdata", "lambda"}
TIMESTAMP = 0


def main(packages: Path, code: Path, budget_bytes: int) -> int:
    """Prune, compile, weigh and stamp; 1 with the largest packages named when the budget is exceeded."""
    prune(packages)
    for folder in (packages, code):
        byte_compile(folder)
        stamp(folder)
    sizes = weigh(packages)
    total = sum(sizes.values()) + size_of(code)
    print(f"image: {total:,} bytes of dependencies and code, {budget_bytes:,} allowed", flush=True)
    if total > budget_bytes:
        largest = ", ".join(f"{name} {size:,}" for name, size in sorted(sizes.items(), key=lambda item: -item[1])[:6])
        print(
            f"error: dependencies and code: got {total:,} bytes, expected at most {budget_bytes:,}. Largest: {largest}."
            " Remove one from pyproject.toml, or add what is not served to UNUSED in layers/packaging/"
            "dependency_layer.py.",
            file=sys.stderr,
        )
        return 1
    return 0


def prune(packages: Path) -> None:
    """Remove distributions and parts that are not served, every package's tests, and pip's own records."""
    for info in sorted(packages.glob("*.dist-info")):
        name = re.sub(r"[_.]+", "-", info.name.split("-")[0]).lower()
        if name in UNUSED:
            _remove_distribution(packages, info)
        else:
            # Versions stay readable; records would differ with the machine that installed.
            for record in ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json"):
                (info / record).unlink(missing_ok=True)
    for part in UNUSED_PARTS:
        shutil.rmtree(packages / part, ignore_errors=True)
    for folder in sorted(packages.rglob("tests"), reverse=True):
        if folder.is_dir() and folder.parent != packages:
            shutil.rmtree(folder, ignore_errors=True)
    for service in (packages / "botocore" / "data").glob("*/"):
        if service.is_dir() and service.name not in AWS_SERVICES:
            shutil.rmtree(service)
    shutil.rmtree(packages / "bin", ignore_errors=True)
    for pattern in ("*.pyi", "*.pxd", "*.a", "*.h"):
        for path in sorted(packages.rglob(pattern)):
            path.unlink()


def _remove_distribution(packages: Path, info: Path) -> None:
    lines = (info / "RECORD").read_text(encoding="utf-8").splitlines()
    names = {Path(line.split(",")[0]).parts[0] for line in lines if not line.startswith("..")}
    for name in names:
        path = packages / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def byte_compile(folder: Path) -> None:
    """Compile every module with the hash of its source, unchecked: no file time is in it, and none is read at start."""
    for cache in sorted(folder.rglob("__pycache__")):
        shutil.rmtree(cache)
    # Optimization stays off: assertions are invariants here. One worker, so that equal sources give equal bytes.
    compileall.compile_dir(
        folder,
        quiet=2,
        workers=1,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        stripdir=str(folder),
    )


def stamp(folder: Path) -> None:
    """One time and one set of modes for everything below, whatever unpacked it."""
    for path in sorted([folder, *folder.rglob("*")]):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.suffix == ".sh" else 0o644)
        os.utime(path, (TIMESTAMP, TIMESTAMP), follow_symlinks=False)


def weigh(packages: Path) -> dict[str, int]:
    """Bytes of every top-level package."""
    return {path.name: size_of(path) for path in packages.iterdir()}


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below."""
    if path.is_file():
        return path.stat().st_size
    return sum(file.lstat().st_size for file in path.rglob("*") if not file.is_dir())


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
