"""The parameters of every task that writes, and what they and the checkpoint's defaults come to.

A parameter that the request states holds; then what generation_config.json states; then the neutral value.
transformers' own defaults that no checkpoint stated (top_k 50, 20 tokens) are not applied, as in
text-generation-inference. As there, a parameter of sampling asks for sampling. But do_sample false is greedy whatever
stands beside it, as in transformers: LangChain's client always sends both.
"""

from __future__ import annotations

import secrets
from typing import Annotated, Any, Literal

from pydantic import Field

from layers.errors import InputError
from layers.generation import Generation
from layers.runtime.generation.options import DecodingOptions
from layers.runtime.tasks.task import StrictParameters

MAX_BEAMS = 16
SAMPLING = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "typical_p": 1.0, "min_p": 0.0}

Positive = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(gt=0, le=1)]
# Scores are float32: divided by less than this, or multiplied by more, they become infinite.
Factor = Annotated[float, Field(ge=1e-30, le=1e30)]


class DecodingParameters(StrictParameters):
    """transformers' names and meanings; `stop` and `frequency_penalty` as in text-generation-inference and OpenAI."""

    max_new_tokens: Positive | None = None
    max_length: Positive | None = None
    min_new_tokens: Count | None = None
    min_length: Count | None = None
    do_sample: bool | None = None
    seed: Count | None = None
    temperature: Factor | None = None
    top_k: Count | None = None
    top_p: Share | None = None
    typical_p: Share | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    repetition_penalty: Factor | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    no_repeat_ngram_size: Count | None = None
    bad_words_ids: list[Annotated[list[Count], Field(min_length=1)]] | None = None
    stop: list[Annotated[str, Field(min_length=1)]] | None = None
    num_beams: Annotated[int, Field(ge=1, le=MAX_BEAMS)] | None = None
    num_return_sequences: Annotated[int, Field(ge=1, le=MAX_BEAMS)] | None = None
    length_penalty: Annotated[float, Field(ge=-10, le=10)] | None = None
    early_stopping: bool | Literal["never"] | None = None

    def options(
        self,
        generation: Generation,
        prompt_tokens: int,
        room: int,
        *,
        default_new_tokens: int,
        begun: int = 0,
        **more: Any,
    ) -> DecodingOptions:
        """Resolved for a prompt of so many tokens, which `room` can follow; `more` are further fields.

        New tokens are counted as transformers' generate counts them, which writes the `begun` last of the prompt.

        Raises InputError for parameters that contradict each other.
        """
        defaults = generation.defaults
        sampling = self._sampling(generation)
        beams = self.num_beams or defaults.num_beams
        returned = self.num_return_sequences or 1
        if beams > 1 and sampling is not None:
            raise InputError(
                f"parameters contradict each other: num_beams is {beams} and tokens are sampled. "
                "Send num_beams: 1 or do_sample: false."
            )
        if beams > 1 and self.stop:
            raise InputError(f"parameters contradict each other: stop is given and num_beams is {beams}, expected 1.")
        if returned > 1 and sampling is None and returned > beams:
            raise InputError(
                f"parameter 'num_return_sequences': got {returned}, expected at most {beams}, which is num_beams; "
                "or do_sample: true."
            )
        forbidden = [token for words in self.bad_words_ids or () for token in words if token >= generation.vocabulary]
        if forbidden:
            raise InputError(f"parameter 'bad_words_ids': got {forbidden[0]}, expected below {generation.vocabulary}.")
        chosen: dict[str, Any] = {
            "repetition_penalty": self.repetition_penalty or defaults.repetition_penalty or 1.0,
            "frequency_penalty": self.frequency_penalty or 0.0,
            "presence_penalty": self.presence_penalty or 0.0,
            "no_repeat_ngram_size": _first(self.no_repeat_ngram_size, defaults.no_repeat_ngram_size, 0),
            "bad_words_ids": tuple(map(tuple, self.bad_words_ids or ())) or defaults.bad_words_ids,
            "min_new_tokens": max(0, _first(self.min_new_tokens, defaults.min_new_tokens) - begun),
            # Asked for, new tokens take the place of the checkpoint's length, as in transformers.
            "min_length": _first(self.min_length, defaults.min_length if self.min_new_tokens is None else 0),
            "length_penalty": _first(self.length_penalty, defaults.length_penalty),
            "early_stopping": _first(self.early_stopping, defaults.early_stopping),
            "stop": tuple(self.stop or ()),
        }
        return DecodingOptions(
            max_new_tokens=self._new_tokens(generation, prompt_tokens, room, default_new_tokens, begun),
            do_sample=sampling is not None,
            seed=_first(self.seed, secrets.randbits(63)) if sampling is not None else 0,
            seed_sent=self.seed is not None,
            num_beams=beams,
            num_return_sequences=returned,
            suppress_tokens=defaults.suppress_tokens,
            forced_bos_token_id=defaults.forced_bos_token_id,
            forced_eos_token_id=defaults.forced_eos_token_id,
            eos_token_ids=generation.eos_token_ids,
            renormalize_logits=defaults.renormalize_logits,
            begun=begun,
            **chosen,
            **(sampling or {}),
            **more,
        )

    def _sampling(self, generation: Generation) -> dict[str, Any] | None:
        """Temperature and cuts; None when the likeliest token is taken."""
        stated = {name: getattr(self, name) for name in SAMPLING if getattr(self, name) is not None}
        asked = any(value != SAMPLING[name] for name, value in stated.items())
        if not (generation.defaults.do_sample or asked if self.do_sample is None else self.do_sample):
            return None
        return {
            name: _first(stated.get(name), getattr(generation.defaults, name), neutral)
            for name, neutral in SAMPLING.items()
        }

    def _new_tokens(self, generation: Generation, prompt_tokens: int, room: int, default: int, begun: int) -> int:
        defaults = generation.defaults
        if self.max_length is not None:
            if self.max_new_tokens is not None:
                raise InputError("parameters contradict each other: send max_new_tokens or max_length, not both.")
            if self.max_length <= prompt_tokens:
                raise InputError(
                    f"parameter 'max_length': got {self.max_length}, expected more than the {prompt_tokens} tokens "
                    "that the text starts with."
                )
            return self.max_length - prompt_tokens
        if self.max_new_tokens is not None:
            if self.max_new_tokens <= begun:
                raise InputError(
                    f"parameter 'max_new_tokens': got {self.max_new_tokens}, expected more than {begun}, which the "
                    "language takes."
                )
            return self.max_new_tokens - begun
        # What nobody asked for is what fits.
        length = 0 if defaults.max_length is None else defaults.max_length - prompt_tokens
        if defaults.max_new_tokens is not None or length < 1:
            length = max(1, _first(defaults.max_new_tokens, default) - begun)
        return min(length, room)


def _first(*values: Any) -> Any:
    """The first that is stated."""
    return next(value for value in values if value is not None)
