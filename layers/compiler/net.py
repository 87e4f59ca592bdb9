"""Writing a graph: the few fused blocks that every recipe is made of, each emitted as the plan says.

A `Net` turns checkpoint tensors into initializers that are read only when the graph is saved, so peak
memory is one tensor. Operators were chosen by measurement (docs/benchmarks.md); where no choice is the best for every
model, the plan has one (`axes/`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import onnx_ir as ir
from numpy.typing import NDArray
from onnxscript import GraphBuilder

from layers.compiler.axes.activation import GELU
from layers.compiler.axes.attention import ATTENTION, Attended
from layers.compiler.axes.embeddings import EMBEDDINGS
from layers.compiler.axes.normalization import NORMALIZATION
from layers.compiler.axes.projections import PROJECTIONS
from layers.compiler.checkpoint import Checkpoint
from layers.compiler.operators import Axis
from layers.compiler.plan import EXACT_LINEAR, Plan, Product, Site, joined
from layers.compiler.stored import Projection, Selection
from layers.errors import UnsupportedError

Array = NDArray[Any]
Value = ir.Value
OPSET = 23
IR_VERSION = 11
MICROSOFT = "com.microsoft"


F = TypeVar("F")


class OnnxOperators(Protocol):
    """ONNX operators by name: `op.MatMul(a, b)` appends the node and gives its first output."""

    def __getattr__(self, operator: str) -> Callable[..., Value]: ...


@dataclass(frozen=True)
class Output:
    """A linear layer's output that nothing has been done to: `product` at `site`, which reads `x`."""

    x: Value
    site: Site
    product: Product


