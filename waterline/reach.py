"""Where a command finds Kafka, ClickHouse and the collector, and what a person is told when they are not there.

An address counts when somebody named it: a WATERLINE_ variable, or the stack that runs on the data directory. The default alone
names nothing: what listens there may belong to another stack.
"""

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from clickhouse_connect.driver.client import Client
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from waterline.connectors.stores.clickhouse.client import UNKNOWN_DATABASE, StoreUnavailable, connect, port_of
from waterline.schemas.clients import kafka_config
from waterline.schemas.errors import ErrorCode, Transient
from waterline.schemas.settings import Settings
from waterline.stack import state

PROBE_S, ANSWER_S = 2.0, 5.0


@dataclass(frozen=True, slots=True)
class Server:
    """`setting` names its address; a stack with one of the parts `used_by` is right about that address."""

    name: str
    setting: str
    code: ErrorCode
    used_by: frozenset[str]

    @property
    def variable(self) -> str:
        return f"WATERLINE_{self.setting.upper()}"

    @property
    def naming(self) -> str:
        """How a person names one that runs elsewhere."""
        return "give --endpoint" if self.setting == "collector_port" else f"set {self.variable}"


KAFKA = Server(
    "Kafka", "kafka", ErrorCode.KAFKA_UNAVAILABLE, frozenset({"kafka", "sink", "streams", "notifier", "ruler", "collector"})
)
CLICKHOUSE = Server("ClickHouse", "clickhouse", ErrorCode.STORE_UNAVAILABLE, frozenset({"front", "sink", "ruler"}))
COLLECTOR = Server("collector", "collector_port", ErrorCode.OVERLOADED, frozenset({"collector"}))


def require(config: Settings, server: Server) -> None:
    """Raises Transient, with what to do, when nobody has named the server's address."""
    if server.setting in config.model_fields_set:
        return
    home, running = config.data_dir.absolute(), state.running(config.data_dir)
    if running and server.used_by & {part.name for part in running.parts}:
        return
    default = getattr(config, server.setting)
    if running:
        why = f"the stack on {home} runs no {server.name}: add it to `waterline up --only`"
    else:
        why = f"no stack runs on {home}, so there is no {server.name}: start one with `waterline up`, give the --data-dir of one"
    raise Transient(server.code, f"{why}, or {server.naming} (the default, {default}, is not tried unless you name it)")


@contextmanager
def store(config: Settings) -> Iterator[Client]:
    """A client of ClickHouse. When ClickHouse goes away, here or within, Transient says so in words."""
    require(config, CLICKHOUSE)
    try:
        with closing(connect(config)) as client:
            yield client
    except StoreUnavailable as error:
        if error.clickhouse_code == UNKNOWN_DATABASE:
            raise Transient(error.code, f"{error.reason}; `waterline migrate` makes the database and its tables") from error
        (place,) = _places(config, CLICKHOUSE)
        if error.clickhouse_code or not (why := _refusal(*place)):
            raise
        raise _silent(config, CLICKHOUSE, why) from error


def listens(config: Settings, server: Server) -> None:
    """Returns when something listens at the server's address. Raises Transient."""
    require(config, server)
    refusals = [_refusal(*place) for place in _places(config, server)]
    if all(refusals):
        raise _silent(config, server, refusals[0])


def kafka(config: Settings) -> None:
    """Returns when Kafka answers. Raises Transient."""
    listens(config, KAFKA)
    try:
        AdminClient({**kafka_config(config), "log_level": 0}).list_topics(timeout=ANSWER_S)
    except KafkaException as error:
        raise _silent(config, KAFKA, f"something listens there, but: {error.args[0].str()}") from error


def _silent(config: Settings, server: Server, why: str) -> Transient:
    address, running = str(getattr(config, server.setting)), state.running(config.data_dir)
    if running and (running.environment.get(server.variable) or address) == address:
        advice = "the stack on this data directory uses it, see `waterline status`"
    else:
        advice = f"check {server.variable}, or unset it and start a stack with `waterline up`"
    return Transient(server.code, f"{server.name} at {address} does not answer ({why}): {advice}")


def _refusal(host: str, port: int) -> str:
    """Why nothing can be reached there; empty when something listens."""
    try:
        socket.create_connection((host, port), timeout=PROBE_S).close()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _places(config: Settings, server: Server) -> list[tuple[str, int]]:
    """Host and port of each address in the setting."""
    if server is COLLECTOR:
        return [(config.collector_host, config.collector_port)]
    if server is CLICKHOUSE:
        url = urlsplit(config.clickhouse)
        return [(url.hostname or "", port_of(url))]
    brokers = [urlsplit(one if "//" in one else f"//{one}") for one in config.kafka.split(",")]
    return [(broker.hostname or "", broker.port or 9092) for broker in brokers]
