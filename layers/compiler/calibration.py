"""What flows through the fp32 graph on real text: the ranges static int8 is fixed to, and which sites int8 hurts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx_ir as ir
import onnxruntime
from numpy.typing import NDArray

from layers.compiler.checkpoint import Checkpoint
from layers.compiler.net import Net
from layers.compiler.plan import TAPPED, Plan, Site
from layers.compiler.quantization import (
    ActivationRange,
    best_range,
    product_error,
    quantize_weight,
    weight_scales,
)
from layers.compiler.recipe import save

Feed = Mapping[str, NDArray[Any]]


class Writes(Protocol):
    """A recipe of either kind."""

    def write(self, plan: Plan) -> tuple[ir.Model, Net]: ...


# Token rows kept of each text and site: enough for the shape of a distribution; the extremes are kept apart.
ROWS_PER_TEXT = 4


@dataclass(frozen=True)
class SiteSample:
    """Rows [n, in_features] that reached a site, and each channel's extremes [in_features] over everything that did."""

    rows: NDArray[np.float32]
    low: NDArray[np.float32]
    high: NDArray[np.float32]

    @property
    def peaks(self) -> NDArray[np.float32]:
        """The largest magnitude of each channel, [in_features]."""
        return np.maximum(np.abs(self.low), np.abs(self.high))

    def range(self, divisors: NDArray[np.float32] | None = None) -> ActivationRange:
        """The range with the least error over the sample and its extremes, all divided by `divisors` [in_features]."""
        values = np.concatenate([self.rows, self.low[None], self.high[None]])
        return best_range(np.asarray(values if divisors is None else values / divisors, np.float32).ravel())


@dataclass(frozen=True)
class Calibration:
    """Samples and sites of every linear layer, by site name."""

    samples: Mapping[str, SiteSample]
    sites: Mapping[str, Site]
    tables: tuple[str, ...]

    def joined(self, other: Calibration) -> Calibration:
        """What two graphs of one checkpoint saw; sites of the same name are the same projection."""
        return Calibration(
            {**self.samples, **other.samples},
            {**self.sites, **other.sites},
            tuple(sorted({*self.tables, *other.tables})),
        )

    def ranges(self) -> dict[str, ActivationRange]:
        """The static range of every site; sites that read one tensor get one range."""
        found: dict[int, ActivationRange] = {}
        for sample in self.samples.values():
            if id(sample) not in found:
                found[id(sample)] = sample.range()
        return {name: found[id(sample)] for name, sample in self.samples.items()}

    def most_harmed(self, checkpoint: Checkpoint, bits: int) -> list[str]:
        """Sites and embedding tables by the noise that int8 adds to their output, worst first."""
        ranges = self.ranges()
        noise = {
            name: product_error(self.samples[name].rows, site.read_weight(), ranges[name], bits)
            for name, site in self.sites.items()
        }
        noise |= {name: _table_noise(checkpoint.read(name)) for name in self.tables}
        return sorted(noise, key=lambda name: -noise[name])


def calibrate(recipe: Writes, feeds: Sequence[Feed], workdir: Path, seed: int = 0) -> Calibration:
    """Run each feed (one text, arrays [1, sequence]) through the fp32 graph with every site's input as an output."""
    return calibrate_graph(*recipe.write(TAPPED), feeds, workdir, seed)


def calibrate_graph(model: ir.Model, net: Net, feeds: Sequence[Feed], workdir: Path, seed: int = 0) -> Calibration:
    """The same for a graph of the plan TAPPED."""
    tapped = {name: str(value.name) for name, value in net.taps.items()}
    file, _ = save(model, workdir, TAPPED.name)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(workdir / file), options, providers=["CPUExecutionProvider"])
    outputs = sorted(set(tapped.values()))
    random = np.random.default_rng(seed)
    rows: dict[str, list[NDArray[np.float32]]] = {name: [] for name in outputs}
    low: dict[str, list[NDArray[np.float32]]] = {name: [] for name in outputs}
    high: dict[str, list[NDArray[np.float32]]] = {name: [] for name in outputs}
    for feed in feeds:
        answers: list[Any] = session.run(outputs, dict(feed))
        for name, answer in zip(outputs, answers, strict=True):
            flat = answer.reshape(-1, answer.shape[-1])
            rows[name].append(flat[random.permutation(len(flat))[:ROWS_PER_TEXT]])
            low[name].append(flat.min(axis=0))
            high[name].append(flat.max(axis=0))
    samples = {
        name: SiteSample(np.concatenate(rows[name]), np.min(low[name], axis=0), np.max(high[name], axis=0))
        for name in outputs
    }
    return Calibration(
        samples={site: samples[output] for site, output in tapped.items()},
        sites=net.sites,
        tables=tuple(sorted(net.tables)),
    )


def _table_noise(table: NDArray[np.float32]) -> float:
    scales = weight_scales(table, 8)
    restored = quantize_weight(table, scales, 8).astype(np.float32) * scales[:, None]
    return float(np.square(restored - table).mean() / max(float(np.square(table).mean()), 1e-30))
