"""LangChain's embeddings, through OpenAI's client and through Hugging Face's, and its texts from an endpoint."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from huggingface_hub import InferenceClient
from langchain_core.embeddings import Embeddings
from langchain_huggingface import HuggingFaceEndpoint, HuggingFaceEndpointEmbeddings
from langchain_openai import OpenAIEmbeddings
from pydantic import SecretStr

from layers.runtime.predictor import Predictor

TEXTS = [f"package {number} for text" for number in range(70)]


def through_openai(url: str) -> Embeddings:
    # Its own tokens are of a vocabulary that this model does not have.
    return OpenAIEmbeddings(
        model="sentences",
        base_url=f"{url}/v1",
        api_key=SecretStr("unused"),
        check_embedding_ctx_length=False,
        chunk_size=32,
    )


def through_hugging_face(url: str) -> Embeddings:
    # It takes no URL for a model; its client does.
    embeddings = HuggingFaceEndpointEmbeddings(model="org/sentences", huggingfacehub_api_token="unused")
    embeddings.client = InferenceClient(f"{url}/models/sentences", token="unused")
    return embeddings


@pytest.mark.parametrize(("connect", "count"), [(through_openai, 70), (through_hugging_face, 32)])
def test_documents_and_queries(url: str, models: dict[str, Predictor], connect: type[Embeddings], count: int) -> None:
    embeddings = connect(url)  # type: ignore[call-arg]
    expected = models["sentences"].predict(TEXTS).value
    np.testing.assert_allclose(embeddings.embed_documents(TEXTS[:count]), expected[:count], rtol=1e-5)
    np.testing.assert_allclose(embeddings.embed_query(TEXTS[0]), expected[0], rtol=1e-5)


def endpoint(url: str, **more: Any) -> HuggingFaceEndpoint:
    return HuggingFaceEndpoint(endpoint_url=url, max_new_tokens=6, **more)


@pytest.mark.parametrize("streaming", [False, True])
def test_texts_are_not_sampled_unless_that_is_asked_for(
    writer_url: str, models: dict[str, Predictor], streaming: bool
) -> None:
    def written(**parameters: Any) -> Any:
        wanted = {"max_new_tokens": 6, "return_full_text": False, **parameters}
        return models["writer"].predict("chess", wanted).value[0]["generated_text"]

    # It sends temperature, top_p and typical_p beside do_sample: false, whatever it is told.
    warm: dict[str, Any] = {"temperature": 8.0, "seed": 5}
    assert endpoint(writer_url, streaming=streaming, **warm).invoke("chess") == written()
    drawn = endpoint(writer_url, streaming=streaming, do_sample=True, **warm).invoke("chess")
    assert drawn == written(top_p=0.95, typical_p=0.95, **warm) != written()
