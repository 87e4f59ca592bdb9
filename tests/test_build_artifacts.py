"""The build's command line: a model that cannot be built is named, and the others are built."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from layers.artifact import Manifest

ROOT = Path(__file__).resolve().parents[1]
SECTIONS = ROOT / "examples/models/debian-sections"


def test_an_error_of_the_machine_is_one_models(tmp_path: Path) -> None:
    table = f'source = "{SECTIONS}"\ntask = "text-classification"\nprecision = "fp32"\n'
    catalogue = tmp_path / "models.toml"
    catalogue.write_text(f"[blocked]\n{table}[sections]\n{table}", encoding="utf-8")
    output = tmp_path / "build"
    output.mkdir()
    (output / "blocked").write_text("a file where the artifact's directory should be", encoding="utf-8")
    command = [sys.executable, "build_artifacts.py", "--catalog", str(catalogue), "--output", str(output)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "error: blocked: not built: NotADirectoryError: " in done.stderr
    assert "Traceback" in done.stderr
    assert Manifest.read(output / "sections").name == "sections"
