"""`python -m waterline.ruler`: the ruler, until told to stop."""

import faulthandler
import logging
import signal
from pathlib import Path

import structlog
from setproctitle import setproctitle

from waterline.ruler.meters import Meters
from waterline.ruler.ruler import Ruler
from waterline.schemas.errors import Permanent
from waterline.schemas.settings import settings
from waterline.schemas.statusz import Statusz
from waterline.streams import rules_file
from waterline.streams.health import serve
from waterline.streams.rules_feed import RulesFeed, followed
from waterline.streams.steps.rules import RuleBook
from waterline.streams.writer import Fenced


def main() -> None:
    faulthandler.enable()
    setproctitle("waterline ruler")
    config, meters = settings(), Meters()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, config.log_level.upper())))
    try:
        feed = RulesFeed(Path(config.rules_file).expanduser(), meters, process="ruler") if config.rules_file else None
    except Permanent as error:
        raise SystemExit("\n".join(f"ruler: {line}" for line in error.reason.splitlines())) from error
    book = feed.book if feed else RuleBook(rules_file.default())
    ruler, default = Ruler(config, book, feed, meters=meters), followed(book.now)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ruler.close())

    def statusz() -> Statusz:
        return Statusz(followed=(feed.followed if feed else default,), unanswered=ruler.unanswered())

    port, host = config.ruler_metrics_port, config.health_host
    health = serve(port, ruler.alive, ruler.unready, meters.registry, host, "ruler", statusz)
    try:
        ruler.run()
    except Fenced as error:
        if not ruler.stop.is_set():
            raise SystemExit(f"ruler: another has taken the place of this one: {error}") from error
    finally:
        health.shutdown()
        health.server_close()


if __name__ == "__main__":
    main()
