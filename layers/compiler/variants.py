"""The candidates: every form worth judging for a target, and the order to prefer them in where none can be timed."""

from __future__ import annotations

from layers.artifact import InstructionSet
from layers.catalogue import ModelSpec
from layers.compiler.calibration import Calibration
from layers.compiler.forms.embedding import BlockEmbedding, Int8Embedding
from layers.compiler.forms.int8_dynamic import Int8Dynamic
from layers.compiler.forms.int8_row import Int8Row
from layers.compiler.forms.int8_static import Int8Static
from layers.compiler.forms.weight_only import WeightOnly
from layers.compiler.plan import EVERYWHERE, FP32, LinearForm, Plan
from layers.compiler.smoothing import smooth
from layers.errors import UnsupportedError

# Signed 8-bit weights against u8 activations saturate in the 16-bit sums of plain AVX2; 7 bits cannot.
WITHOUT_SATURATION: tuple[InstructionSet, ...] = ("x86_64-vnni", "arm64")
# Claimed for what a run under an AVX2-only processor proved (benchmarks/exactness.py): 8-bit weights moved logits by
# 0.34 to 0.67 on a scale of 7 and changed labels; 7-bit ones and MatMulNBits stayed within 0.05, the rounding of other
# kernels, and changed none.
EXACT_ON: dict[int, tuple[InstructionSet, ...]] = {8: WITHOUT_SATURATION, 7: EVERYWHERE}


def refuse_unsupported(spec: ModelSpec, *, writes: bool) -> None:
    """Raises UnsupportedError for a precision that has no form on a CPU, before any work is done."""
    served = ("auto", "fp32", "int8", "int4") if writes else ("auto", "fp32", "int8")
    if spec.precision not in served:
        raise UnsupportedError(
            f"{spec.name}: precision {spec.precision!r} has no CPU variant for {spec.task}; "
            f"expected one of {', '.join(served)}."
        )


def candidates(spec: ModelSpec, calibration: Calibration | None) -> list[Plan]:
    """The plans to judge for a specification's precision, fp32 first (it is the reference)."""
    if spec.precision == "fp32":
        return [FP32]
    assert calibration is not None, "int8 candidates need a calibration"
    ranges, smoothed = calibration.ranges(), smooth(calibration)

    def forms(bits: int) -> dict[str, LinearForm]:
        return {
            "static": Int8Static(ranges, bits),
            "smooth": Int8Static(ranges, bits, smoothed),
            "row": Int8Row(bits),
            "dynamic": Int8Dynamic(bits),
        }

    embedding = Int8Embedding()
    return [
        FP32,
        *(Plan(f"int8-{name}", "int8", form, embedding, EXACT_ON[8]) for name, form in forms(8).items()),
        *(Plan(f"int8-{name}-7bit", "int8", form, embedding, EXACT_ON[7]) for name, form in forms(7).items()),
        Plan("int8-weights", "int8", WeightOnly(), embedding),
    ]


def writing_candidates(spec: ModelSpec) -> list[Plan]:
    """The plans to judge for a model that writes text, fp32 first.

    One copy of every matrix serves prompts and single tokens alike: rows with a range of their own were the fastest
    form at one row and at 128 (docs/benchmarks.md). The product with the vocabulary is read whole for each token, and
    its blocks of 8-bit weights took half the time.
    """
    blocks = WeightOnly()
    embedding = BlockEmbedding(blocks)
    int8 = [
        Plan("int8-row", "int8", Int8Row(), embedding, EXACT_ON[8], vocabulary=blocks),
        Plan("int8-row-7bit", "int8", Int8Row(bits=7), embedding, EXACT_ON[7], vocabulary=blocks),
        Plan("int8-dynamic", "int8", Int8Dynamic(), embedding, EXACT_ON[8], vocabulary=blocks),
        Plan("int8-weights", "int8", blocks, embedding),
    ]
    int4 = [
        Plan("int4-weights", "int4", WeightOnly(32, 4), embedding),
        Plan("int4-weights-128", "int4", WeightOnly(128, 4), embedding),
    ]
    wanted = {"fp32": [], "int8": int8, "int4": int4, "auto": int8 + int4}
    return [FP32, *wanted[spec.precision]]


# Fastest first. For an instruction set that the build machine cannot time (all but its own), this decides.
# From benchmarks/operators.py: the order held on x86-64 VNNI at every length; int8 over fp32 on AVX2 is
# onnxruntime's published 1.6x for GPT-2, not a measurement of this project.
PREFERENCE = (
    "int8-static",
    "int8-static-7bit",
    "int8-smooth",
    "int8-smooth-7bit",
    "int8-row",
    "int8-row-7bit",
    "int8-dynamic",
    "int8-dynamic-7bit",
    "int8-weights",
    "int4-weights",
    "int4-weights-128",
    "fp32",
)
