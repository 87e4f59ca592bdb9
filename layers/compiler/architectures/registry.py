"""Every architecture by the model_type of its config.json; a new one is a file here and a line below."""

from __future__ import annotations

import difflib

from layers.compiler.architectures.albert import ALBERT
from layers.compiler.architectures.architecture import Architecture, Generator
from layers.compiler.architectures.bart import BART_FAMILY
from layers.compiler.architectures.bert import BERT, CAMEMBERT, ELECTRA, ROBERTA, XLM_ROBERTA
from layers.compiler.architectures.bloom import BLOOM
from layers.compiler.architectures.deberta_v2 import DEBERTA_V2
from layers.compiler.architectures.distilbert import DISTILBERT
from layers.compiler.architectures.gpt2 import GPT2
from layers.compiler.architectures.gpt_neo import GPT_NEO
from layers.compiler.architectures.gpt_neox import GPT_NEOX
from layers.compiler.architectures.llama import LLAMA_FAMILY
from layers.compiler.architectures.modernbert import MODERNBERT
from layers.compiler.architectures.mpnet import MPNET
from layers.compiler.architectures.opt import OPT
from layers.compiler.architectures.t5 import MT5, T5
from layers.errors import UnsupportedError

ARCHITECTURES: dict[str, Architecture | Generator] = {
    architecture.model_type: architecture
    for architecture in (
        ALBERT,
        BERT,
        BLOOM,
        CAMEMBERT,
        DEBERTA_V2,
        DISTILBERT,
        ELECTRA,
        GPT2,
        GPT_NEO,
        GPT_NEOX,
        MODERNBERT,
        MPNET,
        MT5,
        OPT,
        ROBERTA,
        T5,
        XLM_ROBERTA,
        *BART_FAMILY,
        *LLAMA_FAMILY,
    )
}


def architecture_for(model_type: str) -> Architecture | Generator:
    """The recipe of a model_type. Raises UnsupportedError listing what there is and the file to add."""
    if model_type in ARCHITECTURES:
        return ARCHITECTURES[model_type]
    close = difflib.get_close_matches(model_type, ARCHITECTURES, n=1)
    suggestion = f" Did you mean {close[0]!r}?" if close else ""
    raise UnsupportedError(
        f"no recipe for model_type {model_type!r}.{suggestion} Supported: {', '.join(sorted(ARCHITECTURES))}. "
        f"To add it, write layers/compiler/architectures/{model_type.replace('-', '_')}.py and list it in registry.py; "
        "docs/adding-an-architecture.md shows how."
    )
