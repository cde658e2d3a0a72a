"""`python -m waterline.connectors.stores.clickhouse`: the sink, until told to stop."""

import faulthandler
import logging
import signal
import time

import structlog
from setproctitle import setproctitle

from waterline.connectors.stores.clickhouse.health import Health
from waterline.connectors.stores.clickhouse.sink import STALE_S, Fenced, Sink
from waterline.schemas.settings import settings


def main() -> None:
    faulthandler.enable()
    setproctitle("waterline sink")
    config = settings()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, config.log_level.upper())))
    sink = Sink(config)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sink.stop.set())
    host, port = config.health_host, config.sink_metrics_port
    try:
        health = Health(port, lambda: time.monotonic() - sink.turned < STALE_S, sink.unready, sink.meters, host)
    except OSError as error:
        raise SystemExit(f"sink: cannot listen on {host}:{port}: {error.strerror}") from error
    try:
        sink.run()
    except Fenced as error:
        raise SystemExit(f"sink: the group knows this process no more, start it again: {error}") from error
    finally:
        health.close()


if __name__ == "__main__":
    main()
