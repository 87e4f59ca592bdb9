"""How many tokens a request may have, beyond what the model itself takes."""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_REQUEST_TOKENS = 131_072


@dataclass(frozen=True, slots=True)
class TokenLimits:
    """None where only the model limits.

    `input_tokens` of one text, `request_tokens` of all texts of a request after truncation, `new_tokens` written after
    one text, `total_tokens` of a text with what is written after it.
    """

    input_tokens: int | None = None
    request_tokens: int | None = DEFAULT_REQUEST_TOKENS
    new_tokens: int | None = None
    total_tokens: int | None = None

    def input_limit(self, model_tokens: int) -> int:
        """The longest text that is taken, of a model that takes so many tokens."""
        return min(model_tokens, self.input_tokens or model_tokens)


NO_LIMITS = TokenLimits(request_tokens=None)
