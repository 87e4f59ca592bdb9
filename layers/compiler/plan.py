"""A plan says in which form every linear site and every embedding table of a graph is emitted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import ml_dtypes
import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from layers.artifact import InstructionSet, Precision
from layers.compiler.operators import DEFAULT_OPERATORS, Operators

if TYPE_CHECKING:
    from layers.compiler.net import Net

# Every processor. A graphics card runs graphs of its own.
EVERYWHERE: tuple[InstructionSet, ...] = ("x86_64-vnni", "x86_64-avx2", "arm64")
# The mask's bias for positions that must not be seen; large enough to vanish in a softmax, finite for fp16.
MASKED = -1e4


@dataclass(frozen=True)
class Numbers:
    """What a graph computes in: its tensors are `stored`, and `rounded` names a narrower type that values pass through.

    The second stands in for hardware that is not there: stored in float32, but with no value that float16 has not.
    """

    stored: ir.DataType
    rounded: ir.DataType | None = None

    def convert(self, values: NDArray[Any]) -> NDArray[Any]:
        """float32 values in these numbers; what is out of range becomes infinite, as it does in a product."""
        with np.errstate(over="ignore"):
            if self.rounded is not None:
                values = values.astype(NUMPY_TYPES[self.rounded])
            return values.astype(NUMPY_TYPES[self.stored])


NUMPY_TYPES: dict[ir.DataType, Any] = {
    ir.DataType.FLOAT: np.float32,
    ir.DataType.FLOAT16: np.float16,
    ir.DataType.BFLOAT16: ml_dtypes.bfloat16,
}
SINGLE = Numbers(ir.DataType.FLOAT)
HALF = Numbers(ir.DataType.FLOAT16)
BRAIN = Numbers(ir.DataType.BFLOAT16)


@dataclass(frozen=True)
class Site:
    """One use of a linear layer. `key` is shared by uses of the same weights; `name` is the use's own.

    `read_weight` gives [out_features, in_features] as torch stores it, float32.
    """

    name: str
    module: str
    key: str
    in_features: int
    out_features: int
    read_weight: Callable[[], NDArray[np.float32]]
    read_bias: Callable[[], NDArray[np.float32]] | None

    def bias(self, net: Net) -> ir.Value | None:
        """The bias as an initializer [out_features], or None."""
        if self.read_bias is None:
            return None
        return net.lazy(f"{self.module}.bias", ir.DataType.FLOAT, (self.out_features,), self.read_bias)


def joined(sites: Sequence[Site]) -> Site:
    """Sites that read one tensor as one, their outputs side by side; ranges and rules are those of the first."""
    first = sites[0]

    def read_weight() -> NDArray[np.float32]:
        return np.concatenate([site.read_weight() for site in sites])

    def read_bias() -> NDArray[np.float32]:
        return np.concatenate(
            [site.read_bias() if site.read_bias else np.zeros(site.out_features, np.float32) for site in sites]
        )

    return Site(
        name=first.name,
        module="+".join(site.module for site in sites),
        key="+".join(site.key for site in sites),
        in_features=first.in_features,
        out_features=sum(site.out_features for site in sites),
        read_weight=read_weight,
        read_bias=read_bias if any(site.read_bias for site in sites) else None,
    )


@dataclass(frozen=True)
class Product:
    """A matrix product; `bias` is still to be added when the operator could not take it along."""

    value: ir.Value
    bias: ir.Value | None = None


class LinearForm(Protocol):
    """A way to compute `x @ weight.T (+ bias)`."""

    def emit(self, net: Net, x: ir.Value, site: Site) -> Product: ...


class EmbeddingForm(Protocol):
    """A way to look up rows of a table."""

    def emit(self, net: Net, ids: ir.Value, name: str) -> ir.Value: ...


@dataclass(frozen=True)
class ExactLinear:
    """fp32, with the checkpoint's [out_features, in_features] layout as it lies on disk."""

    def emit(self, net: Net, x: ir.Value, site: Site) -> Product:
        shape = (site.out_features, site.in_features)
        weight = net.lazy(site.key, ir.DataType.FLOAT, shape, site.read_weight)
        return Product(net.ms.FusedMatMul(x, weight, transB=1), site.bias(net))


@dataclass(frozen=True)
class ExactEmbedding:
    """fp32 rows."""

    def emit(self, net: Net, ids: ir.Value, name: str) -> ir.Value:
        return net.op.Gather(net.tensor(name), ids)


EXACT_LINEAR = ExactLinear()
EXACT_EMBEDDING = ExactEmbedding()


@dataclass(frozen=True)
class Plan:
    """The forms of one variant. Sites in `kept_fp32` are `kept`; `tapped` adds every site's input as an output.

    `vocabulary` is the form of a decoder's projection to its vocabulary, read whole for every token; None is `linear`.
    `on_device` chooses the operators of a graphics card, and `numbers` what it computes in; `operators` are those of a
    processor, where there is a choice (`axes/`).
    """

    name: str
    precision: Precision
    linear: LinearForm
    embedding: EmbeddingForm
    exact_on: tuple[InstructionSet, ...] = EVERYWHERE
    kept_fp32: frozenset[str] = frozenset()
    tapped: bool = False
    vocabulary: LinearForm | None = None
    kept: LinearForm = EXACT_LINEAR
    on_device: bool = False
    numbers: Numbers = SINGLE
    operators: Operators = DEFAULT_OPERATORS

    def linear_for(self, site: str, *, vocabulary: bool = False) -> LinearForm:
        """The form of a site; a decoder's projection to its vocabulary may have one of its own."""
        if site in self.kept_fp32:
            return self.kept
        return self.vocabulary if vocabulary and self.vocabulary is not None else self.linear

    def embedding_for(self, table: str) -> EmbeddingForm:
        """The form of an embedding table."""
        return EXACT_EMBEDDING if table in self.kept_fp32 else self.embedding

    def keeping(self, names: frozenset[str]) -> Plan:
        """The same plan with more sites or tables left in fp32."""
        return replace(self, kept_fp32=self.kept_fp32 | names)

    def made_of(self, operators: Operators) -> Plan:
        """The same plan with other operators."""
        return replace(self, operators=operators)

    @property
    def emulated(self) -> Plan:
        """The same graph for a machine without the card: float32, every value rounded to what the card would have."""
        return replace(self, numbers=Numbers(ir.DataType.FLOAT, self.numbers.stored))


FP32 = Plan("fp32", "fp32", EXACT_LINEAR, EXACT_EMBEDDING)
TAPPED = replace(FP32, name="calibration", tapped=True)
