"""The streams' numbers, made from their declarations in schemas/metrics.py."""

from collections import Counter as Tally
from collections.abc import Iterable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from waterline.schemas.errors import ErrorCode
from waterline.schemas.metrics import STREAMS, Metric
from waterline.streams.writer import Record


class Meters:
    """All of them, in one registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._made = {metric.name: make(metric, self.registry) for metric in STREAMS}

    def __getitem__(self, name: str) -> Any:
        return self._made[name]


class Meter:
    """Those of one stage."""

    def __init__(self, meters: Meters, stage: str) -> None:
        self._meters = meters
        self._stage = stage
        self._frames = meters["streams_frames_total"].labels(stage)
        self._events = meters["streams_events_total"].labels(stage)
        self._commit_s = meters["streams_commit_seconds"].labels(stage)
        self._committed = meters["streams_transactions_total"].labels(stage, "committed")
        self.aborted = meters["streams_transactions_total"].labels(stage, "aborted")
        self.left_out = meters["streams_left_out_total"].labels(stage)
        self.skipped = meters["streams_skipped_total"].labels(stage)

    def buried(self, code: ErrorCode) -> Any:
        return self._meters["streams_buried_total"].labels(self._stage, code.value)

    def applied(self, frames: int, lines: int) -> None:
        self._frames.inc(frames)
        self._events.inc(lines)

    def committed(self, facts: Iterable[Record], seconds: float) -> None:
        self._committed.inc()
        self._commit_s.observe(seconds)
        for topic, count in Tally(fact.topic for fact in facts).items():
            self._meters["streams_produced_total"].labels(topic).inc(count)

    def recovered(self, source: str, seconds: float) -> None:
        self._meters["streams_recoveries_total"].labels(self._stage, source).inc()
        self._meters["streams_recovery_seconds"].labels(self._stage).observe(seconds)


def make(metric: Metric, registry: CollectorRegistry) -> MetricWrapperBase:
    if metric.kind == "histogram":
        return Histogram(metric.name, metric.meaning, metric.labels, buckets=metric.buckets, registry=registry)
    kind: type[Counter | Gauge] = Counter if metric.kind == "counter" else Gauge
    return kind(metric.name, metric.meaning, metric.labels, registry=registry)
