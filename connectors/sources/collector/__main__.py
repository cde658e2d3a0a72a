"""`python -m waterline.connectors.sources.collector`: the collector, until told to stop."""

import faulthandler
import gc
import logging
import sys

import structlog
import uvloop
from setproctitle import setproctitle

from waterline.connectors.sources.collector.doors import NotSafe
from waterline.connectors.sources.collector.keys import KeyFileError
from waterline.connectors.sources.collector.server import PortTaken, serve
from waterline.schemas.settings import settings


def log_as_json(level: str) -> None:
    """Every line of the process is one JSON object: ours, librdkafka's and uvicorn's."""
    same: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.dict_tracebacks,
    ]
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        processors=[*same, structlog.processors.JSONRenderer()],
    )
    foreign = logging.StreamHandler(sys.stdout)
    shape: list[structlog.typing.Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.JSONRenderer(),
    ]
    foreign.setFormatter(structlog.stdlib.ProcessorFormatter(processors=shape, foreign_pre_chain=same))
    logging.basicConfig(level=max(logging.WARNING, getattr(logging, level.upper())), handlers=[foreign])


def main() -> None:
    faulthandler.enable()
    setproctitle("waterline collector")
    config = settings()
    log_as_json(config.log_level)
    # What a request makes is freed by counting; the collector of cycles need not look at all of it so often.
    gc.set_threshold(100_000, 50, 100)
    try:
        uvloop.run(serve(config))
    except (NotSafe, KeyFileError, PortTaken) as error:
        raise SystemExit(f"collector: {error}") from error


if __name__ == "__main__":
    main()
