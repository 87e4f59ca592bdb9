"""Encodings equal transformers', cut or whole; what cannot be encoded is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer

from layers.errors import ArtifactError, InputError
from layers.runtime.tokenizer import TextTokenizer
from tests.runtime.toy_artifact import TOKENIZER

TEXTS = [
    "",
    " ",
    "editor",
    "GNU Emacs is the extensible, self-documenting text editor (with modules).",
    "Müller's café \u4e2d\u6587 \U0001f600 e\u0301 \x00\ufeff",
    "[MASK] and [SEP] typed by hand",
    "a library to parse things " * 20,
]


@pytest.fixture(scope="module")
def reference() -> Any:
    return AutoTokenizer.from_pretrained(TOKENIZER.parent)


def load(max_tokens: int = 16, cache_bytes: int = 2**20) -> TextTokenizer:
    return TextTokenizer.load(TOKENIZER, max_tokens, cache_bytes)


@pytest.mark.parametrize("direction", ["right", "left"])
@pytest.mark.parametrize("max_tokens", [8, 9, 40, 256])
def test_texts_are_cut_as_transformers_cuts_them(reference: Any, max_tokens: int, direction: Any) -> None:
    tokenizer = load(max_tokens)
    reference.truncation_side = direction
    for text in TEXTS:
        expected = reference(text, truncation=True, max_length=max_tokens)
        whole = reference(text)
        encoding = tokenizer.encode(text, truncation_direction=direction)
        assert encoding.input_ids.tolist() == expected["input_ids"]
        assert encoding.truncated_tokens == len(whole["input_ids"]) - len(expected["input_ids"])


@pytest.mark.parametrize("direction", ["right", "left"])
@pytest.mark.parametrize("max_tokens", [8, 9, 40, 256])
def test_pairs_are_cut_as_transformers_cuts_them(reference: Any, max_tokens: int, direction: Any) -> None:
    tokenizer = load(max_tokens)
    reference.truncation_side = direction
    for text in TEXTS:
        for pair in TEXTS:
            expected = reference(
                text, pair, truncation="longest_first", max_length=max_tokens, return_token_type_ids=True
            )
            encoding = tokenizer.encode(text, pair or None, truncation_direction=direction)
            assert encoding.input_ids.tolist() == expected["input_ids"]
            assert encoding.token_type_ids.tolist() == expected["token_type_ids"]


@pytest.mark.parametrize("strategy", ["only_first", "only_second"])
def test_one_sequence_is_cut_when_asked(reference: Any, strategy: Any) -> None:
    reference.truncation_side = "right"
    texts = ("a library to parse things " * 4, "an editor " * 12)
    expected = reference(*texts, truncation=strategy, max_length=40)["input_ids"]
    assert load(40).encode(*texts, strategy=strategy).input_ids.tolist() == expected


@pytest.mark.parametrize("strategy", ["only_first", "only_second"])
def test_a_sequence_too_short_to_be_cut_is_refused(strategy: Any) -> None:
    texts = ("short", "long " * 40) if strategy == "only_first" else ("long " * 40, "short")
    with pytest.raises(InputError, match="cannot make it fit"):
        load(16).encode(*texts, strategy=strategy)


def test_padding_and_truncation_of_the_file_are_put_aside() -> None:
    assert '"Fixed": 160' in TOKENIZER.read_text()
    assert len(load(256).encode("editor")) == 3
    assert len(load(256).encode("editor " * 200)) == 202


def test_too_long_is_refused_when_it_may_not_be_cut() -> None:
    tokenizer = load(16)
    for _ in range(2):
        with pytest.raises(InputError, match="got 42 tokens, the model takes 16") as refusal:
            tokenizer.encode("editor " * 40, truncate=False)
        assert refusal.value.status == 422
    assert tokenizer.encode("editor " * 40).truncated_tokens == 26
    with pytest.raises(InputError, match="got 42 tokens, the model takes 16"):
        tokenizer.encode("editor " * 40, truncate=False)


@pytest.mark.parametrize("texts", [("\ud800",), ("fine", "half \udfff")])
def test_half_a_surrogate_pair_is_refused(texts: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="not valid Unicode") as refusal:
        load().encode(*texts)
    assert refusal.value.status == 422


def test_a_repeated_text_is_encoded_once() -> None:
    tokenizer = load()
    first = tokenizer.encode("an editor")
    assert tokenizer.encode("an editor") is first
    assert tokenizer.encode("an editor") is first
    report = tokenizer.cache_report()
    assert (report.hits, report.misses, report.entries) == (2, 1, 1)


def test_an_empty_second_text_makes_a_pair(reference: Any) -> None:
    expected = reference([("an editor", "")], return_token_type_ids=True)
    encoding = load().encode("an editor", "")
    assert encoding.input_ids.tolist() == expected["input_ids"][0]
    assert encoding.token_type_ids.tolist() == expected["token_type_ids"][0]
    cut = reference([("an editor " * 12, "")], truncation="only_first", max_length=10)["input_ids"][0]
    assert load(10).encode("an editor " * 12, "", strategy="only_first").input_ids.tolist() == cut


def test_options_that_change_the_encoding_are_kept_apart() -> None:
    tokenizer = load(8)
    text = "one two three four five six seven eight nine"
    right = tokenizer.encode(text)
    left = tokenizer.encode(text, truncation_direction="left")
    assert right.input_ids.tolist() != left.input_ids.tolist()


def test_the_cache_stays_within_its_bytes() -> None:
    tokenizer = load(cache_bytes=10_000)
    for number in range(200):
        tokenizer.encode(f"package number {number}")
    report = tokenizer.cache_report()
    assert 0 < report.entries < 20
    assert report.bytes <= 10_000


def test_cached_arrays_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="read-only"):
        load().encode("an editor").input_ids[0] = 0


def test_threads_get_what_one_thread_gets() -> None:
    texts = [f"package {number % 50} of many" for number in range(400)]
    alone = [load().encode(text).input_ids for text in texts]
    tokenizer = load(cache_bytes=20_000)
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda text: tokenizer.encode(text).input_ids, texts))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def test_encoding_starts_no_threads() -> None:
    count = "import os, sys; from pathlib import Path; from layers.runtime.tokenizer import TextTokenizer; " + (
        "tokenizer = TextTokenizer.load(Path(sys.argv[1]), 16); before = len(os.listdir('/proc/self/task')); "
        "tokenizer.encode('an editor'); print(len(os.listdir('/proc/self/task')) - before)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "TOKENIZERS_PARALLELISM"}
    command = [sys.executable, "-c", count, str(TOKENIZER)]
    output = subprocess.run(
        command, env=environment, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )
    assert output.stdout.strip() == "0"


def test_a_file_that_is_no_tokenizer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ArtifactError, match="not a tokenizer"):
        TextTokenizer.load(tmp_path / "tokenizer.json", 16)
