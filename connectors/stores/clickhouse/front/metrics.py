"""The front's own metrics, made from their declarations in `schemas.metrics`."""

from functools import partial
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from waterline.connectors.stores.clickhouse.front.link import Stats
from waterline.schemas.metrics import METRICS, Metric

if TYPE_CHECKING:
    from waterline.connectors.stores.clickhouse.front.serve import Server

DECLARED: dict[str, Metric] = {metric.name: metric for metric in METRICS}
CLIENT_GONE = "client_gone"


class Meters:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.queries = self._counter("front_queries_total")
        self.refused = self._counter("front_refused_total")
        self.rows = self._counter("front_rows_total")
        self.sent = self._counter("front_sent_bytes_total")
        seconds = DECLARED["front_query_seconds"]
        self.seconds = Histogram(seconds.name, seconds.meaning, buckets=seconds.buckets, registry=self.registry)
        self.in_flight = self._gauge("front_in_flight")
        self.sessions = self._gauge("front_sessions")
        self.held = self._gauge("front_held_bytes")

    def _counter(self, name: str) -> Counter:
        metric = DECLARED[name]
        return Counter(metric.name, metric.meaning, metric.labels, registry=self.registry)

    def _gauge(self, name: str) -> Gauge:
        metric = DECLARED[name]
        return Gauge(metric.name, metric.meaning, metric.labels, registry=self.registry)

    def watch(self, server: "Server") -> None:
        """Gauges that are read when they are asked for."""
        for lane in (server.reads, server.writes):
            self.in_flight.labels(lane.name).set_function(partial(getattr, lane, "taken"))
        self.sessions.set_function(lambda: len(server.sessions.named))
        self.held.set_function(lambda: server.held.bytes)

    def done(self, stats: Stats) -> None:
        self.rows.labels("read").inc(stats.read_rows)
        self.rows.labels("written").inc(stats.written_rows)

    def request(self, code: int, seconds: float, sent: int) -> None:
        """`code`: 0 answered, -1 the client went away, else ClickHouse's error code."""
        self.queries.inc()
        if code:
            self.refused.labels(str(code) if code > 0 else CLIENT_GONE).inc()
        self.seconds.observe(seconds)
        self.sent.inc(sent)

    def text(self) -> bytes:
        return generate_latest(self.registry)
