"""The fp32 graph against the unmodified transformers model on real text, where torch is installed."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from layers.compiler.task_heads import auto_class_of
from layers.errors import CheckpointError
from layers.runtime.alignment import Encoding
from layers.runtime.engine import Engine

# Largest difference as a share of the output's largest value. Two fp32 programs that differ only in the order of
# additions stay below 1e-5 on the models measured; a wrong epsilon or activation shows at 1e-3 and above.
TOLERANCE = 1e-3
TEXTS = 8


def compare(directory: Path, task: str, engine: Engine, encodings: Sequence[Encoding]) -> str:
    """Run both on a few texts; gives the manifest's sentence on what was compared.

    Raises CheckpointError when they differ by more than TOLERANCE.
    """
    if importlib.util.find_spec("torch") is None:
        return "not compared with transformers: torch is not installed on the build machine"
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    auto_class: Any = getattr(transformers, auto_class_of(task))
    model = auto_class.from_pretrained(directory, dtype=torch.float32).eval()
    worst = 0.0
    texts = encodings[:TEXTS]
    names = [name for name in engine.output_names if name != "sentence_embedding"]
    for encoding, output in zip(texts, engine.forward(texts, names), strict=True):
        feed = {
            "input_ids": torch.from_numpy(encoding.input_ids[None].copy()),
            "attention_mask": torch.ones((1, len(encoding)), dtype=torch.int64),
        }
        if "token_type_ids" in engine.manifest.inputs:
            feed["token_type_ids"] = torch.from_numpy(encoding.token_type_ids[None].copy())
        with torch.inference_mode():
            reference = model(**feed)
        for name in names:
            exact = reference[name][0].numpy()
            worst = max(worst, float(np.abs(output[name] - exact).max() / max(np.abs(exact).max(), 1e-6)))
    version = importlib.metadata.version("transformers")
    if worst > TOLERANCE:
        raise CheckpointError(
            f"{directory.name} ({engine.manifest.architecture}): the fp32 graph differs from transformers {version} by "
            f"{worst:.2e} of the output's scale, allowed {TOLERANCE:.0e}. The recipe does not cover this checkpoint's "
            "configuration; please report it. Nothing was written."
        )
    return f"transformers {version}: largest difference {worst:.1e} of the output's scale on {len(texts)} texts"
