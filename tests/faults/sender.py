"""A client that does what OTLP clients do: it sends a batch until it is acknowledged, and sometimes sends it once more."""

import random
import threading
import time
from collections.abc import Iterator

import httpx
import orjson

from waterline.stack import Stack

DEADLINE_S = 240.0
RETRY_S = 0.25


class Sender(threading.Thread):
    """Takes batches from a shared iterator. `acked` counts them; a refusal that is not meant to pass raises in `failure`."""

    def __init__(self, stack: Stack, batches: Iterator[bytes], lock: threading.Lock, seed: str) -> None:
        super().__init__(name=f"sender-{seed}", daemon=True)
        self.url = f"{stack.collector_url}/v1/events"
        self.batches = batches
        self.lock = lock
        self.chance = random.Random(seed)
        self.acked = 0
        self.failure: str = ""

    def run(self) -> None:
        with httpx.Client(timeout=15) as client:
            while not self.failure:
                with self.lock:
                    body = next(self.batches, None)
                if body is None:
                    return
                for _ in range(2 if self.chance.random() < 0.15 else 1):
                    self._deliver(client, body)
                self.acked += 1

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
            threading.Event().wait(RETRY_S)
        self.failure = f"{len(orjson.loads(body))} events were never acknowledged: {said}"


def send_all(stack: Stack, batches: list[bytes], seed: int, threads: int = 4) -> None:
    """Returns when every batch is acknowledged. Raises RuntimeError when one never was."""
    lock, shared = threading.Lock(), iter(batches)
    senders = [Sender(stack, shared, lock, f"{seed}-{number}") for number in range(threads)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    if failures := [sender.failure for sender in senders if sender.failure]:
        raise RuntimeError(failures[0])
