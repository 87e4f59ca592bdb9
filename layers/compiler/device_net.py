"""The blocks of a graph for a graphics card: the same recipes, with the operators onnxruntime's CUDA provider fuses.

Recipes call `Net`'s blocks and know nothing of this. What a block needs of what came before it (whether query, key and
value are projections of one tensor, whether a norm's input is a sum) is noted while the graph is written, and nodes
that turn out to be unneeded are taken out when it is finished. tests/compiler/test_device_net.py counts what is left.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx_ir as ir

from layers.compiler.checkpoint import Checkpoint
from layers.compiler.device_embedding import normed_embeddings
from layers.compiler.forms.half import HalfLinear, transposed_weight
from layers.compiler.net import Net, Value
from layers.compiler.plan import MASKED, Plan, Product, Site, joined
from layers.generation import BEST, BEST_SCORE

GELU_BY_TANH = ("gelu_new", "gelu_fast", "gelu_pytorch_tanh", "gelu_python_tanh", "gelu_accurate")
# Operators whose first output is rounded where a graph stands in for narrower numbers.
ROUNDED = {
    *("Attention", "MultiHeadAttention", "GroupQueryAttention", "MatMul", "FusedMatMul", "MatMulNBits", "Gelu"),
    *("BiasGelu", "FastGelu", "QuickGelu", "LayerNormalization", "RMSNormalization", "RotaryEmbedding", "Relu", "Tanh"),
    *("SkipLayerNormalization", "SkipSimplifiedLayerNormalization", "EmbedLayerNormalization"),
}


class DeviceNet(Net):
    """A graph for a card under construction."""

    def __init__(self, checkpoint: Checkpoint, plan: Plan) -> None:
        super().__init__(checkpoint, plan)
        self._sums: dict[Value, Value] = {}
        self._singles: set[Value] = set()
        self._in_single = False

    def lazy(self, name: str, dtype: ir.DataType, shape: Sequence[int], read: Any) -> Value:
        """As Net.lazy; real numbers are the plan's."""
        numbers = self.plan.numbers
        if dtype != ir.DataType.FLOAT or self._in_single:
            return super().lazy(name, dtype, shape, read)
        return super().lazy(name, numbers.stored, shape, lambda: numbers.convert(np.asarray(read(), np.float32)))

    @contextmanager
    def single(self, x: Value) -> Iterator[Value]:
        """As Net.single."""
        before, self._in_single = self._in_single, True
        exact = x if self.reals == ir.DataType.FLOAT else self.op.Cast(x, to=ir.DataType.FLOAT)
        self._singles.add(exact)
        try:
            yield exact
        finally:
            self._in_single = before

    def completed(self, product: Product, x: Value, site: Site, activation: str | None) -> Value:
        """As Net.completed, with the activations that take a bias along."""
        if activation in GELU_BY_TANH:
            return self.ms.FastGelu(*([product.value] if product.bias is None else [product.value, product.bias]))
        return super().completed(product, x, site, activation)

    def _packed(self, values: Sequence[Value]) -> tuple[Value, Value, Value | None] | None:
        """What layers that read one tensor come from: it, their weights side by side [in, out], their biases [out].

        None when they are none, somebody else reads their outputs, or their form is not the plain one.
        """
        found = [self.linears.get(value) for value in values]
        linears = [linear for linear in found if linear is not None]
        if len(linears) < len(values) or any(value.uses() for value in values):
            return None
        x, sites = linears[0].x, [linear.site for linear in linears]
        if any(linear.x is not x for linear in linears) or not all(map(self._is_plain, sites)):
            return None
        site = joined(sites)
        return x, transposed_weight(self, site), site.bias(self)

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
        """As Net.attention. Attention computes the three projections itself and takes lengths for a mask.

        Only with lengths does it have a kernel that skips padding; with a mask by position it lays scores out.
        """
        packed = self._packed((query, key, value))
        if packed is None:
            return super().attention(
                query, key, value, heads=heads, key_padding_mask=key_padding_mask, bias=bias, scale=scale
            )
        options: dict[str, Any] = {"num_heads": heads, "mask_filter_value": MASKED}
        if scale is not None:
            options["scale"] = scale
        lengths = None if key_padding_mask is None else self._lengths(key_padding_mask)
        return self.ms.Attention(*packed, lengths, None, bias, **options)

    def layer_norm(self, x: Value, module: str, epsilon: float, *, bias: bool = True) -> Value:
        """As Net.layer_norm; the sum before it, and a product's bias before that, are added on the way."""
        if (sides := self._residual(x)) is None:
            embedded = normed_embeddings(self, x, module, epsilon) if bias else None
            return super().layer_norm(x, module, epsilon, bias=bias) if embedded is None else embedded
        left, right, product_bias = sides
        weights = [self.tensor(f"{module}.weight"), self.tensor(f"{module}.bias") if bias else None]
        outputs: Any = self.ms.SkipLayerNormalization(
            left, right, *weights, product_bias, epsilon=epsilon, _outputs=_named(x)
        )
        self._sums[x] = outputs[3]
        normed: Value = outputs[0]
        return normed

    def rms_norm(self, x: Value, module: str, epsilon: float, *, plus_one: bool = False) -> Value:
        """As Net.rms_norm, joined with the sum before it as in `layer_norm`."""
        if (sides := self._residual(x)) is None:
            return super().rms_norm(x, module, epsilon, plus_one=plus_one)
        left, right, product_bias = sides
        weight = self.norm_weight(module, plus_one=plus_one)
        outputs: Any = self.ms.SkipSimplifiedLayerNormalization(
            left, right, weight, product_bias, epsilon=epsilon, _outputs=_named(x)
        )
        self._sums[x] = outputs[3]
        normed: Value = outputs[0]
        return normed

    def finish(self, outputs: Mapping[str, Value]) -> ir.Model:
        """As Net.finish; answers are float32, and nodes that nobody reads are gone."""
        model = super().finish({name: self._answer(name, value) for name, value in outputs.items()})
        for x, total in self._sums.items():
            for node, index in tuple(x.uses()):
                node.replace_input_with(index, total)
        self.simplify()
        model.graph.sort()
        if (narrow := self.plan.numbers.rounded) not in (None, ir.DataType.FLOAT):
            _round(model.graph, narrow)
        _drop_unread(model.graph)
        return model

    def _is_plain(self, site: Site) -> bool:
        return isinstance(self.plan.linear_for(site.name), HalfLinear)

    def _lengths(self, key_padding_mask: Value) -> Value:
        """Valid tokens of each row int32 [batch], of a mask int32 [batch, sequence] that is padded on the right."""
        key = ("lengths", key_padding_mask.name)
        if key not in self.shared:
            self.shared[key] = self.op.ReduceSum(key_padding_mask, [1], keepdims=0)
        return self.shared[key]

    def _residual(self, x: Value) -> tuple[Value, Value, Value | None] | None:
        """A sum's product without its bias, the other side, and the bias; None where `x` is no such sum."""
        node = x.producer()
        if node is None or node.op_type != "Add" or x in self.linears or x in self._sums:
            return None
        left, right = node.inputs
        for one, other in ((left, right), (right, left)):
            if one is not None and other is not None and one in self.linears and other.const_value is None:
                product = self.linears[one].product
                return product.value, other, product.bias
        return None

    def _answer(self, name: str, value: Value) -> Value:
        """An output as callers take it: caches stay in the graph's numbers, everything else is float32."""
        if name.startswith(("present.", "cross.")) or value in self._singles or name in (BEST, BEST_SCORE):
            return value
        if self.reals == ir.DataType.FLOAT:
            return value
        answer = self.op.Cast(value, to=ir.DataType.FLOAT)
        answer.shape, answer.type = value.shape, ir.TensorType(ir.DataType.FLOAT)
        value.shape, value.type = None, None
        return answer


