"""generation.json from what a checkpoint says: generation_config.json, its tokenizer, and its architecture."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from layers.compiler.generative_recipe import TRAINED_TOKENS, GenerativeRecipe
from layers.errors import UnsupportedError
from layers.generation import Generation, GenerationDefaults

# What generate() would do otherwise for these, and no loop here does, with the values that ask for nothing.
UNWRITTEN: Mapping[str, tuple[Any, ...]] = {
    "begin_suppress_tokens": ([],),
    "constraints": ([],),
    "diversity_penalty": (0,),
    "dola_layers": (),
    "encoder_no_repeat_ngram_size": (0,),
    "encoder_repetition_penalty": (1,),
    "epsilon_cutoff": (0, 1),
    "eta_cutoff": (0, 1),
    "exponential_decay_length_penalty": (),
    "force_words_ids": ([],),
    "guidance_scale": (1,),
    "num_beam_groups": (0, 1),
    "penalty_alpha": (0,),
    "sequence_bias": ([], {}),
    "stop_strings": ([], ""),
    "token_healing": (False,),
    "top_h": (),
    "watermarking_config": (),
}
# NLLB's tokenizer lists its languages nowhere but among its tokens.
NLLB_CODE = re.compile(r"[a-z]{3}_[A-Z][a-z]{3}")


def describe_generation(recipe: GenerativeRecipe, tokenizer: Any, tokenizer_max_tokens: int | None) -> Generation:
    """Everything a loop needs to know. `tokenizer` is transformers' own.

    Raises UnsupportedError for a default of the checkpoint that no loop follows.
    """
    stated = _generation_config(recipe)
    _refuse_unwritten(stated, recipe.checkpoint.title)
    config = recipe.config
    limit = recipe.architecture.max_tokens(config) or tokenizer_max_tokens or TRAINED_TOKENS
    paired = recipe.kind == "encoder-decoder"
    source_limits = [each for each in (recipe.max_tokens, tokenizer_max_tokens) if each]
    return Generation(
        kind=recipe.kind,
        vocabulary=_written_vocabulary(config),
        max_tokens=max(limit, TRAINED_TOKENS) if recipe.architecture.max_tokens(config) is None else limit,
        source_max_tokens=min(source_limits, default=TRAINED_TOKENS) if paired else None,
        cache=recipe.cache,
        bos_token_id=_first(stated.get("bos_token_id"), tokenizer.bos_token_id),
        eos_token_ids=_many(_first(stated.get("eos_token_id"), config.get("eos_token_id"), tokenizer.eos_token_id)),
        pad_token_id=_first(stated.get("pad_token_id"), config.get("pad_token_id"), tokenizer.pad_token_id),
        decoder_start_token_id=_first(
            stated.get("decoder_start_token_id"), config.get("decoder_start_token_id"), stated.get("bos_token_id")
        )
        if paired
        else None,
        special_token_ids=tuple(sorted(set(_special(tokenizer)))),
        special_tokens={name: token for name, token in tokenizer.special_tokens_map.items() if isinstance(token, str)},
        chat_template=_chat_template(tokenizer),
        prefixes=dict(language_prefixes(tokenizer)),
        task_prefixes={
            task: params["prefix"]
            for task, params in (config.get("task_specific_params") or {}).items()
            if params.get("prefix")
        },
        defaults=_defaults(stated),
    )


def _written_vocabulary(config: Mapping[str, Any]) -> int:
    """How many tokens a step's logits are of: Marian's decoder may have a vocabulary of its own."""
    shared = config.get("share_encoder_decoder_embeddings", True)
    return int(config["vocab_size"] if shared else config.get("decoder_vocab_size") or config["vocab_size"])


def _generation_config(recipe: GenerativeRecipe) -> dict[str, Any]:
    """generation_config.json, or what transformers takes from config.json where there is none."""
    from transformers import AutoConfig, GenerationConfig

    directory = recipe.checkpoint.directory
    if (directory / "generation_config.json").is_file():
        stated = GenerationConfig.from_pretrained(directory)
    else:
        stated = GenerationConfig.from_model_config(AutoConfig.from_pretrained(directory))
    return {name: value for name, value in stated.to_dict().items() if value is not None}


def _refuse_unwritten(stated: Mapping[str, Any], title: str) -> None:
    for name, neutral in UNWRITTEN.items():
        if name in stated and stated[name] not in neutral:
            raise UnsupportedError(
                f"{name} of generation_config.json, for {title}: got {stated[name]!r}, expected none. Texts would "
                "not be those of generate(): build a copy of the checkpoint that does not state it, or add it to "
                "layers/runtime/generation/penalties.py."
            )


def _defaults(stated: dict[str, Any]) -> GenerationDefaults:
    known = {name: stated[name] for name in GenerationDefaults.model_fields if name in stated}
    for name in ("forced_bos_token_id", "forced_eos_token_id"):
        if isinstance(known.get(name), list):
            known[name] = known[name][0]
    return GenerationDefaults.model_validate(known)


def _special(tokenizer: Any) -> Iterator[int]:
    yield from tokenizer.all_special_ids
    yield from (index for index, token in tokenizer.added_tokens_decoder.items() if token.special)


def _chat_template(tokenizer: Any) -> str | None:
    template = getattr(tokenizer, "chat_template", None)
    if isinstance(template, dict):
        template = template.get("default")
    return template


def language_prefixes(tokenizer: Any) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Tokens before the text of each language, for tokenizers that switch (mBART, NLLB, M2M100).

    The first mBART puts its language after the text, and so has no prefix to give.
    """
    if not hasattr(tokenizer, "set_src_lang_special_tokens"):
        return
    codes = getattr(tokenizer, "lang_code_to_id", None) or [
        token for token in tokenizer.get_vocab() if NLLB_CODE.fullmatch(token)
    ]
    own = tokenizer.src_lang
    for code in codes:
        tokenizer.src_lang = code
        if source := tuple(tokenizer.prefix_tokens):
            yield f"source:{code}", source
        tokenizer.set_tgt_lang_special_tokens(code)
        if target := tuple(tokenizer.prefix_tokens):
            yield f"target:{code}", target
    tokenizer.src_lang = own


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _many(value: Any) -> tuple[int, ...]:
    if value is None:
        return ()
    return tuple(value) if isinstance(value, list | tuple) else (value,)
