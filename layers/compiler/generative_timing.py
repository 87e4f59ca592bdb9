"""How fast variants write on this machine: a prompt of 128 tokens (or a source), and one step after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from layers.compiler.generative_session import GenerativeSession, Ids, Sequences
from layers.compiler.timing import alternate

PROMPT_TOKENS = 128
# Where an encoder has read the prompt, the decoder is a few words into its answer.
ANSWER_TOKENS = 16


def time_writers(sessions: Mapping[str, GenerativeSession], text: Ids, max_tokens: int) -> dict[str, dict[str, float]]:
    """Median milliseconds at batch 1 of "prefill N" (an encoder's run, or a decoder's prompt) and "decode"."""
    calls = {name: calls_of(session, text, max_tokens) for name, session in sessions.items()}
    medians: dict[str, dict[str, float]] = {name: {} for name in sessions}
    for case in next(iter(calls.values()), {}):
        for name, median in alternate({name: by_case[case] for name, by_case in calls.items()}).items():
            medians[name][case] = median
    return medians


def calls_of(session: GenerativeSession, text: Ids, max_tokens: int) -> dict[str, Callable[[], object]]:
    """Reading a prompt (or a source), and one step after it."""
    prompt = np.resize(text, min(PROMPT_TOKENS, max_tokens - 1))
    return {
        f"prefill {len(prompt)}": partial(_read, session, prompt),
        "decode": _step(session, prompt, max_tokens),
    }


def _read(session: GenerativeSession, prompt: Ids) -> Sequences:
    sources = session.encode([prompt])
    sequences = session.begin(1, len(prompt) + 1, sources)
    if sources is None:
        sequences.feed([prompt])
    return sequences


def _step(session: GenerativeSession, prompt: Ids, max_tokens: int) -> partial[None]:
    sequences = _read(session, prompt)
    if session.encoder is not None:
        sequences.feed([np.resize(prompt, min(ANSWER_TOKENS, max_tokens - 1))])
    return partial(_advance, sequences, prompt[:1], sequences.lengths)


def _advance(sequences: Sequences, token: Ids, lengths: object) -> None:
    sequences.feed([token])
    sequences.lengths = lengths  # type: ignore[assignment]  # the next call writes the same place again
