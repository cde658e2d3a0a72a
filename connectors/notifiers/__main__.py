"""`python -m waterline.connectors.notifiers`: the notifier, until told to stop."""

import faulthandler
import logging
import os
import signal
import threading
import time
import traceback

import structlog
from setproctitle import setproctitle

from waterline.connectors.notifiers.health import Health
from waterline.connectors.notifiers.notifier import STALE_S, Fenced, Notifier
from waterline.schemas.errors import Permanent
from waterline.schemas.settings import settings


def _die(what: threading.ExceptHookArgs) -> None:
    """A thread that ended by a bug would leave its channel without a sender, in silence; a new process has it again."""
    traceback.print_exception(what.exc_type, what.exc_value, what.exc_traceback)
    os._exit(1)


def main() -> None:
    faulthandler.enable()
    setproctitle("waterline notifier")
    config = settings()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, config.log_level.upper())))
    logging.getLogger("slack_sdk").setLevel(logging.CRITICAL)
    try:
        notifier = Notifier(config)
    except Permanent as error:
        raise SystemExit(f"notifier: {error.reason}") from error
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: notifier.stop.set())
    threading.excepthook = _die
    host, port = config.health_host, config.notifier_metrics_port

    def alive() -> bool:
        return time.monotonic() - notifier.turned < STALE_S

    try:
        health = Health(port, alive, notifier.unready, notifier.meters, host, notifier.statusz)
    except OSError as error:
        raise SystemExit(f"notifier: cannot listen on {host}:{port}: {error.strerror}") from error
    try:
        notifier.run()
    except Fenced as error:
        raise SystemExit(f"notifier: the group knows this process no more, start it again: {error}") from error
    finally:
        health.close()


if __name__ == "__main__":
    main()
