"""What opening a generative artifact can be told, beyond what opening any other can."""

from __future__ import annotations

from layers.runtime.engine import LoadOptions

DEFAULT_KV_CACHE_BYTES = 2**30
DEFAULT_PREFIX_CACHE_BYTES = 256 * 2**20
DEFAULT_GENERATIONS = 4
DEFAULT_WAIT_SECONDS = 10.0
DEFAULT_LOOKUP_TOKENS = 16


class GenerationLoadOptions(LoadOptions, total=False):
    """Keyword arguments of `GenerationEngine.load`, for those who pass them on."""

    kv_cache_bytes: int
    prefix_cache_bytes: int
    max_generations: int
    generation_wait_seconds: float
    generation_rows: int
    lookup_tokens: int
