"""Every axis, in the order in which they are tried. A new one is a file here, and a line below."""

from __future__ import annotations

from typing import Any

from layers.compiler.axes.activation import GELU
from layers.compiler.axes.attention import ATTENTION
from layers.compiler.axes.blocks import BLOCKS
from layers.compiler.axes.embeddings import EMBEDDINGS
from layers.compiler.axes.normalization import NORMALIZATION
from layers.compiler.axes.projections import PROJECTIONS
from layers.compiler.axes.row_ranges import ROW_RANGES
from layers.compiler.axes.session import SPINNING, THREADS
from layers.compiler.operators import Axis

GRAPH_AXES: tuple[Axis[Any], ...] = (ATTENTION, NORMALIZATION, PROJECTIONS, ROW_RANGES, GELU, BLOCKS, EMBEDDINGS)
SESSION_AXES: tuple[Axis[Any], ...] = (THREADS, SPINNING)
AXES = (*GRAPH_AXES, *SESSION_AXES)
