"""Contenders on a card, models that write: whole greedy calls, cases as in benchmarks/generators.py."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import gpu_models
from benchmarks.contest import serve
from benchmarks.generator_models import CHECKPOINTS
from benchmarks.generators import parse, prompt_ids

CASES = gpu_models.GENERATOR_CASES
Loaded = tuple[Callable[[str], Any], dict[str, Any]]


def hundredfold() -> Loaded:
    """The artifacts' own loop; every call computes its whole prompt."""
    from layers.runtime.generation.continuation import Prompt
    from layers.runtime.generation.engine import GenerationEngine
    from layers.runtime.generation.options import DecodingOptions

    engines = {name: GenerationEngine.load(gpu_models.ARTIFACTS / name) for name in gpu_models.WRITERS}

    def call(case: str) -> Any:
        name, prompt, new, beams = parse(case)
        ids = prompt_ids(prompt)
        given = Prompt(ids) if name == "gpt2" else Prompt(np.zeros(1, np.int64), ids)
        options = DecodingOptions(max_new_tokens=new, num_beams=beams)
        return [event.token for event in engines[name].generate([given], [options])[0][0].events]

    scores = engines["gpt2"].score(Prompt(gpu_models.token_ids(1, 128)[0]))
    variants = {name: engine.variant.name for name, engine in engines.items()}
    return call, {**variants, "from fp32": gpu_models.compare({"gpt2 scores": scores})}


def transformers_generate(dtype: str, **options: Any) -> Loaded:
    """transformers' generate on torch; a static cache lets it compile the step and record it."""
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

    kinds = {"gpt2": AutoModelForCausalLM, "t5-small": AutoModelForSeq2SeqLM}
    loaded = {
        name: kind.from_pretrained(CHECKPOINTS / name, dtype=getattr(torch, dtype)).to("cuda").eval()
        for name, kind in kinds.items()
    }

    def call(case: str) -> Any:
        name, prompt, new, beams = parse(case)
        ids = torch.from_numpy(prompt_ids(prompt))[None].to("cuda")
        with torch.inference_mode():
            written = loaded[name].generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=new,
                min_new_tokens=new,
                do_sample=False,
                num_beams=beams,
                pad_token_id=0,
                **options,
            )
        return written.cpu().numpy()

    with torch.inference_mode():
        ids = torch.from_numpy(gpu_models.token_ids(1, 128)).to("cuda")
        logits = torch.log_softmax(loaded["gpt2"](ids).logits[0, :-1].float(), -1)
        scores = logits.gather(1, ids[0, 1:, None])[:, 0].cpu().numpy()
    return call, {"torch": torch.__version__, "from fp32": gpu_models.compare({"gpt2 scores": scores})}


CONTENDERS: dict[str, Callable[[], Loaded]] = {
    "torch eager fp32": lambda: transformers_generate("float32"),
    "torch eager fp16": lambda: transformers_generate("float16"),
    "torch.compile fp16, static cache": lambda: transformers_generate("float16", cache_implementation="static"),
    "hundredfold": hundredfold,
}

if __name__ == "__main__":
    serve(CONTENDERS, sys.argv[1], sys.argv[2:])
