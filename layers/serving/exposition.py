"""The counts as Prometheus reads them: its text exposition format 0.0.4. Read on request.

https://prometheus.io/docs/instrumenting/exposition_formats. A client library would cost 8 ms of every start.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass

from layers.runtime.cache import CacheReport
from layers.runtime.generation.engine import GenerationEngine
from layers.runtime.predictor import Predictor
from layers.serving.metrics import Histogram, Metrics

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# What a cache holds now. Everything else that it reports only ever grows.
HELD = ("bytes", "entries")
LOOKUPS = {
    "drafted_tokens": "Tokens guessed from what stood before.",
    "accepted_tokens": "Guessed tokens that were right.",
    "runs": "Runs of a decoder that guesses, prompts apart.",
}

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: its name, its kind (counter, gauge, histogram), what it says, and its lines."""

    name: str
    kind: str
    help: str
    lines: tuple[str, ...]

    def text(self) -> str:
        """As it is exposed; nothing where nothing was counted yet."""
        if not self.lines:
            return ""
        head = f"# HELP {self.name} {self.help}\n# TYPE {self.name} {self.kind}\n"
        return head + "".join(f"{line}\n" for line in self.lines)


def expose(
    metrics: Metrics, predictors: Mapping[str, Predictor], caches: Mapping[str, Mapping[str, CacheReport]]
) -> str:
    """Everything counted so far; `caches` are reports by model and cache."""
    with metrics.lock:
        families = [*_requests(metrics), *_work(metrics)]
    families += [_models(predictors), *_caches(caches), *_lookups(predictors)]
    return "".join(family.text() for family in families)


def _requests(metrics: Metrics) -> Iterator[Family]:
    counted = (
        _sample("hundredfold_requests_total", {"route": r, "model": m, "task": t, "status": str(s)}, count)
        for (r, m, t, s), count in metrics.requests.items()
    )
    yield Family("hundredfold_requests_total", "counter", "Requests answered, by route.", tuple(counted))
    name = "hundredfold_broken_streams_total"
    broken = (_sample(name, {"model": m, "task": t}, count) for (m, t), count in metrics.broken_streams.items())
    yield Family(name, "counter", "Streams that an error ended after their status.", tuple(broken))
    name = "hundredfold_requests_in_flight"
    yield Family(name, "gauge", "Requests being answered, this one included.", (_sample(name, {}, metrics.in_flight),))


def _work(metrics: Metrics) -> Iterator[Family]:
    name = "hundredfold_stage_seconds"
    stages = (
        line
        for (stage, model, task), histogram in metrics.stages.items()
        for line in _buckets(name, {"stage": stage, "model": model, "task": task}, histogram)
    )
    yield Family(name, "histogram", "Seconds of requests in each stage.", tuple(stages))
    name = "hundredfold_request_texts"
    texts = (
        line
        for (model, task), histogram in metrics.texts.items()
        for line in _buckets(name, {"model": model, "task": task}, histogram)
    )
    yield Family(name, "histogram", "Texts in a request.", tuple(texts))
    name = "hundredfold_tokens_total"
    tokens = (_sample(name, {"model": m, "kind": kind}, count) for (m, kind), count in metrics.tokens.items())
    yield Family(name, "counter", "Tokens read, written and cut off.", tuple(tokens))
    name = "hundredfold_truncated_requests_total"
    cut = (_sample(name, {"model": model}, count) for model, count in metrics.truncations.items())
    yield Family(name, "counter", "Requests of which something was cut off.", tuple(cut))


def _models(predictors: Mapping[str, Predictor]) -> Family:
    name = "hundredfold_model_info"
    lines = tuple(
        _sample(
            name,
            {
                "model": predictor.manifest.name,
                "task": predictor.manifest.task,
                "variant": predictor.variant.name,
                "precision": predictor.variant.precision,
                "digest": predictor.manifest.digest,
            },
            1,
        )
        for predictor in predictors.values()
    )
    return Family(name, "gauge", "What is served here.", lines)


def _caches(caches: Mapping[str, Mapping[str, CacheReport]]) -> Iterator[Family]:
    """Every field that any cache reports, as a metric of its own."""
    fields: dict[str, list[tuple[Labels, float]]] = {}
    for model, reports in caches.items():
        for cache, report in reports.items():
            for field, value in asdict(report).items():
                fields.setdefault(field, []).append(({"model": model, "cache": cache}, value))
    for field, samples in fields.items():
        held = field in HELD
        name = f"hundredfold_cache_{field}" + ("" if held else "_total")
        words = f"What caches hold now: {field}." if held else f"Caches: {field.replace('_', ' ')} since the start."
        yield Family(name, "gauge" if held else "counter", words, tuple(_sample(name, *sample) for sample in samples))


def _lookups(predictors: Mapping[str, Predictor]) -> Iterator[Family]:
    engines = {name: predictor.engine_in_memory for name, predictor in predictors.items()}
    reports = {name: each.lookup_report() for name, each in engines.items() if isinstance(each, GenerationEngine)}
    counts = {name: asdict(report) for name, report in reports.items() if report}
    for field, words in LOOKUPS.items():
        name = f"hundredfold_lookup_{field}_total"
        samples = (_sample(name, {"model": model}, count[field]) for model, count in counts.items())
        yield Family(name, "counter", words, tuple(samples))


def _buckets(name: str, labels: Labels, histogram: Histogram) -> Iterator[str]:
    count = 0
    bounds: Iterable[str] = [*(f"{bound:g}" for bound in histogram.bounds), "+Inf"]
    for bound, more in zip(bounds, histogram.counts, strict=True):
        count += more
        yield _sample(f"{name}_bucket", {**labels, "le": bound}, count)
    yield _sample(f"{name}_sum", labels, histogram.total)
    yield _sample(f"{name}_count", labels, count)


def _sample(name: str, labels: Labels, value: float) -> str:
    pairs = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
    return f"{name}{{{pairs}}} {value!r}" if pairs else f"{name} {value!r}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
