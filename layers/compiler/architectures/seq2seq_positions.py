"""Where BART and its relatives say their tokens are: learned tables, or one of two layouts of sines and cosines."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from layers.compiler.architectures.architecture import HfConfig
from layers.compiler.architectures.bert import fairseq_places
from layers.compiler.architectures.decoding import Decoding
from layers.compiler.net import Net


class Positions(Protocol):
    """`at` is the encoder or the decoder; both methods give what is added to words [batch or 1, sequence, hidden]."""

    def source(self, net: Net, config: HfConfig, at: str, input_ids: ir.Value, /) -> ir.Value: ...

    def target(self, net: Net, config: HfConfig, at: str, decoding: Decoding, /) -> ir.Value: ...


class LearnedPositions:
    """BART's: the first two rows of the table are never read."""

    first = 2

    def source(self, net: Net, _config: HfConfig, at: str, input_ids: ir.Value) -> ir.Value:
        """See Positions."""
        op = net.op
        end = op.Add(op.Shape(input_ids, start=1, end=2), [self.first])
        return op.Slice(net.tensor(f"{at}.embed_positions.weight"), [self.first], end)

    def target(self, net: Net, _config: HfConfig, at: str, decoding: Decoding) -> ir.Value:
        """See Positions."""
        first = net.constant("first_position", np.array(self.first, np.int64))
        return net.op.Gather(net.tensor(f"{at}.embed_positions.weight"), net.op.Add(decoding.positions, first))


class SinusoidalPositions:
    """Marian's and Pegasus': sines, then cosines; made here unless the checkpoint has them."""

    def source(self, net: Net, config: HfConfig, at: str, input_ids: ir.Value) -> ir.Value:
        """See Positions."""
        return net.op.Slice(self._table(net, config, at), [0], net.op.Shape(input_ids, start=1, end=2))

    def target(self, net: Net, config: HfConfig, at: str, decoding: Decoding) -> ir.Value:
        """See Positions."""
        return net.op.Gather(self._table(net, config, at), decoding.positions)

    def _table(self, net: Net, config: HfConfig, at: str) -> ir.Value:
        if f"{at}.embed_positions.weight" in net.checkpoint:
            return net.tensor(f"{at}.embed_positions.weight")
        shape = config["max_position_embeddings"], config["d_model"]
        return net.lazy("sinusoidal", ir.DataType.FLOAT, shape, lambda: sinusoids(*shape))


class FairseqPositions:
    """M2M100's: real tokens count from pad_token_id + 1, padding is nowhere and gets zeros."""

    def source(self, net: Net, config: HfConfig, _at: str, input_ids: ir.Value) -> ir.Value:
        """See Positions."""
        return net.op.Gather(self._table(net, config), fairseq_places(net, input_ids, config["pad_token_id"]))

    def target(self, net: Net, config: HfConfig, _at: str, decoding: Decoding) -> ir.Value:
        """See Positions."""
        op = net.op
        padding = net.constant("pad_token_id", np.array(config["pad_token_id"], np.int64))
        first = net.constant("first_position", np.array(config["pad_token_id"] + 1, np.int64))
        places = op.Add(decoding.positions, first)
        return op.Gather(self._table(net, config), op.Where(op.Equal(decoding.input_ids, padding), padding, places))

    def _table(self, net: Net, config: HfConfig) -> ir.Value:
        rows, width, pad = config["max_position_embeddings"] + 2, config["d_model"], config["pad_token_id"]
        return net.lazy("fairseq_sinusoidal", ir.DataType.FLOAT, (rows, width), lambda: waves(rows, width, pad))


def sinusoids(rows: int, width: int) -> NDArray[np.float32]:
    """[rows, width]: feature j has frequency 10000^(-2 (j // 2) / width), even ones sines, then odd ones cosines."""
    features = np.arange(width)
    angles = np.arange(rows)[:, None] / np.power(10000, 2 * (features // 2) / width)
    return np.concatenate([np.sin(angles[:, 0::2]), np.cos(angles[:, 1::2])], axis=1).astype(np.float32)


def waves(rows: int, width: int, padding: int) -> NDArray[np.float32]:
    """[rows, width] as tensor2tensor has it, the row of `padding` zero; in float32 as torch computes it."""
    half = width // 2
    step = np.float32(np.log(10000) / (half - 1))
    frequencies = np.exp(np.arange(half, dtype=np.float32) * -step)
    angles = np.arange(rows, dtype=np.float32)[:, None] * frequencies[None]
    table = np.concatenate([np.sin(angles), np.cos(angles), np.zeros((rows, width % 2), np.float32)], axis=1)
    table[padding] = 0
    return np.asarray(table, np.float32)
