"""The real notifier in a process of its own, over a test's own topics: `run_notifier.py GROUP TRANSITIONS DELIVERIES`."""

import signal
import sys
import time

from waterline.connectors.notifiers.health import Health
from waterline.connectors.notifiers.notifier import Notifier
from waterline.schemas.settings import settings


def main() -> None:
    group, transitions, deliveries = sys.argv[1:]
    notifier = Notifier(settings(), transitions, deliveries, group)
    signal.signal(signal.SIGTERM, lambda *_: notifier.stop.set())
    port = settings().notifier_metrics_port
    health = Health(port, lambda: time.monotonic() - notifier.turned < 60, notifier.unready, notifier.meters)
    try:
        notifier.run()
    finally:
        health.close()


if __name__ == "__main__":
    main()
