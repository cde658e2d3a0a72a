"""What the notifier says of itself: /healthz (the loop turns), /readyz (it does its work, or why not), /statusz (the routes it
works by), /metrics."""

import socket
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from waterline.schemas.metrics import METRICS, Metric
from waterline.schemas.statusz import Statusz, Tells

DECLARED: dict[str, Metric] = {metric.name: metric for metric in METRICS}


class Meters:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.lag = self._gauge("notifier_lag_records")
        self.pending = self._gauge("notifier_pending")
        self.failing = self._gauge("notifier_failing")
        self.routes_unreadable = self._gauge("notifier_routes_unreadable")
        self.attempts = self._counter("notifier_attempts_total")
        self.receipts = self._counter("notifier_receipts_total")
        self.unreadable = self._counter("notifier_unreadable_total")
        seconds = DECLARED["notifier_send_seconds"]
        self.seconds = Histogram(seconds.name, seconds.meaning, seconds.labels, buckets=seconds.buckets, registry=self.registry)

    def _counter(self, name: str) -> Counter:
        metric = DECLARED[name]
        return Counter(metric.name, metric.meaning, metric.labels, registry=self.registry)

    def _gauge(self, name: str) -> Gauge:
        metric = DECLARED[name]
        return Gauge(metric.name, metric.meaning, metric.labels, registry=self.registry)

    def attempt(self, channel: str, outcome: str, seconds: float) -> None:
        self.attempts.labels(channel, outcome).inc()
        self.seconds.labels(channel).observe(seconds)


class Health:
    """Answers on its own thread. Raises OSError when the port is taken; 0 takes a free one."""

    def __init__(
        self,
        port: int,
        alive: Callable[[], bool],
        unready: Callable[[], list[str]],
        meters: Meters,
        host: str = "127.0.0.1",
        statusz: Tells = Statusz,
    ) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/metrics":
                    self._answer(HTTPStatus.OK, generate_latest(meters.registry), CONTENT_TYPE_LATEST)
                elif self.path == "/statusz":
                    self._answer(HTTPStatus.OK, msgspec.json.encode(statusz()), "application/json")
                elif self.path in ("/healthz", "/readyz"):
                    why = unready() if self.path == "/readyz" else [] if alive() else ["the loop does not turn"]
                    status = HTTPStatus.SERVICE_UNAVAILABLE if why else HTTPStatus.OK
                    self._answer(status, "\n".join(why or ["ok"]).encode(), "text/plain; charset=utf-8")
                else:
                    self.send_error(HTTPStatus.NOT_FOUND)

            def _answer(self, status: HTTPStatus, body: bytes, kind: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
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
