"""`python -m waterline.connectors.sources.collector`: the collector, until told to stop."""

import faulthandler
import logging

import structlog
import uvloop
from setproctitle import setproctitle

from waterline.connectors.sources.collector.doors import NotSafe
from waterline.connectors.sources.collector.keys import KeyFileError
from waterline.connectors.sources.collector.server import PortTaken, serve
from waterline.schemas.settings import settings


def main() -> None:
    faulthandler.enable()
    setproctitle("waterline collector")
    config = settings()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, config.log_level.upper())),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.dict_tracebacks,
            structlog.processors.JSONRenderer(),
        ],
    )
    try:
        uvloop.run(serve(config))
    except (NotSafe, KeyFileError, PortTaken) as error:
        raise SystemExit(f"collector: {error}") from error


if __name__ == "__main__":
    main()
