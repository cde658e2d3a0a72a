"""What the sink says of itself: /healthz (the process turns), /readyz (it does its work, or why not), /metrics."""

import socket
import threading
from collections import Counter as Count
from collections.abc import Callable, Iterable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from waterline.connectors.stores.clickhouse.ledger import Offsets
from waterline.connectors.stores.clickhouse.partition import Partition, Phase
from waterline.connectors.stores.clickhouse.write import Done
from waterline.schemas.metrics import METRICS, Metric

DECLARED: dict[str, Metric] = {metric.name: metric for metric in METRICS}


class Meters:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.lag = self._gauge("sink_lag_records")
        self.partitions = self._gauge("sink_partitions")
        self.paused = self._gauge("sink_paused_partitions")
        self.held = self._gauge("sink_held_bytes")
        self.records = self._counter("sink_records_total")
        self.rows = self._counter("sink_rows_total")
        self.copies = self._counter("sink_copies_total")
        self.buried = self._counter("sink_buried_total")
        self.ranges = self._counter("sink_ranges_total")
        self.refused = self._counter("sink_refused_total")
        self.retries = self._counter("sink_retries_total")
        self.lost = self._counter("sink_lost_records_total")
        seconds = DECLARED["sink_insert_seconds"]
        self.seconds = Histogram(seconds.name, seconds.meaning, seconds.labels, buckets=seconds.buckets, registry=self.registry)

    def _counter(self, name: str) -> Counter:
        metric = DECLARED[name]
        return Counter(metric.name, metric.meaning, metric.labels, registry=self.registry)

    def _gauge(self, name: str) -> Gauge:
        metric = DECLARED[name]
        return Gauge(metric.name, metric.meaning, metric.labels, registry=self.registry)

    def done(self, topic: str, records: int, outcome: Done) -> None:
        self.ranges.labels(topic).inc()
        self.records.labels(topic).inc(records)
        self.rows.labels(topic).inc(outcome.rows)
        self.copies.labels(topic).inc(outcome.copies)
        self.buried.labels(topic).inc(outcome.buried)
        self.seconds.labels(topic).observe(outcome.seconds)

    def gauges(self, partitions: Iterable[Partition], offsets: Iterable[Offsets]) -> None:
        owned = list(partitions)
        phases = Count(partition.phase for partition in owned)
        for phase in Phase:
            self.partitions.labels(phase.name.lower()).set(phases[phase])
        self.paused.set(sum(partition.paused for partition in owned))
        self.held.set(sum(partition.held_bytes for partition in owned))
        self.lag.clear()
        for row in offsets:
            self.lag.labels(row.topic, row.partition).set(max(0, row.end_offset - max(row.committed, row.begin_offset)))

    def text(self) -> bytes:
        return generate_latest(self.registry)


class Health:
    """Answers on its own thread. `alive` and `unready` are asked each time; reasons go out as lines of text."""

    def __init__(
        self,
        port: int,
        alive: Callable[[], bool],
        unready: Callable[[], list[str]],
        meters: Meters,
        host: str = "127.0.0.1",
    ) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answers: dict[str, Callable[[], tuple[bool, bytes]]] = {
                    "/healthz": lambda: (alive(), b""),
                    "/readyz": lambda: (not (why := unready()), "\n".join(why).encode()),
                    "/metrics": lambda: (True, meters.text()),
                }
                if self.path not in answers:
                    self.send_error(HTTPStatus.NOT_FOUND)
                    return
                good, text = answers[self.path]()
                self.send_response(HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE)
                self.send_header("Content-Type", CONTENT_TYPE_LATEST if self.path == "/metrics" else "text/plain; charset=utf-8")
                body = text if text or not good else b"ok"
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Probes are not news."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

        self._server = Server((host, port), Handler)
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, name="health", daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
