"""The environment as one frozen object, read once. Nothing else here looks at environment variables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from layers.errors import ArtifactError
from layers.runtime.generation.load_options import (
    DEFAULT_GENERATIONS,
    DEFAULT_KV_CACHE_BYTES,
    DEFAULT_LOOKUP_TOKENS,
    DEFAULT_PREFIX_CACHE_BYTES,
    DEFAULT_WAIT_SECONDS,
    GenerationLoadOptions,
)
from layers.runtime.limits import DEFAULT_REQUEST_TOKENS, TokenLimits


class Settings(BaseSettings):
    """`ARTIFACT_DIR`, and the rest under `HUNDREDFOLD_` (`HUNDREDFOLD_MAX_BATCH_SIZE`, ...); empty means not set."""

    model_config = SettingsConfigDict(frozen=True, env_prefix="HUNDREDFOLD_", env_ignore_empty=True)

    artifact_dir: Annotated[Path, Field(validation_alias="artifact_dir")]
    """An artifact, or a folder of artifacts served by name."""
    max_body_bytes: Annotated[int, Field(ge=1)] = 2_000_000
    """Largest request body; beyond it a request is refused with 413."""
    max_batch_size: Annotated[int, Field(ge=1)] = 32
    """Most texts in one request."""
    max_batch_tokens: Annotated[int, Field(ge=1)] | None = None
    """Most tokens, padding included, in one run of the graph; when absent, what suits the model and the device."""
    max_input_tokens: Annotated[int, Field(ge=1)] | None = None
    """Most tokens of one text, where the model takes more; encoders cut what is longer, writers refuse it."""
    max_request_tokens: Annotated[int, Field(ge=1)] | None = DEFAULT_REQUEST_TOKENS
    """Most tokens of all texts of one request."""
    max_new_tokens: Annotated[int, Field(ge=1)] | None = None
    """Most tokens written after one text."""
    max_total_tokens: Annotated[int, Field(ge=1)] | None = None
    """Most tokens of one text with what is written after it, where the model takes more."""
    max_concurrent_requests: Annotated[int, Field(ge=1)] = 64
    """Most requests being answered or waiting for a worker; beyond it a request is refused with 429."""
    workers: Annotated[int, Field(ge=0)] = 0
    """Threads that answer requests; 0 answers one at a time on the server's own thread, as Lambda needs it."""
    batch_wait_ms: Annotated[float, Field(ge=0)] | None = None
    """How long a text may wait for others to be computed with, of requests that do not write; absent: not at all."""
    encoding_cache_bytes: Annotated[int, Field(ge=0)] = 16 * 2**20
    """What the cache of encodings may hold, per model."""
    response_cache_bytes: Annotated[int, Field(ge=0)] = 16 * 2**20
    """What the cache of whole answers may hold in memory, per model; 0 keeps none."""
    response_cache_table: Annotated[str, Field(min_length=1)] | None = None
    """A DynamoDB table through which environments share answers."""
    response_cache_ttl_seconds: Annotated[int, Field(ge=1)] = 86_400
    """How long an answer in the table is valid."""
    kv_cache_bytes: Annotated[int, Field(ge=1)] = DEFAULT_KV_CACHE_BYTES
    """Most memory for the keys and values of all requests that are being written, per generative model."""
    prefix_cache_bytes: Annotated[int, Field(ge=0)] = DEFAULT_PREFIX_CACHE_BYTES
    """What the cache of keys and values of earlier prompts may hold, per generative model; 0 reuses nothing."""
    max_generations: Annotated[int, Field(ge=1)] = DEFAULT_GENERATIONS
    """Most requests that are written at once, per generative model; others wait."""
    generation_wait_seconds: Annotated[float, Field(ge=0)] = DEFAULT_WAIT_SECONDS
    """How long a request waits for others to be written before it is refused with 429."""
    generation_rows: Annotated[int, Field(ge=0, le=256)] = 0
    """Most texts of different requests that are written together; 0 gives every request a decoder of its own."""
    lookup_tokens: Annotated[int, Field(ge=0, le=64)] = DEFAULT_LOOKUP_TOKENS
    """Most tokens that are guessed at once from what a prompt or a text said before; 0 guesses none."""
    group_bytes: Annotated[int, Field(ge=0)] | None = None
    """Most memory for the loaded models of a folder of several; when absent, what the process may have less its own."""
    threads: Annotated[int, Field(ge=1)] | None = None
    """Threads of a session; when absent, what the CPU share of the environment allows."""
    spinning: bool | None = None
    """Whether a session's threads wait awake for a moment; when absent, what the build found, as a rule yes."""
    init_seconds: Annotated[float, Field(ge=0)] = 8.0
    """How long after the start of the process a warm inference may take in Lambda's init phase, which has 10 s."""
    verify_weights: bool = False
    """Check weights by hash at load and not only by size; reads every byte of them."""

    def load_options(self) -> GenerationLoadOptions:
        """What `Predictor.load` and `load_predictors` take of this."""
        return {
            "threads": self.threads,
            "spinning": self.spinning,
            "verify_weights": self.verify_weights,
            "encoding_cache_bytes": self.encoding_cache_bytes,
            "max_batch_tokens": self.max_batch_tokens,
            "kv_cache_bytes": self.kv_cache_bytes,
            "prefix_cache_bytes": self.prefix_cache_bytes,
            "max_generations": self.max_generations,
            "generation_wait_seconds": self.generation_wait_seconds,
            "generation_rows": self.generation_rows,
            "lookup_tokens": self.lookup_tokens,
            "limits": TokenLimits(
                input_tokens=self.max_input_tokens,
                request_tokens=self.max_request_tokens,
                new_tokens=self.max_new_tokens,
                total_tokens=self.max_total_tokens,
            ),
        }


def read_settings() -> Settings:
    """Settings from the environment. Raises ArtifactError naming each variable that is missing or wrong."""
    try:
        return Settings()  # type: ignore[call-arg]  # artifact_dir comes from the environment
    except ValidationError as error:
        raise ArtifactError(problems_of(error)) from error


def problems_of(error: ValidationError) -> str:
    """Each variable that is missing or wrong, with what it holds and what was expected."""
    return "; ".join(
        f"{_variable(str(item['loc'][0]))}: got {item['input']!r}, {item['msg']}"
        if item["type"] != "missing"
        else f"{_variable(str(item['loc'][0]))} is not set: name an artifact or a folder of artifacts"
        for item in error.errors()
    )


def _variable(field: str) -> str:
    return "ARTIFACT_DIR" if field == "artifact_dir" else f"HUNDREDFOLD_{field.upper()}"
