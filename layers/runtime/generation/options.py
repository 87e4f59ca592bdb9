"""How one prompt is continued: every setting resolved, whatever request, checkpoint or default it came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FinishReason = Literal["length", "eos_token", "stop_sequence"]
EarlyStopping = bool | Literal["never"]


@dataclass(frozen=True, slots=True)
class DecodingOptions:
    """Settings in transformers' sense unless said otherwise; at their defaults they are greedy and change nothing.

    `frequency_penalty` and `presence_penalty` are OpenAI's, over the tokens generated so far. `min_length` counts the
    prompt (for encoder-decoders: the decoder's), `min_new_tokens` does not. `stop` strings end the text; the string
    itself is part of it when `keep_stop`, as in text-generation-inference, and is cut when not, as in OpenAI's API.
    `seed` is that of the row's own generator; `seed_sent` is false where nobody chose it. `logprobs` asks for each
    token's log probability, `top_tokens` for that many of the likeliest tokens beside it. `begun` of the prompt's last
    tokens are the text's first, to its length and its decoding: languages, which transformers' generate forces.
    """

    max_new_tokens: int
    min_new_tokens: int = 0
    min_length: int = 0
    do_sample: bool = False
    seed: int = 0
    seed_sent: bool = True
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    typical_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    no_repeat_ngram_size: int = 0
    bad_words_ids: tuple[tuple[int, ...], ...] = ()
    suppress_tokens: tuple[int, ...] = ()
    forced_bos_token_id: int | None = None
    forced_eos_token_id: int | None = None
    eos_token_ids: tuple[int, ...] = ()
    stop: tuple[str, ...] = ()
    keep_stop: bool = True
    num_beams: int = 1
    num_return_sequences: int = 1
    begun: int = 0
    length_penalty: float = 1.0
    early_stopping: EarlyStopping = False
    renormalize_logits: bool = False
    logprobs: bool = False
    top_tokens: int = 0
