"""Whether a graphics card is here that onnxruntime can use, and which of an artifact's variants that makes the one."""

from __future__ import annotations

import ctypes
from functools import cache

import onnxruntime

from layers.artifact import InstructionSet, Manifest
from layers.runtime.cpu import instruction_set

CUDA = "CUDAExecutionProvider"


@cache
def card_is_present() -> bool:
    """True when onnxruntime was built for CUDA and the driver counts at least one card. Asks the driver once."""
    if CUDA not in onnxruntime.get_available_providers():
        return False
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int()
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0


def machine_for(manifest: Manifest) -> InstructionSet:
    """What the artifact runs on here: the card where there is one and a variant for it, else this processor.

    Raises ArtifactError as `instruction_set` does.
    """
    if card_is_present() and "cuda" in manifest.chosen:
        return "cuda"
    return instruction_set()
