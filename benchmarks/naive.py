"""The deployments on torch that the ledger starts from: a FastAPI application around transformers, float32.

Each naive choice is one that deployments make and has a switch of its own. Classification and text generation go
through transformers.pipeline; transformers 5 has no pipeline for summaries, and its feature extraction pools nothing,
so those two call the model as model cards show it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request

from benchmarks.ledger_workloads import Workload

Answer = Callable[[str], Any]


@dataclass(frozen=True)
class Choices:
    """What a deployment does for every request. The defaults are the naive ones."""

    python_tokenizer: bool = True
    """transformers' own BERT tokenizer in Python, as `use_fast=False` gave it; other models have none in release 5."""
    reload_tokenizer: bool = True
    """The tokenizer is loaded inside the function that answers."""
    pad_to_longest: bool = True
    """Texts are padded to the longest that the model takes (`padding="max_length"`)."""
    kv_cache: bool = False
    """Keys and values of earlier tokens are kept while a text is written."""
    dtype: str = "float32"
    traced: bool = False
    """A graph that torch.onnx traced, in onnxruntime without fusions, in the model's place."""
    threads: int | None = None
    """None: as many as torch finds."""


def application(workload: Workload, choices: Choices) -> Any:
    """An ASGI application with POST /."""
    answer = answerer(workload, choices)
    app = FastAPI()

    @app.post("/")
    async def predict(request: Request) -> Any:
        return answer(json.loads(await request.body())["inputs"])

    return app


def answerer(workload: Workload, choices: Choices) -> Answer:
    """A function from a text to what the response says."""
    import torch

    if choices.threads is not None:
        torch.set_num_threads(choices.threads)
    if choices.traced:
        return _from_graph(workload, choices)
    ways = {
        "text-classification": _classify,
        "feature-extraction": _embed,
        "text-generation": _write,
        "summarization": _summarize,
    }
    return ways[workload.task](workload, choices)


def _tokenizers(workload: Workload, choices: Choices) -> Callable[[], Any]:
    """Gives the tokenizer for a request: a new one each time, or the one that was kept."""
    from transformers import AutoTokenizer
    from transformers.models.bert.tokenization_bert_legacy import BertTokenizerLegacy

    def load() -> Any:
        if not (choices.python_tokenizer and workload.vocabulary):
            return AutoTokenizer.from_pretrained(workload.checkpoint)
        return BertTokenizerLegacy(str(workload.vocabulary), model_max_length=workload.longest)

    kept = load()
    return load if choices.reload_tokenizer else lambda: kept


def _padding(workload: Workload, choices: Choices) -> dict[str, Any]:
    cut = {"truncation": True, "max_length": workload.longest}
    return {**cut, "padding": "max_length" if choices.pad_to_longest else False}


def _classify(workload: Workload, choices: Choices) -> Answer:
    return _piped(workload, choices, top_k=5, **_padding(workload, choices))


def _write(workload: Workload, choices: Choices) -> Answer:
    own = {"use_cache": choices.kv_cache, "pad_token_id": 0, "return_full_text": False}
    return _piped(workload, choices, **own, **workload.parameters)


def _piped(workload: Workload, choices: Choices, **options: Any) -> Answer:
    """transformers.pipeline, called with these options."""
    import transformers

    tokenizers = _tokenizers(workload, choices)
    pipe = transformers.pipeline(
        workload.task, model=str(workload.checkpoint), tokenizer=tokenizers(), dtype=choices.dtype, device="cpu"
    )

    def answer(text: str) -> Any:
        pipe.tokenizer = tokenizers()
        return pipe(text, **options)

    return answer


def _embed(workload: Workload, choices: Choices) -> Answer:
    import torch
    import transformers

    tokenizers = _tokenizers(workload, choices)
    model = _model(transformers.AutoModel, workload, choices)

    def answer(text: str) -> Any:
        feed = tokenizers()(text, return_tensors="pt", **_padding(workload, choices))
        with torch.inference_mode():
            hidden = model(**feed).last_hidden_state[0].float().numpy()
        return _pooled(hidden, feed["attention_mask"][0].numpy())

    return answer


def _summarize(workload: Workload, choices: Choices) -> Answer:
    import torch
    import transformers

    tokenizers = _tokenizers(workload, choices)
    model = _model(transformers.AutoModelForSeq2SeqLM, workload, choices)

    def answer(text: str) -> Any:
        tokenizer = tokenizers()
        feed = tokenizer(text, return_tensors="pt")
        with torch.inference_mode():
            written = model.generate(
                feed["input_ids"],
                attention_mask=feed["attention_mask"],
                use_cache=choices.kv_cache,
                **workload.parameters,
            )
        return [{"summary_text": tokenizer.decode(written[0], skip_special_tokens=True)}]

    return answer


def _from_graph(workload: Workload, choices: Choices) -> Answer:
    """The traced graph behind the same application: onnxruntime's basic optimizations, which fuse no layer."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.intra_op_num_threads = choices.threads or 0
    session = onnxruntime.InferenceSession(workload.traced, options, providers=["CPUExecutionProvider"])
    tokenizers = _tokenizers(workload, choices)
    labels = json.loads((Path(workload.checkpoint) / "config.json").read_text(encoding="utf-8")).get("id2label", {})

    def answer(text: str) -> Any:
        feed = tokenizers()(text, return_tensors="np", **_padding(workload, choices))
        names = ("input_ids", "attention_mask")
        [output] = session.run(None, {name: feed[name].astype("int64") for name in names})
        return (
            _best(output[0], labels)
            if labels and workload.task == "text-classification"
            else _pooled(output[0], feed["attention_mask"][0])
        )

    return answer


def _model(kind: Any, workload: Workload, choices: Choices) -> Any:
    import torch

    return kind.from_pretrained(workload.checkpoint, dtype=getattr(torch, choices.dtype)).eval()


def _best(logits: Any, labels: dict[str, str]) -> list[dict[str, Any]]:
    import numpy as np

    scores = np.exp(logits - logits.max())
    scores /= scores.sum()
    order = np.argsort(-scores)[:5]
    return [{"label": labels[str(index)], "score": float(scores[index])} for index in order]


def _pooled(hidden: Any, mask: Any) -> list[list[float]]:
    """Mean over real tokens, at length 1."""
    import numpy as np

    pooled = (hidden * mask[:, None]).sum(0) / mask.sum()
    return [(pooled / np.linalg.norm(pooled)).tolist()]
