"""A worker as a process: its logs, its event loop, its garbage."""

import asyncio
import faulthandler
import gc
import logging

import structlog
import uvloop
from setproctitle import setproctitle

from waterline.streams.worker import Worker

GC_THRESHOLDS = (100_000, 20, 20)
"""States are many, long-lived and free of cycles: looking through them often is time spent for nothing"""


def run(worker: Worker) -> None:
    """Runs a worker until it is asked to end."""
    faulthandler.enable()
    gc.set_threshold(*GC_THRESHOLDS)
    setproctitle("waterline streams")
    logging.basicConfig(level=logging.WARNING)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, worker.settings.log_level.upper())),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
        ],
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(worker.run())
