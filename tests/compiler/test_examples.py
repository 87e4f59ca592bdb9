"""Gate data as files hold it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from layers.catalogue import ModelSpec
from layers.compiler.examples import Example, load_examples
from layers.errors import CatalogueError


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


@pytest.mark.parametrize("task", ["rerank", "zero-shot-classification"])
def test_a_task_that_reads_pairs_is_judged_on_pairs_of_the_sample(task: str, tmp_path: Path) -> None:
    spec = ModelSpec.model_validate({"name": "tiny", "source": "tiny", "task": task})
    examples = load_examples(spec, tmp_path)
    for part in (examples.calibration, examples.judged):
        assert len(part) >= 50
        assert all(example.text and example.text_pair for example in part)
        assert len({example.text for example in part}) > len(part) * 0.9
    if task == "rerank":
        own = [_asked_of(example) for example in examples.judged]
        assert 0.4 < sum(own) / len(own) < 0.6
    else:
        for part in (examples.calibration, examples.judged):
            assert len({example.text_pair for example in part}) == 3


def _asked_of(example: Example) -> bool:
    """Whether the passage is of what the question names."""
    assert example.text_pair is not None
    return example.text_pair.partition(":")[0] in example.text


def test_data_of_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_bytes('{"text": "Müller"}\n'.encode("latin-1") * 9)
    spec = ModelSpec.model_validate(
        {"name": "tiny", "source": "tiny", "task": "fill-mask", "gate": {"data": "data.jsonl"}}
    )
    with pytest.raises(CatalogueError, match=r"^\[tiny.gate\] data: data.jsonl is not UTF-8"):
        load_examples(spec, tmp_path)