def _named(x: Value) -> list[str]:
    return [f"{x.name}.{part}" for part in ("normed", "mean", "deviation", "sum")]


def _drop_unread(graph: ir.Graph) -> None:
    """Take back the sums that nobody reads: those that have a name are written, 7 us of 24 at 32 x 384 tokens."""
    for node in graph:
        if not node.op_type.startswith("Skip"):
            continue
        read = [bool(value.uses()) or value.is_graph_output() for value in node.outputs]
        node.resize_outputs(max((index for index, is_read in enumerate(read) if is_read), default=0) + 1)
        for value, is_read in zip(node.outputs, read, strict=False):
            if not is_read:
                value.name = ""


def _round(graph: ir.Graph, narrow: ir.DataType) -> None:
    """Let the results of ROUNDED operators pass through `narrow` numbers, as on a card that keeps them so."""
    for node in list(graph):
        if node.op_type not in ROUNDED:
            continue
        sums = [3] if node.op_type.startswith("Skip") else []
        for index in (0, *sums):
            value = node.outputs[index]
            readers = tuple(value.uses())
            if not readers and not value.is_graph_output():
                continue
            there = ir.node("Cast", [value], {"to": narrow})
            back = ir.node("Cast", [there.outputs[0]], {"to": ir.DataType.FLOAT})
            graph.insert_after(node, [there, back])
            for reader, place in readers:
                reader.replace_input_with(place, back.outputs[0])
            if value.is_graph_output():
                _take_over(graph, value, back.outputs[0])


def _take_over(graph: ir.Graph, before: Value, after: Value) -> None:
    """Let `after` be the output that `before` was."""
    place = list(graph.outputs).index(before)
    after.shape, after.type, name = before.shape, before.type, before.name
    graph.outputs[place] = after
    before.name = f"{name}.unrounded"
    after.name = name


def open_net(checkpoint: Checkpoint, plan: Plan) -> Net:
    """A graph to write, for the processor or the card that the plan names."""
    return DeviceNet(checkpoint, plan) if plan.on_device else Net(checkpoint, plan)
