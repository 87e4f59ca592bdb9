"""What is read from sources of their use of a library, and how it is found in the library that is installed."""

from __future__ import annotations

from pathlib import Path

from upgrade.environment import LIBRARIES
from upgrade.surface import ABSENT, describe, uses_of

SOURCE = """
import json
import json.decoder as reading
import json.scanner
from json import loads as load

text = json.dumps({}, indent=1, shortest=True)
decoder = reading.JSONDecoder(strict=False, shortest=True)
decoder.raw_decode(text)
json.removed(load(text))
"""


def test_names_keywords_and_members_are_followed_from_imports(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "module.py").write_text(SOURCE, encoding="utf-8")
    found = describe(uses_of(("json",), ("code",), tmp_path))
    assert found["json.dumps"].startswith("(obj, *, skipkeys=False")
    assert found["json.removed"] == ABSENT
    assert found["json.decoder.JSONDecoder"] == f"{ABSENT}: takes no shortest"
    assert found["json.decoder.JSONDecoder.raw_decode"] == "(self, s, idx=0)"
    assert "json.decoder.JSONDecoder.decode" not in found
    assert found["json.loads"].startswith("(s, *, cls=None")


def test_the_libraries_that_are_pinned_have_all_that_is_used() -> None:
    found = describe(uses_of(LIBRARIES))
    assert {"onnxruntime.InferenceSession", "onnxruntime.InferenceSession.run_with_iobinding"} <= found.keys()
    assert {"tokenizers.Tokenizer.from_file", "transformers.AutoTokenizer"} <= found.keys()
    assert {name for name, signature in found.items() if signature.startswith(ABSENT)} == set()
