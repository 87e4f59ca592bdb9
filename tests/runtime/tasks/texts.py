"""Texts that tokenizers, offsets and limits stumble over."""

from __future__ import annotations

LONG = (
    "The Debian project was founded in 1993 by Ian Murdock; Zażółć gęślą jaźń, said naïve Åsa O'Brien-Øst of Tromsø. "
    "She doesn't know 3,141 lazy dogs from 天地玄黃 or from שלום עולם 👩‍👩‍👧 (see https://example.org/a?b=c). "
) * 6

TEXTS = [
    "",
    " ",
    ".",
    "a library to parse things",
    "Où est l'été? Straße, naïve café\u0301 in ÅNGSTRÖM, e\u0301 a\u0308\u0323 noe\u0308l",
    "family 👨‍👩‍👧‍👦 flag 🇪🇺 thumbs 👍🏽 done 😀",
    "نص حكيم له سر قاطع and שלום עולם mixed with English",
    "素早い茶色の狐が 飛び越える 天地玄黃 빠른 갈색 여우",
    "tabs\tand\nnewlines  and   spaces \u00a0 no-break",
    "[CLS] typed [SEP] by <s> hand </s> unbelievable antidisestablishmentarianism",
    LONG,
]
