"""`generation.json`: what a generative artifact says beside its manifest, and the names its graphs are bound by.

The compiler writes it from the checkpoint's generation_config.json, tokenizer and architecture; the runtime reads it.

Graphs. `model.VARIANT.onnx` is the decoder, one graph for prompts and for later steps:

| input | type and shape | |
|---|---|---|
| input_ids | int64 [batch, sequence] | the new tokens, rows right-padded |
| lengths | int32 [batch] | valid tokens per row once these are in the cache: past + new |
| total_length | int32 [] | max(lengths) |
| logit_positions | int64 [batch, positions] | positions within `input_ids` whose logits are wanted |
| past_key_values.{i}.key, .value | float32 [batch, kv_heads, capacity, head_dim] | bound in place |
| cross.{i}.key, .value | float32 [batch, heads, source, head_dim] | encoder-decoders only |
| encoder_attention_mask | int32 [batch, source] | encoder-decoders only |

outputs: logits float32 [batch, positions, vocabulary]; present.{i}.key, .value, bound to the same memory as the past.
Several new tokens after a past are taken at batch 1 only; a batch starts from an empty cache (all of `sequence` new,
rows of any length) and then advances by one token a row. `encoder.VARIANT.onnx` takes input_ids and attention_mask,
int64 [batch, source], and gives cross.{i}.key and .value, computed once per request.

Graphs for a graphics card differ. Caches and cross keys and values are float16 or bfloat16, as the graph's inputs say.
`logit_rows` int64 [batch, positions] counts rows over the whole batch, row * sequence + position, and replaces
logit_positions. Where the model has positions of its own, `position_ids` int64 [batch, sequence] is an input.
total_length may be the capacity after the first tokens. Two outputs more: best int64 [batch, positions], the likeliest
token, and best_score, its logit.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, ValidationError

from layers.artifact import Record
from layers.errors import ArtifactError

GENERATION = "generation.json"
# A fact in a graph's metadata: its prompts are not to be padded.
EXACT_PROMPTS = "exact_prompts"
# Names that tell a card's graph from a processor's.
LOGIT_POSITIONS, LOGIT_ROWS, POSITION_IDS, BEST, BEST_SCORE = (
    "logit_positions",
    "logit_rows",
    "position_ids",
    "best",
    "best_score",
)


class CacheLayout(Record):
    """One layer's key and value buffers are each [batch, kv_heads, capacity, head_dim], on a processor float32.

    `cross_heads` and `cross_head_dim` are of the keys and values of a source, in encoder-decoders.
    """

    layers: int
    kv_heads: int
    head_dim: int
    cross_heads: int = 0
    cross_head_dim: int = 0


class GenerationDefaults(Record):
    """What generate() would do unasked, from the checkpoint's generation_config.json; None is "not stated"."""

    max_new_tokens: int | None = None
    max_length: int | None = None
    min_length: int = 0
    min_new_tokens: int = 0
    do_sample: bool = False
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    typical_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    no_repeat_ngram_size: int | None = None
    num_beams: int = 1
    length_penalty: float = 1.0
    early_stopping: bool | Literal["never"] = False
    forced_bos_token_id: int | None = None
    forced_eos_token_id: int | None = None
    suppress_tokens: tuple[int, ...] = ()
    bad_words_ids: tuple[tuple[int, ...], ...] = ()
    renormalize_logits: bool = False


class Generation(Record):
    """`generation.json`.

    `max_tokens` is the longest sequence the decoder takes, prompt and answer together. `source_max_tokens` is the
    encoder's limit for encoder-decoders. `prefixes` maps a language to the token ids that start the source
    (`source:CODE`) or the target (`target:CODE`) of a multilingual translator, `task_prefixes` a task to the text
    before its source. `special_tokens` are the tokenizer's by name (`bos_token`, ...), as chat templates know them.
    """

    kind: Literal["decoder", "encoder-decoder"]
    vocabulary: int
    max_tokens: int
    source_max_tokens: int | None = None
    cache: CacheLayout
    bos_token_id: int | None = None
    eos_token_ids: tuple[int, ...] = ()
    pad_token_id: int | None = None
    decoder_start_token_id: int | None = None
    special_token_ids: tuple[int, ...] = ()
    special_tokens: dict[str, str] = Field(default_factory=dict)
    chat_template: str | None = None
    prefixes: dict[str, tuple[int, ...]] = Field(default_factory=dict)
    task_prefixes: dict[str, str] = Field(default_factory=dict)
    defaults: GenerationDefaults = GenerationDefaults()

    @classmethod
    def read(cls, directory: Path) -> Self:
        """Read `generation.json`. Raises ArtifactError when it is absent or not valid."""
        path = directory / GENERATION
        try:
            return cls.model_validate(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, ValidationError) as error:
            raise ArtifactError(f"{path}: cannot be read: {error}. Build the model again.") from error

    def write(self, directory: Path) -> None:
        """Write `generation.json` with sorted keys."""
        text = json.dumps(self.model_dump(mode="json"), indent=1, sort_keys=True, ensure_ascii=False)
        (directory / GENERATION).write_text(text + "\n", encoding="utf-8")
