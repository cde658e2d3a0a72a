"""`GET /v1/limits`: what a gateway is told that cannot read Kafka."""

import time
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from confluent_kafka import Producer

from tests.connectors.sources.collector.conftest import Running
from waterline.schemas.control import ControlLimit, LimitVerdict, Period, Scope
from waterline.schemas.events import Clock
from waterline.schemas.topics import CONTROL_LIMITS

ALLOW, WARN, DENY = LimitVerdict.ALLOW, LimitVerdict.WARN, LimitVerdict.DENY
FOLLOWED_S = 10.0


def limit(scope: Scope, name: str, verdict: LimitVerdict, **others: Any) -> ControlLimit:
    told = {
        "tenant": "default",
        "budget": f"{scope}-daily",
        "period": Period.DAY,
        "period_from": "2026-11-20",
        "revision": 1,
        "limit": Decimal(10),
        "spent": Decimal("9.5"),
        "at": "2026-11-20T10:00:00Z",
    }
    return msgspec.convert({**told, "scope": scope, "name": name, "verdict": verdict, **others}, ControlLimit)


@pytest.fixture
def tell(kafka: str) -> Any:
    producer = Producer({"bootstrap.servers": kafka})

    def tell(*limits: ControlLimit) -> None:
        for one in limits:
            key = f"{one.tenant}/{one.budget}/{one.scope}/{one.name}/{one.clock}"
            producer.produce(CONTROL_LIMITS.name, msgspec.json.encode(one), key)
        assert producer.flush(10) == 0

    return tell


def asked(collector: Running, **names: str) -> dict[str, Any]:
    reply = collector.client.get(f"{collector.url}/v1/limits", params=names)
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def test_the_strictest_budget_of_a_request_decides(collector: Running, tell: Any) -> None:
    tell(
        limit(Scope.TEAM, "search", WARN),
        limit(Scope.KEY, "k1", DENY),
        limit(Scope.TENANT, "", ALLOW),
        limit(Scope.TEAM, "search", DENY, tenant="other"),
        limit(Scope.TEAM, "ops", DENY, clock=Clock.REPLAY),
    )
    assert asked(collector, team="nobody")["verdict"] == ALLOW
    told = asked(collector, team="search", agent="a")
    assert (told["verdict"], [one["scope"] for one in told["limits"]]) == (WARN, ["team", "tenant"])
    assert (told["limits"][0]["spent"], told["limits"][0]["limit"]) == ("9.5", "10")
    assert asked(collector, team="search", key="k1")["verdict"] == DENY
    assert asked(collector, team="ops")["verdict"] == ALLOW, "a replay's budget is nobody's"
    assert len(asked(collector)["limits"]) == 3


def test_what_is_told_is_known_at_once(collector: Running, tell: Any) -> None:
    asked(collector)
    tell(limit(Scope.AGENT, "quick", DENY))
    began = time.monotonic()
    while asked(collector, agent="quick")["verdict"] != DENY:
        assert time.monotonic() < began + FOLLOWED_S
        time.sleep(0.01)
    tell(limit(Scope.AGENT, "quick", ALLOW, revision=2))
    while asked(collector, agent="quick")["verdict"] != ALLOW:
        assert time.monotonic() < began + FOLLOWED_S
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("query", "status", "says"),
    [("?customer=x", 400, "'customer' is not one of agent, team, key"), ("?tenant=other", 400, "that of the API key")],
)
def test_a_name_that_is_no_scope_is_refused(collector: Running, query: str, status: int, says: str) -> None:
    reply = collector.client.get(f"{collector.url}/v1/limits{query}")
    assert reply.status_code == status
    assert says in reply.json()["message"]


def test_the_tenant_is_that_of_the_key(collector: Running) -> None:
    reply = collector.client.get(f"{collector.url}/v1/limits", headers={"authorization": "Bearer nobody"})
    assert reply.status_code == 401
