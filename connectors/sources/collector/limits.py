"""Budgets for gateways that cannot read Kafka: the newest record of each key of `control.limits`, and what to answer from it.

Nothing is read before the first question; from then on a thread follows the topic. A gateway asks by what it is about to let
through, and gets the strictest verdict among the budgets that hold for it.
"""

import asyncio
import threading
import time
from collections.abc import Iterable, Mapping

import msgspec
import orjson
import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from waterline.schemas.clients import kafka_config
from waterline.schemas.control import ControlLimit, LimitVerdict, Scope
from waterline.schemas.errors import ErrorCode, Permanent, Transient
from waterline.schemas.events import Clock
from waterline.schemas.settings import Settings
from waterline.schemas.topics import CONTROL_LIMITS

log = structlog.get_logger()

PATH = "/v1/limits"
STRICTNESS = (LimitVerdict.ALLOW, LimitVerdict.WARN, LimitVerdict.DENY)
CAUGHT_UP_S, POLL_S, AGAIN_S = 10.0, 0.2, 1.0
HEARTBEAT_S = 2.0
"""How often Kafka is asked whether it is there: a topic on which nothing happens does not tell."""

Key = tuple[str, str, Scope, str]
"""(tenant, budget, scope, name)"""

_decode = msgspec.json.Decoder(ControlLimit).decode


class Limits:
    """What is known of all budgets. `ask` may be called from the event loop at any time."""

    def __init__(self, settings: Settings) -> None:
        self._config = {**kafka_config(settings), "group.id": "waterline-limits", "enable.auto.commit": False}
        self._config |= {"enable.partition.eof": True, "isolation.level": "read_committed", "fetch.wait.max.ms": 50}
        self._known: dict[Key, ControlLimit] = {}
        self._caught_up, self._stop = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._heard = 0.0

    async def ask(self, tenant: str, wanted: Mapping[str, str]) -> bytes:
        """The answer's JSON. `wanted`: names by scope. Raises Permanent for a scope that is none, Transient while the topic is
        not read to its end."""
        scopes = named(wanted)
        if self._thread is None:
            self._thread = threading.Thread(target=self._follow, name="limits", daemon=True)
            self._thread.start()
        deadline = time.monotonic() + CAUGHT_UP_S
        while not self._caught_up.is_set():
            if time.monotonic() > deadline:
                raise Transient(ErrorCode.KAFKA_UNAVAILABLE, f"{CONTROL_LIMITS.name} could not be read to its end yet")
            await asyncio.sleep(POLL_S / 10)
        found = (limit for limit in list(self._known.values()) if limit.tenant == tenant and concerns(limit, scopes))
        age_s = time.monotonic() - self._heard
        return answer(found, 0.0 if age_s < 2 * HEARTBEAT_S else age_s)

    def close(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(CAUGHT_UP_S)

    def _follow(self) -> None:
        while not self._stop.is_set():
            try:
                self._read()
            except KafkaException as error:
                log.warning("limits are not heard of", reason=str(error))
                self._stop.wait(AGAIN_S)

    def _read(self) -> None:
        consumer = Consumer(self._config, logger=None)
        try:
            listed = consumer.list_topics(CONTROL_LIMITS.name, CAUGHT_UP_S).topics[CONTROL_LIMITS.name]
            if listed.error is not None:
                raise KafkaException(listed.error)
            behind = set(listed.partitions)
            consumer.assign([TopicPartition(CONTROL_LIMITS.name, number, OFFSET_BEGINNING) for number in behind])
            while not self._stop.is_set():
                for message in consumer.consume(1000, POLL_S / 4):
                    self._take(message, behind)
                if behind or time.monotonic() < self._heard + HEARTBEAT_S:
                    continue
                consumer.list_topics(CONTROL_LIMITS.name, HEARTBEAT_S)
                self._heard = time.monotonic()
                self._caught_up.set()
        finally:
            consumer.close()

    def _take(self, message: Message, behind: set[int]) -> None:
        if (error := message.error()) is not None:
            if error.code() == KafkaError._PARTITION_EOF:
                behind.discard(message.partition() or 0)
            elif not error.retriable():
                raise KafkaException(error)
            return
        try:
            limit = _decode(message.value() or b"")
        except msgspec.DecodeError as problem:
            log.warning("a limit cannot be read", offset=message.offset(), reason=str(problem))
            return
        if limit.clock is not Clock.SOURCE:
            return
        key = limit.tenant, limit.budget, limit.scope, limit.name
        if limit.withdrawn:
            self._known.pop(key, None)
        else:
            self._known[key] = limit


def named(wanted: Mapping[str, str]) -> dict[Scope, str]:
    """Raises Permanent for a name that is no scope."""
    scopes: dict[Scope, str] = {}
    for name, value in wanted.items():
        if name not in list(Scope) or name == Scope.TENANT:
            known = ", ".join(scope for scope in Scope if scope is not Scope.TENANT)
            raise Permanent(ErrorCode.INVALID_EVENT, f"{name!r} is not one of {known}; the tenant is that of the API key")
        scopes[Scope(name)] = value
    return scopes


def concerns(limit: ControlLimit, scopes: Mapping[Scope, str]) -> bool:
    """Whether a budget holds for a request of these names; with none, every budget of the tenant is wanted."""
    return not scopes or limit.scope is Scope.TENANT or scopes.get(limit.scope) == limit.name


def answer(limits: Iterable[ControlLimit], age_s: float) -> bytes:
    """`{"verdict": ..., "age_s": ..., "limits": [...]}`, the strictest first. No budget allows."""
    found = sorted(limits, key=lambda limit: (-STRICTNESS.index(limit.verdict), limit.budget, limit.scope, limit.name))
    verdict = found[0].verdict if found else LimitVerdict.ALLOW
    return orjson.dumps({"verdict": verdict, "age_s": round(age_s, 1), "limits": [msgspec.to_builtins(limit) for limit in found]})
