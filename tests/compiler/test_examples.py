"""Gate data as files hold it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from layers.catalogue import ModelSpec
from layers.compiler.examples import load_examples


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_only_line_ends_part_examples(end: str, tmp_path: Path) -> None:
    """JSON allows other separators inside a string as they are."""
    texts = [f"{number} one\u2028two\u0085three" for number in range(9)]
    lines = [json.dumps({"text": text}, ensure_ascii=False) for text in texts]
    (tmp_path / "data.jsonl").write_text(end.join([*lines, ""]), encoding="utf-8", newline="")
    spec = ModelSpec.model_validate(
        {"name": "tiny", "source": "tiny", "task": "fill-mask", "gate": {"data": "data.jsonl"}}
    )
    examples = load_examples(spec, tmp_path)
    assert sorted(example.text for example in (*examples.calibration, *examples.judged)) == texts
