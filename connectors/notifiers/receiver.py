"""A receiver on this machine, for demonstrations and tests: takes what the channels send, as the services document it.

/slack              incoming webhook: 200 ok
/api/chat.*         Slack's Web API: postMessage, update
/v2/enqueue         PagerDuty, Events API v2: 202
anything else       a webhook: 200

with Receiver() as receiver:
    receiver.url, receiver.messages, receiver.wait(1, 10.0)
"""

import json
import threading
import time
import urllib.parse
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from msgspec import Struct

from waterline.connectors.notifiers.webhook import KEY, verify

PAGERDUTY_LIMIT = 512_000
ACTIONS = ("trigger", "acknowledge", "resolve")
OK = 200, {"Content-Type": "text/plain"}, b"ok"

Answer = tuple[int, Mapping[str, str], bytes]


class Message(Struct):
    """One request. `genuine` is None where no secret was given to check it by."""

    at: float
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    size: int
    genuine: bool | None = None
    answered: int = 0

    @property
    def kind(self) -> str:
        return _kind(self.path)

    @property
    def key(self) -> str:
        """By which a second copy is known: none for Slack."""
        if self.kind == "pagerduty":
            return f"{self.body.get('dedup_key', '')}/{self.body.get('event_action', '')}"
        return self.headers.get(KEY, "")

    @property
    def text(self) -> str:
        """What a person reads."""
        if self.kind == "pagerduty":
            told = self.body.get("payload", {}).get("summary") or f"dedup_key {self.body.get('dedup_key', '')}"
            return f"{self.body.get('event_action', '')}: {told}"
        if self.kind == "slack":
            return str(self.body.get("text", ""))
        alerts = self.body.get("alerts", [])
        return "\n".join(str(alert.get("annotations", {}).get("summary", "")) for alert in alerts)


Behave = Callable[[Message], Answer | None]
"""Another answer than the usual one; None = the usual one. May raise Reset."""


class Reset(Exception):
    """Close the connection without an answer."""


class Receiver:
    """`secret`: by which signatures of webhooks are checked. `behave`, `heard`: called in the thread of the request, before and
    after it is answered."""

    def __init__(
        self,
        port: int = 0,
        host: str = "127.0.0.1",
        secret: str = "",
        behave: Behave | None = None,
        heard: Callable[[Message], None] | None = None,
    ) -> None:
        self.messages: list[Message] = []
        self.secret, self.behave, self.heard = secret, behave, heard
        self._changed = threading.Condition()
        self._server = _server(self, host, port)
        self.url = f"http://{host}:{self._server.server_address[1]}"

    def start(self) -> "Receiver":
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="receiver", daemon=True).start()
        return self

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> "Receiver":
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def accepted(self) -> list[Message]:
        return [message for message in self.messages if 200 <= message.answered < 300]

    def wait(self, count: int, patience_s: float) -> list[Message]:
        """The accepted messages, when there are `count` or the time is over."""
        with self._changed:
            self._changed.wait_for(lambda: len(self.accepted) >= count, patience_s)
            return self.accepted

    def take(self, message: Message) -> Answer:
        """Raises Reset."""
        try:
            answer = (self.behave(message) if self.behave else None) or _usual(message)
            message.answered = answer[0]
        finally:
            with self._changed:
                self.messages.append(message)
                self._changed.notify_all()
        if self.heard:
            self.heard(message)
        return answer


def _server(receiver: Receiver, host: str, port: int) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            content = self.rfile.read(length)
            if len(content) < length:  # the sender died in the middle
                self.close_connection = True
                return
            headers = dict(self.headers.items())
            genuine = verify(receiver.secret, headers, content, time.time()) if receiver.secret else None
            message = Message(time.time(), self.path, headers, _decode(content, headers), len(content), genuine)
            try:
                status, told, body = receiver.take(message)
            except Reset:
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in told.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """`heard` tells."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that went away."""

    return Server((host, port), Handler)


def _kind(path: str) -> str:
    if path.startswith("/v2/enqueue"):
        return "pagerduty"
    return "slack" if path.startswith(("/slack", "/api/")) else "webhook"


def _decode(content: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
    if headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded"):
        return dict(urllib.parse.parse_qsl(content.decode()))
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _usual(message: Message) -> Answer:
    if message.kind == "pagerduty":
        return _pagerduty(message)
    if message.path.startswith("/api/"):
        told = {"ok": True, "channel": message.body.get("channel"), "ts": message.body.get("ts") or f"{message.at:.6f}"}
        return 200, {"Content-Type": "application/json"}, json.dumps(told).encode()
    if message.kind == "slack":
        sound = message.body.get("text") and len(message.body.get("blocks", [])) <= 50
        return OK if sound else (400, {"Content-Type": "text/plain"}, b"invalid_payload")
    return OK


def _pagerduty(message: Message) -> Answer:
    """https://developer.pagerduty.com/docs/events-api-v2/trigger-events/"""
    event = message.body
    payload = event.get("payload", {})
    errors = [
        *([] if event.get("routing_key") else ["'routing_key' is missing or blank"]),
        *([] if event.get("event_action") in ACTIONS else ["'event_action' is invalid"]),
        *([] if len(event.get("dedup_key", "")) <= 255 else ["'dedup_key' is too long"]),
        *([] if message.size <= PAGERDUTY_LIMIT + 2048 else ["event size exceeds 512 KB"]),
    ]
    if event.get("event_action") == "trigger":
        errors += [f"'payload.{name}' is missing or blank" for name in ("summary", "source", "severity") if not payload.get(name)]
        errors += ["'payload.summary' is too long"] if len(payload.get("summary", "")) > 1024 else []
    kind = {"Content-Type": "application/json"}
    if errors:
        return 400, kind, json.dumps({"status": "invalid event", "message": "Event object is invalid", "errors": errors}).encode()
    told = {"status": "success", "message": "Event processed", "dedup_key": event.get("dedup_key")}
    return 202, kind, json.dumps(told).encode()
