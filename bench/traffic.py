"""Traffic of agents, encoded before the clock starts: what the recorded runs did, told by agents that do many runs at a time.

A request holds the next events of one agent. Its runs are drawn from the recording: as many model calls and tool calls as there,
in the same order, and the decision at the end. Ids are new on every round through the requests, and times are those of sending.
"""

import http.client
import json
import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain, count, islice
from typing import Any
from urllib.parse import urlsplit

from waterline.replay.recording import Run, packaged_runs

BATCH, AGENTS = 100, 50
OPEN = 40
"""Runs an agent has under way at a time, each in turn making a call: one a second when 50 agents tell 2,000 events a second."""
BEGAN, ROUND = b"%began-at-this-instant%", b"%round%"
LONGEST_MS = 2_000
MODEL = {"provider": "openai", "model_requested": "gpt-4o", "model_served": "gpt-4o-2024-08-06", "usage_source": "provider"}

Line = dict[str, Any]


class Traffic:
    """`requests` requests of healthy agents, over and over; one tool call in a hundred fails."""

    def __init__(self, requests: int = 500, seed: int = 3) -> None:
        chance, runs = random.Random(seed), packaged_runs()
        agents = [_agent(f"agent-{number}", runs, chance) for number in range(AGENTS)]
        self._bodies = [_encode(list(islice(agents[number % AGENTS], BATCH))) for number in range(requests)]
        self._sent = 0

    def next(self) -> bytes:
        """The next request's body, as of now."""
        body = self._bodies[self._sent % len(self._bodies)]
        turn = self._sent // len(self._bodies)
        self._sent += 1
        return as_of_now(body, turn)


def failing(agent: str, tool_calls: int, seed: int) -> bytes:
    """One request of an agent whose last `tool_calls` tool calls all failed, with the model calls between them."""
    chance, runs = random.Random(seed), packaged_runs()
    lines: list[Line] = []
    for number in count():
        for line in _run(agent, f"{agent}-{number}", chance.choice(runs), chance):
            if line["kind"] == "tool_call":
                line["status"], tool_calls = "error", tool_calls - 1
            lines.append(line)
            if not tool_calls:
                return _encode(lines)
    raise AssertionError


def spending(credential: str) -> bytes:
    """One call that costs a tenth of a dollar."""
    model = {**MODEL, "model_served": "gpt-4.1-2025-04-14", "tokens_output": 12_500}
    who = {"agent": "spender", "credential_id": credential, "decision_key": credential}
    return _encode([{"kind": "model_call", "ts": BEGAN.decode(), **who, **model}])


def as_of_now(body: bytes, turn: int = 0) -> bytes:
    """All of a request's work began so long ago that the longest of it has just ended."""
    began = (datetime.now(UTC) - timedelta(milliseconds=LONGEST_MS)).isoformat(timespec="microseconds")
    return body.replace(BEGAN, began.encode()).replace(ROUND, b"%d" % turn)


class Sender:
    """One connection to the collector, which closes one that is not used for some seconds."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)

    def send(self, body: bytes) -> None:
        self._connection.request("POST", "/v1/events", body, {"content-type": "application/x-ndjson"})
        answer = self._connection.getresponse()
        told = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"the collector answered {answer.status}: {told.decode()}")

    def close(self) -> None:
        self._connection.close()


def _agent(name: str, runs: Sequence[Run], chance: random.Random) -> Iterator[Line]:
    numbers = count()

    def one() -> Iterator[Line]:
        return chain.from_iterable(_run(name, f"{name}-{next(numbers)}", chance.choice(runs), chance) for _ in count())

    under_way = [one() for _ in range(OPEN)]
    while True:
        for run in under_way:
            yield next(run)


def _run(agent: str, decision: str, run: Run, chance: random.Random) -> Iterator[Line]:
    steps = count()

    def line(kind: str, **more: Any) -> Line:
        key = f"{decision}-{ROUND.decode()}"
        duration = chance.uniform(LONGEST_MS / 10, LONGEST_MS)
        mine = {
            "event_id": f"{key}-{next(steps)}",
            "decision_key": key,
            "agent": agent,
            "task": run.task,
            "duration_ms": duration,
        }
        return {"kind": kind, "name": kind, "ts": BEGAN.decode(), "status": "ok", **mine, **more}

    for turn in run.turns:
        if turn.role == "assistant":
            tokens = {"tokens_input": chance.randrange(500, 5_000), "tokens_output": 10 + turn.chars // 4}
            yield line("model_call", **MODEL, **tokens)
        for call in turn.calls:
            yield line("tool_call", tool=call.tool, status="error" if chance.random() < 0.01 else "ok")
    yield line("decision")


def _encode(lines: Sequence[Line]) -> bytes:
    return b"\n".join(json.dumps(line).encode() for line in lines)
