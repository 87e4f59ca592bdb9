"""Who gets a page and who gets JSON, where one route has both."""

from __future__ import annotations


def wants_html(accept: str) -> bool:
    """Whether an Accept header names HTML, as every browser's does and no client's; `*/*` is no wish for a page."""
    offers = [offer.replace(" ", "").lower().split(";") for offer in accept.split(",")]
    return any(kind == "text/html" and "q=0" not in parameters for kind, *parameters in offers)
