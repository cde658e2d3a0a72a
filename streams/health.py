"""What a process says of itself over HTTP: /healthz (alive and moving), /readyz (every owned partition is at work, or why
not, one reason a line), /statusz (what it works by, as JSON) and /metrics."""

import socket
import threading
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
from prometheus_client import CollectorRegistry, generate_latest

from waterline.schemas.statusz import Statusz, Tells

Reasons = Callable[[], Sequence[str]]


def serve(
    port: int,
    alive: Reasons,
    ready: Reasons,
    registry: CollectorRegistry,
    host: str = "127.0.0.1",
    process: str = "streams",
    statusz: Tells = Statusz,
) -> ThreadingHTTPServer:
    """Answers in a thread of its own, so that it still does when the event loop hangs. Port 0 takes a free one.

    Raises SystemExit with the reason when the port is taken.
    """

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, generate_latest(registry).decode(), "text/plain; version=0.0.4; charset=utf-8")
            elif self.path == "/statusz":
                self._answer(200, msgspec.json.encode(statusz()).decode(), "application/json")
            elif self.path in ("/healthz", "/readyz"):
                reasons = (alive if self.path == "/healthz" else ready)()
                self._answer(503 if reasons else 200, "\n".join(reasons or ["ok"]) + "\n")
            else:
                self._answer(404, "there is /healthz, /readyz, /statusz and /metrics\n")

        def _answer(self, code: int, text: str, kind: str = "text/plain; charset=utf-8") -> None:
            body = text.encode()
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Probes are not news."""

    try:
        server = Server((host, port), Handler)
    except OSError as error:
        raise SystemExit(f"{process}: cannot listen on {host}:{port}: {error.strerror}") from error
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server
