"""The streams worker: `python -m waterline.streams`."""

import asyncio
import faulthandler
import logging

import structlog
import uvloop
from setproctitle import setproctitle

from waterline.schemas.settings import Settings
from waterline.streams.stage import Plan
from waterline.streams.worker import GROUP, Worker


def run(config: Settings, decide: Plan, groups: Plan, group: str = GROUP) -> None:
    """Runs a worker until it is asked to end."""
    faulthandler.enable()
    setproctitle("waterline streams")
    level = getattr(logging, config.log_level.upper())
    logging.basicConfig(level=logging.WARNING)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(level),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
        ],
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(Worker(config, decide, groups, group).run())
