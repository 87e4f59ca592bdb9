"""Tiny random checkpoints of models that write text, and the unmodified transformers model they are compared with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import AutoConfig, PreTrainedModel

from tests.compiler.checkpoints import PAD, VOCABULARY, randomize
from tests.compiler.texts import Ids

POSITIONS = 83
NEW_TOKENS = 24
# What the likeliest token must be ahead of the next by, as a share of the logits' scale: ties would decide nothing.
APART = 3e-4
SEEDS = 20
# Features of the smallest checkpoints, whose weights are drawn with a deviation of 0.2.
WIDTH = 36

LLAMA_SIZES: dict[str, Any] = {
    "hidden_size": 36,
    "num_attention_heads": 3,
    "num_hidden_layers": 4,
    "intermediate_size": 53,
    "max_position_embeddings": POSITIONS,
}
DECODER_SIZES: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 36, "n_head": 3, "n_layer": 4, "n_positions": POSITIONS},
    "gpt_neo": {
        "hidden_size": 36,
        "num_heads": 3,
        "num_layers": 4,
        "attention_types": [[["global", "local"], 2]],
        "window_size": 9,
        "max_position_embeddings": POSITIONS,
    },
    # A quarter of 12 is 3, rounded down to pairs: 12 * 0.34 turns 4.
    "gpt_neox": {**LLAMA_SIZES, "rotary_pct": 0.34},
    "opt": {
        "hidden_size": 36,
        "num_attention_heads": 3,
        "num_hidden_layers": 4,
        "ffn_dim": 53,
        "max_position_embeddings": POSITIONS,
    },
    "bloom": {"hidden_size": 36, "n_head": 3, "n_layer": 4},
    "llama": {**LLAMA_SIZES, "num_key_value_heads": 3},
    "mistral": {**LLAMA_SIZES, "num_key_value_heads": 1, "sliding_window": 11},
    "qwen2": {**LLAMA_SIZES, "num_key_value_heads": 1},
    "qwen3": {**LLAMA_SIZES, "num_key_value_heads": 1, "head_dim": 12},
    "gemma": {**LLAMA_SIZES, "num_key_value_heads": 1, "head_dim": 12},
    "gemma2": {
        **LLAMA_SIZES,
        "num_key_value_heads": 1,
        "head_dim": 12,
        "query_pre_attn_scalar": 17,
        "sliding_window": 7,
        "attn_logit_softcapping": 5.0,
        "final_logit_softcapping": 3.0,
    },
    "phi3": {**LLAMA_SIZES, "num_key_value_heads": 1},
    "smollm3": {**LLAMA_SIZES, "num_key_value_heads": 1},
}
T5_SIZES: dict[str, Any] = {
    "d_model": 36,
    "d_kv": 12,
    "d_ff": 53,
    # Never fewer than the decoder's: transformers 5.23 sizes the decoder's cache by the encoder.
    "num_layers": 4,
    "num_decoder_layers": 3,
    "num_heads": 3,
    "decoder_start_token_id": 2,
    # Distances of a short test reach the logarithmic buckets and the last one.
    "relative_attention_num_buckets": 12,
    "relative_attention_max_distance": 19,
}
BART_SIZES: dict[str, Any] = {
    "d_model": 36,
    "encoder_layers": 3,
    "decoder_layers": 4,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 3,
    "encoder_ffn_dim": 53,
    "decoder_ffn_dim": 47,
    "max_position_embeddings": POSITIONS,
    "decoder_start_token_id": 2,
    "forced_eos_token_id": None,
}
SEQ2SEQ_SIZES: dict[str, dict[str, Any]] = {
    "t5": T5_SIZES,
    "mt5": {**T5_SIZES, "feed_forward_proj": "gated-gelu"},
    "bart": BART_SIZES,
    "mbart": BART_SIZES,
    "marian": {**BART_SIZES, "scale_embedding": True, "activation_function": "swish"},
    "pegasus": {**BART_SIZES, "scale_embedding": True, "activation_function": "relu"},
    "m2m_100": {**BART_SIZES, "scale_embedding": True},
}
SIZES = {**DECODER_SIZES, **SEQ2SEQ_SIZES}


@dataclass(frozen=True)
class Writer:
    """One checkpoint: its family and what its configuration changes."""

    family: str
    name: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    dtype: torch.dtype = torch.float32

    @property
    def auto_class(self) -> Any:
        return transformers.AutoModelForSeq2SeqLM if self.family in SEQ2SEQ_SIZES else transformers.AutoModelForCausalLM

    @property
    def task(self) -> str:
        return "text2text-generation" if self.family in SEQ2SEQ_SIZES else "text-generation"

    def __str__(self) -> str:
        return f"{self.family}-{self.name}" if self.name else self.family


def write_generator(case: Writer, directory: Path) -> Path:
    """Save `case` with every parameter random."""
    directory.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(len(str(case)))
    tokens = {"pad_token_id": PAD, "bos_token_id": 2, "eos_token_id": 3}
    config = AutoConfig.for_model(
        case.family, **{"vocab_size": VOCABULARY, **tokens, **SIZES[case.family], **case.options}
    )
    model = case.auto_class.from_config(config)
    randomize(model)
    temper(model)
    if hasattr(model, "final_logits_bias"):
        model.final_logits_bias.normal_(0, 0.3)
    model.to(case.dtype).save_pretrained(directory)
    return directory


def temper(model: PreTrainedModel) -> None:
    """Narrow what is wider than 36 features: at 160 the reference itself was off by 1e-4 of its float64 self.

    T5 does not scale its scores; its queries are small instead.
    """
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 2:
                parameter.mul_(min(1.0, (WIDTH / min(parameter.shape)) ** 0.5))
            if name.endswith("Attention.q.weight"):
                parameter.mul_(model.config.d_kv**-0.5)


def reference_of(case: Writer, directory: Path) -> PreTrainedModel:
    """The unmodified model in float32; it never ends by itself."""
    model, report = case.auto_class.from_pretrained(
        directory, dtype=torch.float32, output_loading_info=True, attn_implementation="eager"
    )
    assert not report["missing_keys"]
    model.generation_config.eos_token_id = None
    model.generation_config.forced_eos_token_id = None
    return model.eval()


def prompt(length: int, seed: int = 0) -> Ids:
    """Random tokens, none of them special."""
    return np.random.default_rng(1000 * seed + length).integers(PAD + 3, VOCABULARY, length)


def left_padded(rows: Sequence[Ids]) -> dict[str, torch.Tensor]:
    """The form in which transformers takes prompts of different lengths."""
    width = max(len(row) for row in rows)
    ids = np.full((len(rows), width), PAD, np.int64)
    mask = np.zeros_like(ids)
    for index, row in enumerate(rows):
        ids[index, width - len(row) :] = row
        mask[index, width - len(row) :] = 1
    return {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}


def greedy_reference(model: PreTrainedModel, feeds: dict[str, torch.Tensor]) -> tuple[Ids, bool]:
    """NEW_TOKENS tokens a row, and whether the top two logits of every step are apart."""
    with torch.inference_mode():
        answer = model.generate(
            **feeds,
            do_sample=False,
            num_beams=1,
            max_new_tokens=NEW_TOKENS,
            min_new_tokens=NEW_TOKENS,
            pad_token_id=PAD,
            output_logits=True,
            return_dict_in_generate=True,
        )
    best = torch.stack([logits.topk(2, dim=-1).values for logits in answer.logits])
    apart = bool(((best[..., 0] - best[..., 1]) > APART * best[..., 0].abs()).all())
    return np.asarray(answer.sequences[:, -NEW_TOKENS:].numpy(), np.int64), apart


def decisive_prompts(
    model: PreTrainedModel, lengths: Sequence[int], feeds_of: Callable[[Sequence[Ids]], dict[str, torch.Tensor]]
) -> tuple[list[Ids], Ids]:
    """A prompt of each length whose greedy tokens no tie decides, and those tokens [rows, NEW_TOKENS]."""
    rows, tokens = [], []
    for length in lengths:
        for seed in range(1, SEEDS):
            row = prompt(length, seed)
            answer, apart = greedy_reference(model, feeds_of([row]))
            if apart:
                break
        assert apart, f"every prompt of {length} tokens leads to a tie; widen the weights"
        rows.append(row)
        tokens.append(answer[0])
    return rows, np.stack(tokens)