class Net:
    """A graph under construction. Recipes call its blocks; forms (see `forms/`) call its primitives."""

    def __init__(self, checkpoint: Checkpoint, plan: Plan) -> None:
        self.checkpoint = checkpoint
        self.plan = plan
        self.sites: dict[str, Site] = {}
        self.taps: dict[str, Value] = {}
        self.tables: set[str] = set()
        self.linears: dict[Value, Output] = {}
        self.asked: set[str] = set()
        self._graph = ir.Graph([], [], nodes=[], opset_imports={"": OPSET, MICROSOFT: 1}, name=checkpoint.model_type)
        self._builder = GraphBuilder(self._graph)
        self.op: OnnxOperators = self._builder.op
        self.ms: OnnxOperators = self._builder.opset(MICROSOFT, 1)
        self._initializers: dict[str, Value] = {}
        self.shared: dict[tuple[object, ...], Value] = {}
        self.facts: dict[str, str] = {}

    def input(
        self,
        name: str,
        shape: Sequence[str | int] = ("batch", "sequence"),
        dtype: ir.DataType = ir.DataType.INT64,
    ) -> Value:
        """A graph input; int64 [batch, sequence] unless said otherwise."""
        value: Value = self._builder.input(name, dtype=dtype, shape=list(shape))
        return value

    def tensor(self, name: str) -> Value:
        """A checkpoint tensor as a float32 initializer of its own name and shape."""
        self.checkpoint.used.add(name)
        return self.lazy(name, ir.DataType.FLOAT, self.checkpoint.shape(name), lambda: self.checkpoint.read(name))

    def lazy(self, name: str, dtype: ir.DataType, shape: Sequence[int], read: Callable[[], Array]) -> Value:
        """An initializer whose content is made when the graph is saved; one per name."""
        if name not in self._initializers:
            tensor = ir.LazyTensor(lambda: ir.tensor(read(), name=name), dtype=dtype, shape=ir.Shape(shape), name=name)
            self._initializers[name] = self._builder.initializer(tensor, name=name, qualify=False)
        known = self._initializers[name]
        assert known.shape == ir.Shape(shape), f"two initializers named {name}: {known.shape} and {shape}"
        return known

    def constant(self, name: str, content: Array) -> Value:
        """A small initializer made here; one per name."""
        return self.lazy(name, ir.DataType.from_numpy(content.dtype), content.shape, lambda: content)

    def operator(self, axis: Axis[F]) -> F:
        """The plan's answer to an axis; what was asked is noted, since only that is worth trying otherwise."""
        self.asked.add(axis.name)
        return self.plan.operators.of(axis)

    def linear(
        self,
        x: Value,
        module: str,
        *,
        activation: str | None = None,
        weight: str | None = None,
        bias: str | None = "",
        rows: Selection = None,
        columns: Selection = None,
        transposed: bool = False,
        exact: bool = False,
        vocabulary: bool = False,
    ) -> Value:
        """`activation(x @ weight.T + bias)` with x [batch, sequence, in_features].

        `module` names the checkpoint's module and the site of the plan; `weight` and `bias` override its tensors
        (tied weights; bias None for none); `rows` takes a slice of a fused projection's outputs or rearranges them,
        `columns` its inputs; `transposed` is for weights stored [in_features, out_features] (GPT-2's Conv1D);
        `exact` keeps the product in fp32 whatever the plan says (small heads, where int8 gains nothing);
        `vocabulary` is for a decoder's last product, which plans may give a form of its own.
        """
        site = self._site(x, Projection(module, rows, bias=bias, weight=weight, columns=columns, transposed=transposed))
        form = EXACT_LINEAR if exact else self.plan.linear_for(site.name, vocabulary=vocabulary)
        return self.completed(form.emit(self, x, site), x, site, activation)

    def completed(self, product: Product, x: Value, site: Site, activation: str | None) -> Value:
        """A product of `x` at `site` with its bias and activation."""
        if activation == "gelu":
            return self.operator(GELU)(self, product)
        value = self._with_bias(product)
        if activation:
            return self.activate(value, activation)
        self.linears[value] = Output(x, site, product)
        return value

    def projected(self, x: Value, layers: Sequence[Projection]) -> list[Value]:
        """Whole linear layers of one tensor, all as wide as the first."""
        return self.operator(PROJECTIONS)(self, x, layers)

    def side_by_side(self, x: Value, projections: Sequence[Projection]) -> Value:
        """Several projections of x on one last axis: one product where the plan has one form for all of them.

        At one row most of a small product is its start: GPT-2 has a third of the products a token this way.
        """
        sites = [self._site(x, projection) for projection in projections]
        forms = [self.plan.linear_for(site.name) for site in sites]
        if any(form is not forms[0] for form in forms):
            parts = [form.emit(self, x, site) for form, site in zip(forms, sites, strict=True)]
            return self.op.Concat(*(self._with_bias(part) for part in parts), axis=-1)
        return self._with_bias(forms[0].emit(self, x, joined(sites)))

    def embed(self, ids: Value, name: str) -> Value:
        """Rows of the table `name` [entries, dimension] at `ids`: [batch, sequence, dimension]."""
        self.checkpoint.used.add(name)
        self.tables.add(name)
        return self.operator(EMBEDDINGS)(self.plan.embedding_for(name)).emit(self, ids, name)

    def layer_norm(self, x: Value, module: str, epsilon: float, *, bias: bool = True) -> Value:
        """LayerNormalization over the last axis."""
        inputs = [x, self.tensor(f"{module}.weight")]
        if bias:
            inputs.append(self.tensor(f"{module}.bias"))
        return self.op.LayerNormalization(*inputs, axis=-1, epsilon=epsilon)

    def rms_norm(self, x: Value, module: str, epsilon: float, *, plus_one: bool = False) -> Value:
        """RMSNormalization over the last axis (arxiv.org/abs/1910.07467); Gemma's weights count from 1."""
        return self.op.RMSNormalization(x, self.norm_weight(module, plus_one=plus_one), axis=-1, epsilon=epsilon)

    def norm_weight(self, module: str, *, plus_one: bool) -> Value:
        """A norm's weight, or one more than it."""
        name = f"{module}.weight"
        if not plus_one:
            return self.tensor(name)
        self.checkpoint.used.add(name)
        return self.lazy(
            f"{name}+1", ir.DataType.FLOAT, self.checkpoint.shape(name), lambda: self.checkpoint.read(name) + 1
        )

    def add_norm(self, x: Value, residual: Value, module: str, epsilon: float) -> Value:
        """`layer_norm(x + residual)`."""
        return self.operator(NORMALIZATION)(self, x, residual, module, epsilon)

    def attention(
        self,
        query: Value,
        key: Value,
        value: Value,
        *,
        heads: int,
        key_padding_mask: Value | None,
        bias: Value | None = None,
        scale: float | None = None,
    ) -> Value:
        """Scaled dot-product attention over [batch, sequence, hidden]; `bias` is [batch or 1, heads or 1, q, k]."""
        return self.operator(ATTENTION)(self, Attended(query, key, value, heads, key_padding_mask, bias, scale))

    def activate(self, x: Value, name: str) -> Value:
        """The activation that transformers' ACT2FN knows by `name`."""
        match name:
            case "gelu" | "gelu_python":
                return self.op.Gelu(x)
            case "gelu_new" | "gelu_fast" | "gelu_pytorch_tanh" | "gelu_python_tanh" | "gelu_accurate":
                return self.op.Gelu(x, approximate="tanh")
            case "quick_gelu":
                return self.ms.QuickGelu(x, alpha=1.702)
            case "silu" | "swish":
                return self.ms.QuickGelu(x, alpha=1.0)
            case "relu":
                return self.op.Relu(x)
            case "tanh":
                return self.op.Tanh(x)
            case "sigmoid":
                return self.op.Sigmoid(x)
            case "linear" | "identity":
                return x
        raise UnsupportedError(
            f"activation, for {self.checkpoint.title}: got {name!r}, expected "
            "gelu, gelu_new, quick_gelu, silu, relu, tanh, sigmoid, linear or an alias. Add it to Net.activate."
        )

    def first_token(self, hidden_states: Value) -> Value:
        """[batch, sequence, hidden] -> [batch, hidden], the first position."""
        return self.op.Gather(hidden_states, 0, axis=1)

    @property
    def reals(self) -> ir.DataType:
        """The type of hidden states."""
        return self.plan.numbers.stored

    @contextmanager
    def single(self, x: Value) -> Iterator[Value]:
        """`x` in float32, and with it every initializer made in this context."""
        yield x

    def finish(self, outputs: Mapping[str, Value]) -> ir.Model:
        """Close the graph with named outputs (and the taps of a calibration plan)."""
        for name, value in outputs.items():
            self._builder.add_output(value, name)
        if self.plan.tapped:
            for value in {id(v): v for v in self.taps.values()}.values():
                self._builder.add_output(value, None)
        self.simplify()
        return ir.Model(
            self._graph, ir_version=IR_VERSION, producer_name="hundredfold", metadata_props=dict(self.facts)
        )

    def simplify(self) -> None:
        """Take out nodes, then initializers, that nobody reads."""
        graph = self._graph
        for node in reversed(list(graph)):
            if not any(value.uses() or value.is_graph_output() for value in node.outputs):
                graph.remove(node, safe=True)
        for name, value in list(graph.initializers.items()):
            if not value.uses():
                graph.initializers.pop(name)

    def _with_bias(self, product: Product) -> Value:
        return product.value if product.bias is None else self.op.Add(product.value, product.bias)

    def _site(self, x: Value, projection: Projection) -> Site:
        checkpoint, module = self.checkpoint, projection.module
        stored = projection.stored(checkpoint)
        out_features, in_features = stored.features(checkpoint)
        suffix = stored.suffix
        # A layer applied more than once (ALBERT) shares its weights, but each use sees other activations.
        uses = sum(1 for site in self.sites.values() if site.module == module + suffix)
        name = module + suffix + (f"#{uses + 1}" if uses else "")
        checkpoint.used.add(stored.weight)
        if stored.bias:
            checkpoint.shape(stored.bias)  # content is read when the graph is saved; what is missing shows now
            checkpoint.used.add(stored.bias)
        site = Site(
            name=name,
            module=module + suffix,
            key=stored.weight + suffix,
            in_features=in_features,
            out_features=out_features,
            read_weight=lambda: stored.read_weight(checkpoint),
            read_bias=None if stored.bias is None else lambda: stored.read_bias(checkpoint),
        )
        self.sites[name] = site
        self.taps[name] = x
        return site


def count_operators(model: ir.Model) -> dict[str, int]:
    """How often each operator occurs, for the manifest and for tests of fusion."""
    return dict(sorted(Counter(node.op_type for node in model.graph).items()))
