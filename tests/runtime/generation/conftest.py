"""Generative artifacts that the tests of this folder open."""

from __future__ import annotations

import pytest

from layers.runtime.generation.engine import GenerationEngine
from tests.runtime.generation.toy_decoder import ToyDecoder, write_toy_decoder


@pytest.fixture(scope="session")
def writer(tmp_path_factory: pytest.TempPathFactory) -> ToyDecoder:
    """A decoder of 300 tokens at most, with debian-writer's tokenizer."""
    return write_toy_decoder(tmp_path_factory.mktemp("generation") / "writer")


@pytest.fixture(scope="session")
def rewriter(tmp_path_factory: pytest.TempPathFactory) -> ToyDecoder:
    """An encoder-decoder, with debian-summarizer's tokenizer."""
    return write_toy_decoder(
        tmp_path_factory.mktemp("generation") / "rewriter",
        name="toy-rewriter",
        task="summarization",
        tokenizer="debian-summarizer",
        eos_token_ids=(1,),
        task_prefixes={"summarization": "summarize: "},
    )


@pytest.fixture
def engine(writer: ToyDecoder) -> GenerationEngine:
    """The decoder, opened anew."""
    return GenerationEngine.load(writer.directory, threads=1)


@pytest.fixture
def encoder_decoder(rewriter: ToyDecoder) -> GenerationEngine:
    """The encoder-decoder, opened anew."""
    return GenerationEngine.load(rewriter.directory, threads=1)
