"""The candidates for a graphics card, the order to prefer them in, and what float16 cannot hold.

The order comes from `tuning/cuda.toml`, measured where there was a card: a build seldom has one.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx_ir as ir

from layers.catalogue import ModelSpec
from layers.compiler.calibration import Calibration
from layers.compiler.forms.half import HALF_LINEAR, HALF_VOCABULARY, DeviceWeightOnly, KeptLinear
from layers.compiler.plan import BRAIN, EXACT_EMBEDDING, HALF, NUMPY_TYPES, SINGLE, LinearForm, Numbers, Plan
from layers.errors import UnsupportedError

TUNING = Path(__file__).parent / "tuning" / "cuda.toml"
LARGEST_HALF = float(np.finfo(np.float16).max)


def _plan(name: str, precision: str, numbers: Numbers, linear: LinearForm = HALF_LINEAR) -> Plan:
    return Plan(
        name,
        precision,  # type: ignore[arg-type]  # one of the literals
        linear,
        EXACT_EMBEDDING,
        ("cuda",),
        vocabulary=HALF_VOCABULARY,
        kept=KeptLinear(),
        on_device=True,
        numbers=numbers,
    )


FP16 = _plan("fp16", "fp16", HALF)
BF16 = _plan("bf16", "bf16", BRAIN)
FP32_CUDA = _plan("fp32-cuda", "fp32", SINGLE)
INT4 = _plan("int4-fp16", "int4", HALF, DeviceWeightOnly(32, 4))


def device_candidates(spec: ModelSpec, *, writes: bool) -> list[Plan]:
    """The plans to judge for a card, the fastest first.

    Raises UnsupportedError for a precision that has none. Attention over a cache has no float32 kernel, so a model that
    writes text has no fp32 variant.
    """
    plans = [FP16, BF16, INT4] if writes else [FP16, BF16, FP32_CUDA]
    wanted = [plan for plan in plans if spec.precision in ("auto", plan.precision)]
    if not wanted:
        raise UnsupportedError(
            f"{spec.name}: precision {spec.precision!r} has no variant for cuda and {spec.task}; "
            f"expected one of auto, {', '.join(dict.fromkeys(plan.precision for plan in plans))}."
        )
    order = preference(writes=writes)
    return sorted(wanted, key=lambda plan: order.index(plan.name))


def preference(*, writes: bool) -> tuple[str, ...]:
    """Names of variants, fastest first, as tuning/cuda.toml has them."""
    kind = "writers" if writes else "encoders"
    return tuple(tomllib.loads(TUNING.read_text(encoding="utf-8"))[kind]["order"])


def overflowing(calibration: Calibration) -> tuple[str, ...]:
    """Sites that values beyond float16's range reach on real text."""
    return tuple(
        name for name, sample in calibration.samples.items() if not float(sample.peaks.max(initial=0)) < LARGEST_HALF
    )


def most_rounded(calibration: Calibration, numbers: Numbers) -> list[str]:
    """Sites by the noise that the numbers add to their output, worst first."""
    narrow = Numbers(ir.DataType.FLOAT, numbers.stored)
    noise: dict[str, float] = {}
    for name, site in calibration.sites.items():
        rows, weight = calibration.samples[name].rows, site.read_weight()
        exact = rows @ weight.T
        rounded = narrow.convert(narrow.convert(rows) @ narrow.convert(weight).T)
        error = np.square(np.nan_to_num(rounded - exact, nan=LARGEST_HALF, posinf=LARGEST_HALF), dtype=np.float64)
        noise[name] = float(error.mean() / max(float(np.square(exact).mean()), 1e-30))
    return sorted(noise, key=lambda name: -noise[name])


def stand_in(plan: Plan) -> str:
    """What the gate judged instead of a graph that nothing here can run."""
    names: Mapping[ir.DataType, str] = {ir.DataType.FLOAT16: "float16", ir.DataType.BFLOAT16: "bfloat16"}
    narrow = plan.numbers.stored
    assert narrow in NUMPY_TYPES, "numbers of a plan are known"
    rounded = f", every value rounded to {names[narrow]}" if narrow in names else ""
    return f"on a processor in float32{rounded}: the build machine has no card"
