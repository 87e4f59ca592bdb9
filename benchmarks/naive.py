"""The out-of-the-box deployment that the ledger starts from: a FastAPI application around transformers on torch, fp32.

Each naive choice is one that deployments make, and has a switch of its own: the tokenizer loaded for every request,
texts padded to the longest that the model takes, generation without a cache, float32, threads as torch finds them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.ledger_workloads import Workload


@dataclass(frozen=True)
class Choices:
    """What a deployment does for every request. The defaults are the naive ones."""

    reload_tokenizer: bool = True
    pad_to_longest: bool = True
    kv_cache: bool = False
    dtype: str = "float32"


def application(workload: Workload, choices: Choices) -> Any:
    """An ASGI application with POST /."""
    from fastapi import FastAPI, Request

    answer = _answerer(workload, choices)
    app = FastAPI()

    @app.post("/")
    async def predict(request: Request) -> Any:
        return answer(json.loads(await request.body())["inputs"])

    return app


def _answerer(workload: Workload, choices: Choices) -> Callable[[str], Any]:
    import torch
    import transformers

    def load_tokenizer() -> Any:
        return transformers.AutoTokenizer.from_pretrained(workload.checkpoint)

    kinds = {
        "text-classification": transformers.AutoModelForSequenceClassification,
        "feature-extraction": transformers.AutoModel,
        "text-generation": transformers.AutoModelForCausalLM,
        "summarization": transformers.AutoModelForSeq2SeqLM,
    }
    model = kinds[workload.task].from_pretrained(workload.checkpoint, dtype=getattr(torch, choices.dtype)).eval()
    kept = load_tokenizer()
    longest = min(kept.model_max_length, getattr(model.config, "max_position_embeddings", 512))

    def answer(text: str) -> Any:
        tokenizer = load_tokenizer() if choices.reload_tokenizer else kept
        reads = workload.new_tokens is None
        padding = {"padding": "max_length", "max_length": longest} if choices.pad_to_longest and reads else {}
        feed = tokenizer(text, return_tensors="pt", truncation=reads, **padding)
        with torch.inference_mode():
            if not reads:
                count = workload.new_tokens
                written = model.generate(
                    feed["input_ids"],
                    attention_mask=feed["attention_mask"],
                    max_new_tokens=count,
                    min_new_tokens=count,
                    do_sample=False,
                    use_cache=choices.kv_cache,
                    pad_token_id=0,
                )
                return [{"text": tokenizer.decode(written[0], skip_special_tokens=True)}]
            outputs = model(**feed)
        if workload.task == "text-classification":
            scores = outputs.logits[0].float().softmax(-1)
            best = scores.topk(5)
            return [
                {"label": model.config.id2label[int(index)], "score": float(score)}
                for score, index in zip(best.values, best.indices, strict=True)
            ]
        mask = feed["attention_mask"][0, :, None]
        pooled = (outputs.last_hidden_state[0].float() * mask).sum(0) / mask.sum()
        return [(pooled / pooled.norm()).tolist()]

    return answer
