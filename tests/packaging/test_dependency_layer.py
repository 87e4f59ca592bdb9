"""The script that runs inside the build: prunes, compiles reproducibly, weighs."""

from __future__ import annotations

import hashlib
import struct
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "layers" / "packaging" / "dependency_layer.py"
# Bit 0: the pyc holds its source's hash and not its time; bit 1: the hash is checked at import.
UNCHECKED_HASH = 0b01


def write(path: Path, text: str = "VALUE = frozenset({'a', 'b', 'c'})\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def unpack(folder: Path) -> tuple[Path, Path]:
    """What pip and the context leave: packages and code."""
    packages, code = folder / "packages", folder / "code"
    write(packages / "kept" / "module.py")
    write(packages / "kept" / "tests" / "test_module.py")
    write(packages / "kept" / "module.pyi")
    write(packages / "kept-1.0.dist-info" / "METADATA", "Name: kept")
    write(packages / "kept-1.0.dist-info" / "INSTALLER", str(folder))
    write(packages / "hf_xet" / "__init__.py")
    write(packages / "hf_xet-1.8.0.dist-info" / "RECORD", "hf_xet/__init__.py,,\nhf_xet-1.8.0.dist-info/RECORD,,\n")
    write(packages / "botocore" / "data" / "s3" / "service.json")
    write(packages / "botocore" / "data" / "ec2" / "service.json")
    write(packages / "botocore" / "data" / "endpoints.json")
    write(packages / "bin" / "tool")
    write(code / "layers" / "served.py")
    return packages, code


def run(packages: Path, code: Path, budget: int = 10**6) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", str(SCRIPT), str(packages), str(code), str(budget)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_what_is_not_served_is_taken_out(tmp_path: Path) -> None:
    packages, code = unpack(tmp_path)
    finished = run(packages, code)
    assert finished.returncode == 0, finished.stderr
    left = {str(path.relative_to(packages)) for path in packages.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert left == {
        "kept/module.py",
        "kept-1.0.dist-info/METADATA",
        "botocore/data/s3/service.json",
        "botocore/data/endpoints.json",
    }
    assert "1,000,000 allowed" in finished.stdout


def test_equal_sources_give_equal_bytes_wherever_they_lie(tmp_path: Path) -> None:
    digests = []
    for folder in (tmp_path / "a", tmp_path / "b" / "deeper"):
        packages, code = unpack(folder)
        assert run(packages, code).returncode == 0
        state = [
            (
                str(path.relative_to(folder)),
                path.stat().st_mode,
                path.stat().st_mtime,
                path.is_file() and path.read_bytes(),
            )
            for path in sorted(folder.rglob("*"))
        ]
        digests.append(hashlib.sha256(repr(state).encode()).hexdigest())
    assert digests[0] == digests[1]


def test_modules_are_compiled_by_hash_and_not_by_time(tmp_path: Path) -> None:
    packages, code = unpack(tmp_path)
    run(packages, code)
    compiled = [*packages.rglob("*.pyc"), *code.rglob("*.pyc")]
    assert len(compiled) == 2
    assert {struct.unpack("<I", path.read_bytes()[4:8])[0] for path in compiled} == {UNCHECKED_HASH}


def test_over_the_budget_the_largest_are_named(tmp_path: Path) -> None:
    packages, code = unpack(tmp_path)
    write(packages / "huge" / "data.bin", "x" * 50_000)
    finished = run(packages, code, budget=20_000)
    assert finished.returncode == 1
    assert "expected at most 20,000. Largest: huge 50,000" in finished.stderr
