"""The accuracy gate of models that write text: how likely each variant finds what was really written.

A decoder reads held-out texts; an encoder-decoder reads sources and is led along their targets, or along what fp32
itself writes greedily where the data has none. Everything is one prefill per example with the logits of every position.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from layers.artifact import Verdict
from layers.catalogue import ModelSpec
from layers.compiler import metrics
from layers.compiler.draft import Draft
from layers.compiler.examples import Example
from layers.compiler.gate import company_bound, compare
from layers.compiler.generative_session import GenerativeSession, Ids, Logits
from layers.compiler.metrics import Judged, Metric, Outputs
from layers.errors import CatalogueError, ModelOutputError
from layers.generation import Generation

# Longer texts would be cut: logits of 512 positions over 50,000 words are 100 MB already.
JUDGED_TOKENS = 512
GREEDY_TOKENS = 32
COMPANY_TEXTS = 8
COMPANY_TOKENS = 96
AVAILABLE = {"perplexity": metrics.PERPLEXITY, "agreement": metrics.TOKEN_AGREEMENT}


@dataclass(frozen=True)
class Passage:
    """One example as token ids: what the encoder reads (None for a decoder), and what is to be written."""

    source: Ids | None
    tokens: Ids


@dataclass(frozen=True)
class GenerativeJury:
    """Everything that stays the same from variant to variant."""

    metric: Metric
    max_drop: float
    judged: Judged
    passages: tuple[Passage, ...]
    threads: int
    company: tuple[Passage, ...]
    exact: NDArray[np.float32]

    def examine(self, draft: Draft, name: str) -> tuple[Verdict, bool]:
        """The verdict on a written variant, and whether its rows and positions are independent of their company."""
        session = draft.open_generative(name, self.threads)
        verdict = compare(self.metric, self.max_drop, self.judged, hear(session, self.passages))
        return verdict, self._independent(session, draft.variants[name].precision)

    def _independent(self, session: GenerativeSession, precision: str) -> bool:
        """True when logits are the same alone, in a batch of other lengths, and after a prompt that came in parts.

        The difference is compared with what quantization itself changed, as for encoders.
        """
        alone = np.concatenate([_last_logits(session, [passage]) for passage in self.company])
        together = _last_logits(session, self.company)
        in_parts = np.concatenate([_last_logits(session, [passage], parts=3) for passage in self.company])
        moved = max(float(np.square(other - alone).sum()) for other in (together, in_parts))
        noise = float(np.square(alone - self.exact).sum())
        return moved <= company_bound(noise, float(np.square(self.exact).sum()), precision)


def summon(
    spec: ModelSpec,
    session: GenerativeSession,
    generation: Generation,
    examples: Sequence[Example],
    tokenizer: Any,
    threads: int,
) -> GenerativeJury:
    """Tokenize the examples as transformers' `tokenizer` does, and run fp32 once.

    Raises CatalogueError where the metric asked for does not fit.
    """
    name = spec.gate.metric or "perplexity"
    if name not in AVAILABLE:
        raise CatalogueError(
            f"[{spec.name}.gate] metric {name!r} cannot be computed for {spec.task}; "
            f"expected one of {', '.join(AVAILABLE)}."
        )
    passages = tuple(passage_of(session, generation, example, tokenizer) for example in examples)
    kept = [index for index, passage in enumerate(passages) if len(passage.tokens) > 1]
    passages = tuple(passages[index] for index in kept)
    judged = Judged([examples[index] for index in kept], None, hear(session, passages), ())
    order = np.argsort([len(passage.tokens) for passage in passages], kind="stable")
    spread = sorted(set(order[np.linspace(0, len(order) - 1, COMPANY_TEXTS).astype(int)].tolist()))
    company = tuple(Passage(passages[i].source, passages[i].tokens[:COMPANY_TOKENS]) for i in spread)
    exact = np.concatenate([_last_logits(session, [passage]) for passage in company])
    return GenerativeJury(AVAILABLE[name], spec.gate.max_drop, judged, passages, threads, company, exact)


def hear(session: GenerativeSession, passages: Sequence[Passage]) -> list[Outputs]:
    """Per passage: "nll", the negative log-likelihood [tokens] of what was written, and "choices", the likeliest."""
    outputs: list[Outputs] = []
    for passage in passages:
        logits = all_logits(session, passage)[0].astype(np.float64)
        if not np.isfinite(logits).all():
            raise ModelOutputError("the decoder's logits are not finite")
        peak = logits.max(-1, keepdims=True)
        total = np.log(np.exp(logits - peak).sum(-1)) + peak[:, 0]
        written = passage.tokens[1:]
        outputs.append({"nll": total - logits[np.arange(len(written)), written], "choices": logits.argmax(-1)})
    return outputs


def all_logits(session: GenerativeSession, passage: Passage) -> Logits:
    """[1, tokens - 1, vocabulary]: what is expected after every token but the last."""
    read = passage.tokens[:-1]
    sequences = session.begin(1, len(read), _sources(session, [passage]))
    return sequences.feed([read], np.arange(len(read))[None])


def greedy(session: GenerativeSession, source: Ids, generation: Generation) -> Ids:
    """What an encoder-decoder writes, its start token included, and nothing that the checkpoint forbids.

    Marian's likeliest token is often its padding, which its generation_config.json keeps out.
    """
    written, forbidden = [start_token(generation)], _forbidden(generation)
    first = generation.defaults.forced_bos_token_id
    sequences = session.begin(1, GREEDY_TOKENS + 1, session.encode([source]))
    while len(written) <= GREEDY_TOKENS:
        scores = sequences.feed([np.array(written[-1:])])[0, -1].copy()
        scores[forbidden] = -np.inf
        written.append(first if first is not None and len(written) == 1 else int(scores.argmax()))
        if written[-1] in generation.eos_token_ids:
            break
    return np.array(written)


def _forbidden(generation: Generation) -> list[int]:
    """Tokens that are never written, whatever stands before them."""
    words = [words[0] for words in generation.defaults.bad_words_ids if len(words) == 1]
    return [*(word for word in words if word not in generation.eos_token_ids), *generation.defaults.suppress_tokens]


def start_token(generation: Generation) -> int:
    """What a target begins with."""
    start = generation.decoder_start_token_id
    return start if start is not None else generation.bos_token_id or 0


def passage_of(session: GenerativeSession, generation: Generation, example: Example, tokenizer: Any) -> Passage:
    """An example as `tokenizer` reads it, cut to what the model takes."""
    if generation.kind == "decoder":
        limit = min(generation.max_tokens, JUDGED_TOKENS)
        read = tokenizer(example.text, truncation=True, max_length=limit)["input_ids"]
        return Passage(None, np.array(read, np.int64))
    source_limit = min(generation.source_max_tokens or JUDGED_TOKENS, JUDGED_TOKENS)
    source = np.array(tokenizer(example.text, truncation=True, max_length=source_limit)["input_ids"], np.int64)
    if example.target is None:
        return Passage(source, greedy(session, source, generation))
    limit = min(generation.max_tokens - 1, JUDGED_TOKENS)
    target = tokenizer(text_target=example.target, truncation=True, max_length=limit)["input_ids"]
    return Passage(source, np.array([start_token(generation), *target], np.int64))


def _last_logits(session: GenerativeSession, passages: Sequence[Passage], parts: int = 1) -> NDArray[np.float32]:
    """Logits after each passage but its last token, then after that too: [rows, 2, vocabulary]."""
    longest = max(len(passage.tokens) for passage in passages)
    sequences = session.begin(len(passages), longest, _sources(session, passages))
    reads = [passage.tokens[:-1] for passage in passages]
    first = np.zeros((0,), np.float32)
    for part in range(parts):
        rows = [np.array_split(read, parts)[part] for read in reads]
        if all(len(row) for row in rows):
            first = sequences.feed(rows)
    last = sequences.feed([passage.tokens[-1:] for passage in passages])
    return np.concatenate([first, last], axis=1)


def _sources(session: GenerativeSession, passages: Sequence[Passage]) -> Any:
    return session.encode([passage.source for passage in passages if passage.source is not None])
