"""(d) What the way in costs: CPU-seconds of the collector for a million spans, OTLP/HTTP protobuf, Kafka behind it.

Answered means in Kafka, so the figure holds all that the collector does: reading, translating, framing, producing.
"""

import tempfile
from pathlib import Path

from bench import client, corpus
from bench.report import Figure, show, write
from bench.sink import OURS, cpu_seconds
from waterline.schemas.settings import Settings
from waterline.stack import Stack

SIZES = {1: 8_000, 10: 40_000, 100: 120_000}
"""Spans a request -> spans a round sends."""
QUICK_SIZES = {1: 2_000, 10: 10_000, 100: 30_000}


def run(rounds: int = 5, quick: bool = False) -> list[dict[str, object]]:
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="waterline-bench-") as folder:
        config = Settings(log_level="warning")
        with Stack(Path(folder), ("kafka", "collector"), settings=config, free_ports=True, restart=False) as stack:
            url, pid = f"{stack.collector_url}/v1/traces", stack.pid("collector") or 0
            client.send(url, corpus.requests(5_000, 100, seed=0))
            for per_request, spans in (QUICK_SIZES if quick else SIZES).items():
                cost = Figure(OURS, f"{per_request} a request", "collector alone", "CPU-s per million spans", [])
                rate = Figure(OURS, f"{per_request} a request", "by the clock", "spans a s", [])
                for number in range(rounds):
                    bodies = corpus.requests(spans, per_request, seed=1 + number * 1000 + per_request)
                    used = cpu_seconds(pid)
                    sent = client.send(url, bodies)
                    cost.rounds.append((cpu_seconds(pid) - used) / spans * 1e6)
                    rate.rounds.append(spans / sent.seconds)
                figures += [cost, rate]
    show("(d) edge", figures)
    print(
        write(
            "edge", figures, [], [f"12 attributes and about 460 bytes a span; spans a round: {QUICK_SIZES if quick else SIZES}"]
        )
    )
    return []
