"""The real sink in a process of its own, over a test's own topics: `run_sink.py GROUP TOPIC=NAME...`, the rest by settings."""

import dataclasses
import signal
import sys
import time

from waterline.connectors.stores.clickhouse.health import Health
from waterline.connectors.stores.clickhouse.sink import Sink
from waterline.schemas.settings import settings
from waterline.schemas.topics import STORED


def main() -> None:
    group, *named = sys.argv[1:]
    names = dict(name.split("=", 1) for name in named)
    topics = [dataclasses.replace(topic, name=names[topic.name]) for topic in STORED if topic.name in names]
    sink = Sink(settings(), topics, group)
    signal.signal(signal.SIGTERM, lambda *_: sink.stop.set())
    health = Health(settings().sink_metrics_port, lambda: time.monotonic() - sink.turned < 60, sink.unready, sink.meters)
    try:
        sink.run()
    finally:
        health.close()


if __name__ == "__main__":
    main()
