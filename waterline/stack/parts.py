"""The parts of the local stack, once: what runs, in which order it starts, its addresses, and where it says that it is ready.

The order is that of the data, backwards: the way out is open before the way in.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from waterline.schemas.settings import Settings

MIGRATE = "waterline.connectors.stores.clickhouse.migrate"
ANY = ("0.0.0.0", "::")
"""What a process binds to be reached on every address, loopback among them."""


@dataclass(frozen=True, slots=True)
class Part:
    """`stage`: parts of one stage start together. `settings`: its addresses, the first of which is the one people use.
    `advice`: what to do when it does not start. `nice`: see process.Child; what is computed can wait for what comes in, when
    that is a flood (streams/standing.py)."""

    name: str
    meaning: str
    stage: int
    settings: tuple[str, ...]
    module: str = ""
    advice: str = ""
    nice: int = 0

    def url(self, settings: Settings) -> str:
        """The address people use."""
        value = getattr(settings, self.settings[0])
        if isinstance(value, str):
            return value
        host = settings.collector_host if self.name == "collector" else "127.0.0.1"
        return f"http://{host}:{value}"

    def ready_url(self, settings: Settings) -> str:
        """What answers 200 when it is ready; empty for Kafka, which is asked in its own protocol."""
        if self.name == "kafka":
            return ""
        if self.name == "front":
            return f"{settings.clickhouse}/ping"
        host = "127.0.0.1" if settings.health_host in ANY else settings.health_host
        return f"http://{f'[{host}]' if ':' in host else host}:{getattr(settings, self.settings[-1])}/readyz"


PARTS: tuple[Part, ...] = (
    Part(
        "kafka",
        "Apache Kafka, one broker",
        0,
        ("kafka",),
        advice="If its data is damaged, move the folder kafka away and start again.",
    ),
    Part(
        "front",
        "ClickHouse's engine behind its HTTP interface",
        0,
        ("clickhouse",),
        "waterline.connectors.stores.clickhouse.front",
    ),
    Part("sink", "Kafka -> ClickHouse, each row once", 1, ("sink_metrics_port",), "waterline.connectors.stores.clickhouse"),
    Part("streams", "decisions and their cost", 1, ("streams_metrics_port",), "waterline.streams", nice=5),
    Part("notifier", "alerts -> Slack, PagerDuty, webhooks", 1, ("notifier_metrics_port",), "waterline.connectors.notifiers"),
    Part("ruler", "rules that are questions, asked of each window", 1, ("ruler_metrics_port",), "waterline.ruler", nice=5),
    Part(
        "collector",
        "OTLP and JSON -> Kafka",
        2,
        ("collector_port", "collector_grpc_port", "collector_metrics_port"),
        "waterline.connectors.sources.collector",
    ),
)
NAMES: tuple[str, ...] = tuple(part.name for part in PARTS)
BY_NAME = {part.name: part for part in PARTS}


def choose(names: Iterable[str]) -> tuple[Part, ...]:
    """The named parts in starting order. Raises ValueError for a name that is none."""
    wanted = set(names)
    if unknown := wanted - set(NAMES):
        raise ValueError(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    return tuple(part for part in PARTS if part.name in wanted)


def port_of(settings: Settings, setting: str) -> int:
    """The port in a setting that is a number, `host:port[,...]` or a URL."""
    value = getattr(settings, setting)
    if isinstance(value, int):
        return value
    first = str(value).split(",")[0]
    return urlsplit(first if "//" in first else f"//{first}").port or 0
