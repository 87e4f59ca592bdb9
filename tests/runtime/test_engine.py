"""Opening artifacts and running them: the right files, the right rows, nothing that is not finite."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from layers.artifact import TOKENIZER, Manifest, SessionSettings, record_file
from layers.errors import ArtifactError, ModelOutputError
from layers.runtime.alignment import Encoding
from layers.runtime.bucketed import WIDTHS, bucket
from layers.runtime.cpu import thread_count
from layers.runtime.device import CPU_PLACE
from layers.runtime.engine import Engine, open_session
from layers.runtime.tokenizer import TextTokenizer
from tests.runtime.toy_artifact import HIDDEN, Toy, write_toy

TEXTS = ["editor", "", "a library to parse things " * 9, "an editor for text", "networking tools", "a b c d e f g"]


class CountingSession:
    """Answers zeros, and remembers the shape of every run."""

    def __init__(self, shape: tuple[Any, ...] = ("batch", 4)) -> None:
        self.shapes: list[tuple[int, int]] = []
        self._outputs = [SimpleNamespace(name="logits", shape=list(shape))]

    def get_inputs(self) -> list[Any]:
        return [SimpleNamespace(name=name, shape=["batch", "sequence"]) for name in ("input_ids", "attention_mask")]

    def get_outputs(self) -> list[Any]:
        return self._outputs

    def run(self, names: list[str], feed: dict[str, Any]) -> list[Any]:
        assert names == ["logits"]
        assert set(feed) == {"input_ids", "attention_mask"}
        rows, columns = feed["input_ids"].shape
        self.shapes.append((rows, columns))
        return [np.zeros([{"batch": rows, "sequence": columns}.get(axis, axis) for axis in self._outputs[0].shape])]


def with_session(toy: Toy, session: Any, *, row_independent: bool = True) -> Engine:
    manifest = Manifest.read(toy.directory)
    variant = manifest.variants[0].model_copy(update={"row_independent": row_independent})
    tokenizer = TextTokenizer.load(toy.directory / TOKENIZER, manifest.limits.max_tokens)
    return Engine(manifest, variant, tokenizer, session, threads=1)


def copied(toy: Toy, tmp_path: Path) -> Path:
    return Path(shutil.copytree(toy.directory, tmp_path / "toy"))


def test_runs_on_a_processor_stay_small(toy: Toy) -> None:
    session = CountingSession()
    engine = with_session(toy, session)
    ids = np.ones(128, dtype=np.int64)
    engine.forward([Encoding(ids, np.zeros_like(ids), 0)] * 32)
    assert session.shapes == [(8, 128)] * 4


def test_buckets_change_no_answer(toy: Toy, engine: Engine) -> None:
    """Padded up to a bucket of rows and tokens, at one place in memory, texts are answered as they are without."""
    session = open_session(toy.directory / str(engine.variant.file), 1)
    bucketed = Engine(engine.manifest, engine.variant, engine.tokenizer, session, threads=1, place=CPU_PLACE)
    for texts in (TEXTS, TEXTS[:1], TEXTS[:5], TEXTS):
        encodings = [engine.tokenizer.encode(text) for text in texts]
        for outputs, expected in zip(bucketed.forward(encodings), engine.forward(encodings), strict=True):
            assert outputs.keys() == expected.keys()
            for name, array in outputs.items():
                np.testing.assert_allclose(array, expected[name], rtol=1e-5, atol=1e-6)


def test_buckets_of_an_encoder_keep_every_token(encoder: Toy) -> None:
    engine = Engine.load(encoder.directory, threads=1)
    session = open_session(encoder.directory / str(engine.variant.file), 1)
    bucketed = Engine(engine.manifest, engine.variant, engine.tokenizer, session, threads=1, place=CPU_PLACE)
    encodings = [engine.tokenizer.encode(text) for text in TEXTS]
    for outputs, encoding in zip(bucketed.forward(encodings), encodings, strict=True):
        assert outputs["last_hidden_state"].shape == (len(encoding), HIDDEN)
    expected = engine.forward(encodings)
    answers = bucketed.forward(encodings, ["last_hidden_state"])
    for answer, plain in zip(answers, expected, strict=True):
        np.testing.assert_allclose(answer["last_hidden_state"], plain["last_hidden_state"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("count", "expected"), [(1, 16), (16, 16), (17, 32), (129, 160), (300, 320), (513, 1024)])
def test_buckets_grow_with_what_they_hold(count: int, expected: int) -> None:
    assert bucket(count, WIDTHS) == expected


def test_answers_are_the_graphs(toy: Toy, engine: Engine) -> None:
    for text in TEXTS:
        encoding = engine.tokenizer.encode(text)
        [outputs] = engine.forward([encoding])
        expected = toy.vector(encoding.input_ids, encoding.token_type_ids) @ toy.head
        np.testing.assert_allclose(outputs["logits"], expected, rtol=1e-5, atol=1e-5)


def test_in_company_as_alone_and_in_order(engine: Engine) -> None:
    encodings = [engine.tokenizer.encode(text) for text in TEXTS]
    together = engine.forward(encodings)
    for encoding, outputs in zip(encodings, together, strict=True):
        [alone] = engine.forward([encoding])
        np.testing.assert_allclose(outputs["logits"], alone["logits"], rtol=1e-6, atol=1e-6)


def test_padding_is_cut_off_token_outputs(encoder: Toy) -> None:
    engine = Engine.load(encoder.directory, threads=1)
    encodings = [engine.tokenizer.encode(text) for text in TEXTS]
    for encoding, outputs in zip(encodings, engine.forward(encodings), strict=True):
        assert outputs["last_hidden_state"].shape == (len(encoding), HIDDEN)
        assert outputs["sentence_embedding"].shape == (HIDDEN,)
        expected = encoder.table[encoding.input_ids] + encoder.types[encoding.token_type_ids]
        np.testing.assert_allclose(outputs["last_hidden_state"], expected, rtol=1e-6)


def test_labels_are_not_taken_for_tokens(toy: Toy) -> None:
    engine = with_session(toy, CountingSession(("batch", 4)))
    encodings = [engine.tokenizer.encode("two words"), engine.tokenizer.encode("one")]
    assert [len(encoding) for encoding in encodings] == [4, 3]
    assert [outputs["logits"].shape for outputs in engine.forward(encodings)] == [(4,), (4,)]


def test_only_the_outputs_asked_for_come_back(encoder: Toy) -> None:
    engine = Engine.load(encoder.directory, threads=1)
    [outputs] = engine.forward([engine.tokenizer.encode("an editor")], ["sentence_embedding"])
    assert set(outputs) == {"sentence_embedding"}


def test_texts_of_a_length_share_a_run(toy: Toy) -> None:
    session = CountingSession()
    engine = with_session(toy, session)
    engine.forward([engine.tokenizer.encode(text) for text in ("editor", "tools", "editor " * 25, "python")])
    assert session.shapes == [(1, 27), (3, 3)]


def test_rows_that_depend_on_each_other_run_alone(toy: Toy) -> None:
    session = CountingSession()
    engine = with_session(toy, session, row_independent=False)
    engine.forward([engine.tokenizer.encode(text) for text in ("editor", "tools", "python")])
    assert session.shapes == [(1, 3)] * 3


def test_no_texts_are_no_runs(engine: Engine) -> None:
    assert engine.forward([]) == []


def test_warming_up_leaves_the_cache_alone(engine: Engine) -> None:
    engine.warm_up()
    report = engine.tokenizer.cache_report()
    assert (report.hits, report.misses, report.entries) == (0, 0, 0)


@pytest.mark.parametrize("bias", [float("nan"), float("inf")])
def test_an_answer_that_is_none_is_an_error(tmp_path: Path, bias: float) -> None:
    engine = Engine.load(write_toy(tmp_path / "broken", name="broken", bias=bias).directory, threads=1)
    with pytest.raises(ModelOutputError, match="broken: logits of variant fp32 is not finite"):
        engine.forward([engine.tokenizer.encode("an editor")])


@pytest.mark.parametrize("name", ["model.fp32.onnx", "tokenizer.json"])
def test_an_altered_file_is_refused(toy: Toy, tmp_path: Path, name: str) -> None:
    directory = copied(toy, tmp_path)
    content = bytearray((directory / name).read_bytes())
    content[len(content) // 2] ^= 1
    (directory / name).write_bytes(content)
    with pytest.raises(ArtifactError, match=f"toy: {name} does not match"):
        Engine.load(directory)


@pytest.mark.parametrize("name", ["model.fp32.onnx", "tokenizer.json"])
def test_a_missing_file_is_refused(toy: Toy, tmp_path: Path, name: str) -> None:
    directory = copied(toy, tmp_path)
    (directory / name).unlink()
    with pytest.raises(ArtifactError, match=f"toy: {name} is missing"):
        Engine.load(directory)


def test_a_graph_that_does_not_open_is_refused(toy: Toy, tmp_path: Path) -> None:
    directory = copied(toy, tmp_path)
    manifest = Manifest.read(directory)
    (directory / "model.fp32.onnx").write_bytes(b"no graph")
    files = {**manifest.files, "model.fp32.onnx": record_file(directory / "model.fp32.onnx")}
    manifest.model_copy(update={"files": files}).write(directory)
    with pytest.raises(ArtifactError, match="onnxruntime cannot open it"):
        Engine.load(directory)


def test_an_unknown_variant_is_refused_by_name(toy: Toy) -> None:
    with pytest.raises(ArtifactError, match="no variant 'int8'; the manifest has fp32"):
        Engine.load(toy.directory, variant="int8")


def test_a_variant_that_was_not_shipped_is_refused(toy: Toy, tmp_path: Path) -> None:
    directory = copied(toy, tmp_path)
    manifest = Manifest.read(directory)
    unshipped = manifest.variants[0].model_copy(update={"file": None})
    manifest.model_copy(update={"variants": (unshipped,)}).write(directory)
    with pytest.raises(ArtifactError, match="'fp32' was reported but not shipped"):
        Engine.load(directory)


def test_an_artifact_for_another_machine_is_refused(toy: Toy, tmp_path: Path) -> None:
    directory = copied(toy, tmp_path)
    Manifest.read(directory).model_copy(update={"chosen": {}}).write(directory)
    with pytest.raises(ArtifactError, match="this machine is"):
        Engine.load(directory)


def asking_for(toy: Toy, directory: Path, settings: SessionSettings) -> Path:
    """A copy whose variant was found to run best with these settings."""
    manifest = Manifest.read(toy.directory)
    [variant] = manifest.variants
    shutil.copytree(toy.directory, directory)
    asking = variant.model_copy(update={"session": settings})
    manifest.model_copy(update={"variants": (asking,)}).write(directory)
    return directory


def test_a_variant_runs_with_what_the_build_found(toy: Toy, tmp_path: Path) -> None:
    calm = asking_for(toy, tmp_path / "calm", SessionSettings(threads=1, spinning=False))
    found, plain = Engine.load(calm), Engine.load(toy.directory)
    assert (found.threads, found.spinning) == (1, False)
    assert (plain.threads, plain.spinning) == (thread_count(), True)


def test_what_was_asked_for_comes_before_what_the_build_found(toy: Toy, tmp_path: Path) -> None:
    calm = asking_for(toy, tmp_path / "calm", SessionSettings(threads=1, spinning=False))
    asked = Engine.load(calm, threads=3, spinning=True)
    assert (asked.threads, asked.spinning) == (3, True)


def test_threads_that_may_not_wait_awake_are_told_so(toy: Toy, engine: Engine) -> None:
    path, key = toy.directory / str(engine.variant.file), "session.intra_op.allow_spinning"
    told = open_session(path, 2, spinning=False).get_session_options()
    assert told.get_session_config_entry(key) == "0"
    with pytest.raises(RuntimeError):
        open_session(path, 2).get_session_options().get_session_config_entry(key)
