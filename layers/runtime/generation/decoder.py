"""What the generation loop asks of a model: prompts in, then one token a row, and rows that come, go and branch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]
Logits = npt.NDArray[np.float32]


class Decoder(Protocol):
    """The state of one running request. Not shared between threads.

    Logits are float32 [rows, vocabulary], one row each for its next token; they may be changed by the caller and hold
    until the next call.
    """

    def prefill(self, prompts: Sequence[Ids]) -> Logits:
        """Compute the prompts, one row each; the first call, and only once."""

    def step(self, tokens: Sequence[int]) -> Logits:
        """Append one token to every row."""

    def reorder(self, rows: Sequence[int]) -> None:
        """Row i continues what row `rows[i]` was; rows not named are gone, rows named twice branch."""

    def score(self, prompt: Ids) -> npt.NDArray[np.float32]:
        """Log probability of each token of a prompt after those before it, [length - 1]; before `prefill`."""

    def release(self) -> None:
        """The request is over: leave what later ones can use. Idempotent."""


@runtime_checkable
class LikeliestDecoder(Protocol):
    """A decoder that finds the likeliest token itself, where copying every row's logits would cost more."""

    def step_to_likeliest(self, tokens: Sequence[int]) -> list[tuple[int, float]]:
        """As `Decoder.step`; the likeliest token of each row and its logit."""


@runtime_checkable
class AheadDecoder(Decoder, Protocol):
    """A decoder that computes several tokens of one row in a run, and forgets those that were guessed wrong."""

    def step_ahead(self, tokens: Sequence[int]) -> Logits:
        """Append tokens to the only row; [tokens, vocabulary], one row each for what follows each of them."""

    def take_back(self, count: int) -> None:
        """Forget the last `count` tokens of the only row."""
