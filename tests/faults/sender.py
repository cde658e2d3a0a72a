"""Clients that do what OTLP clients do: each sends a batch until it is acknowledged, and sometimes sends it once more."""

import random
import threading
import time
from collections.abc import Iterator, Sequence

import httpx
import orjson

from waterline.stack import Stack

DEADLINE_S = 240.0
RETRY_S = 0.25
ANSWER_S = 15.0
AGAIN = 0.15
"""share of the batches that are sent once more although they were acknowledged"""
CLIENTS = 4

Due = tuple[float, bytes]
"""When a body is to be sent, in seconds after the start, and the body."""


class Sender(threading.Thread):
    """Takes bodies from a shared iterator, each when it is due. What was never acknowledged is in `failure`."""

    def __init__(self, stack: Stack, bodies: Iterator[Due], lock: threading.Lock, seed: str, began: float) -> None:
        super().__init__(name=f"sender-{seed}", daemon=True)
        self.url = f"{stack.collector_url}/v1/events"
        self.bodies = bodies
        self.lock = lock
        self.chance = random.Random(seed)
        self.began = began
        self.timer = threading.Event()
        self.failure = ""

    def run(self) -> None:
        with httpx.Client(timeout=ANSWER_S) as client:
            while not self.failure:
                with self.lock:
                    due, body = next(self.bodies, (0.0, b""))
                if not body:
                    return
                self.timer.wait(max(0.0, self.began + due - time.monotonic()))
                for _ in range(2 if self.chance.random() < AGAIN else 1):
                    self._deliver(client, body)

    def _deliver(self, client: httpx.Client, body: bytes) -> None:
        deadline = time.monotonic() + DEADLINE_S
        said = ""
        while time.monotonic() < deadline:
            try:
                answer = client.post(self.url, content=body, headers={"Content-Type": "application/json"})
            except httpx.TransportError as error:
                said = repr(error)
            else:
                if answer.status_code == 200:
                    return
                said = f"{answer.status_code} {answer.text[:300]}"
                if answer.status_code not in (429, 503):
                    break
            self.timer.wait(RETRY_S)
        self.failure = f"{len(orjson.loads(body))} events were never acknowledged: {said}"


def send_all(stack: Stack, bodies: Sequence[bytes], seed: int, within_s: float) -> None:
    """Spreads the bodies evenly over `within_s`; returns when all are acknowledged. Raises RuntimeError when one never was."""
    due = [(within_s * number / len(bodies), body) for number, body in enumerate(bodies)]
    lock, shared, began = threading.Lock(), iter(due), time.monotonic()
    senders = [Sender(stack, shared, lock, f"{seed}-{number}", began) for number in range(CLIENTS)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    if failures := [sender.failure for sender in senders if sender.failure]:
        raise RuntimeError(failures[0])
