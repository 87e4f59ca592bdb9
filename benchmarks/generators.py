"""Writing 64 tokens: GPT-2 (124M) after 128 and 512 tokens; T5-small from 384, Marian from 64, greedy and by 4 beams.

Cases are MODEL PROMPT TOKENS BEAMS; the contest gives whole calls, and a token's time is the difference between a call
for 64 tokens and a call for one, over 63.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import generator_models as models
from benchmarks.contest import hold_between, serve

THREADS = 2
CASES = (
    "gpt2 128 1 1",
    "gpt2 128 64 1",
    "gpt2 512 1 1",
    "gpt2 512 64 1",
    "t5-small 384 64 1",
    "t5-small 384 64 4",
    "marian 64 64 1",
    "marian 64 64 4",
)
MODELS = ("gpt2", "t5-small", "marian")
# The token that a decoder begins with, where an encoder has read the text.
START = {"t5-small": 0, "marian": models.MARIAN_WORDS - 1}
ROUNDS = 5
Loaded = tuple[Callable[[str], Any], dict[str, Any]]


def parse(case: str) -> tuple[str, int, int, int]:
    """Model, prompt tokens, new tokens, beams."""
    name, *numbers = case.split()
    prompt, new, beams = (int(number) for number in numbers)
    return name, prompt, new, beams


def prompt_ids(length: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Token ids that are no special ones; the same for every contender."""
    return np.random.default_rng(0).integers(10, 8000, size=length).astype(np.int64)


def hundredfold() -> Loaded:
    """The artifacts' own loop; every call computes its whole prompt, and every token by itself.

    What random weights write repeats itself as no text does, so nothing is guessed from it.
    """
    from layers.runtime.generation.continuation import Prompt
    from layers.runtime.generation.engine import GenerationEngine
    from layers.runtime.generation.options import DecodingOptions

    engines = {
        name: GenerationEngine.load(models.ARTIFACTS / name, threads=THREADS, prefix_cache_bytes=0, lookup_tokens=0)
        for name in MODELS
    }

    def call(case: str) -> Any:
        name, prompt, new, beams = parse(case)
        ids = prompt_ids(prompt)
        given = Prompt(ids) if name == "gpt2" else Prompt(np.array([START[name]]), ids)
        options = DecodingOptions(max_new_tokens=new, num_beams=beams)
        return [event.token for event in engines[name].generate([given], [options])[0][0].events]

    return call, {name: engine.variant.name for name, engine in engines.items()}


def transformers_generate(dtype: str) -> Loaded:
    """transformers' generate on torch, keys and values kept; the ledger has what leaving that out costs."""
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

    torch.set_num_threads(THREADS)
    kinds = {name: AutoModelForSeq2SeqLM if name in START else AutoModelForCausalLM for name in MODELS}
    loaded = {
        name: kind.from_pretrained(models.CHECKPOINTS / name, dtype=getattr(torch, dtype)).eval()
        for name, kind in kinds.items()
    }

    def call(case: str) -> Any:
        name, prompt, new, beams = parse(case)
        ids = torch.from_numpy(prompt_ids(prompt))[None]
        with torch.inference_mode():
            return loaded[name].generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=new,
                min_new_tokens=new,
                do_sample=False,
                num_beams=beams,
                pad_token_id=0,
            )

    return call, {"torch": torch.__version__}


def ctranslate2_int8() -> Loaded:
    """CTranslate2's generator and translator, int8."""
    import ctranslate2
    from tokenizers import Tokenizer

    options = {"compute_type": "int8", "intra_threads": THREADS, "inter_threads": 1}
    generator = ctranslate2.Generator(str(models.CTRANSLATE2 / "gpt2"), **options)
    translators = {name: ctranslate2.Translator(str(models.CTRANSLATE2 / name), **options) for name in START}
    words = {name: Tokenizer.from_file(str(models.ARTIFACTS / name / "tokenizer.json")) for name in MODELS}

    def call(case: str) -> Any:
        name, prompt, new, beams = parse(case)
        tokens = [words[name].id_to_token(int(i)) for i in prompt_ids(prompt)]
        if name == "gpt2":
            return generator.generate_batch(
                [tokens],
                max_length=new,
                min_length=new,
                beam_size=beams,
                include_prompt_in_result=False,
                sampling_topk=1,
            )
        return translators[name].translate_batch(
            [tokens], max_decoding_length=new, min_decoding_length=new, beam_size=beams, max_input_length=0
        )

    return call, {"ctranslate2": ctranslate2.__version__}


CONTENDERS: dict[str, Callable[[], Loaded]] = {
    "transformers fp32": lambda: transformers_generate("float32"),
    "transformers bf16": lambda: transformers_generate("bfloat16"),
    "CTranslate2 int8": ctranslate2_int8,
    "hundredfold int8": hundredfold,
}


def run(say: Callable[..., None]) -> dict[str, Any]:
    """Prepare, hold the contest, give its standings."""
    for name in MODELS:
        models.prepare(name, say)
    return hold_between(CONTENDERS, __name__, CASES, THREADS, say, ROUNDS)


if __name__ == "__main__":
    serve(CONTENDERS, sys.argv[1], sys.argv[2:])
