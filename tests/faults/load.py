"""What a seed sends: decisions whose true facts are known beforehand, in batches that are sent until they are acknowledged."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import orjson
from msgspec import Struct, field

MODEL = "gpt-4o-mini"
PER_MILLION = {"tokens_input": Decimal("0.15"), "tokens_output": Decimal("0.6")}
RATE_PER_MINUTE = Decimal(1)
SIZES = (1, 3, 10, 30)
"""events of a batch"""


class Truth(Struct):
    """What a decision's last fact must say, counted by the generator and by nothing of ours."""

    events: int = 0
    model_calls: int = 0
    tool_calls: int = 0
    tool_errors: int = 0
    tokens_input: int = 0
    tokens_output: int = 0
    realized_cost: Decimal = Decimal(0)
    escalated: bool = False
    outcome: str = ""


class Batch(Struct, frozen=True):
    """A body for /v1/events, and how many events it holds."""

    body: bytes
    events: int


class Load(Struct):
    """`ids` are the event ids of all batches; `truth` is by decision key."""

    batches: list[Batch] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    truth: dict[str, Truth] = field(default_factory=dict)


def make(seed: int, decisions: int, sizes: Sequence[int] = SIZES) -> Load:
    """Reviews and outcomes of every third decision know only its business id, as they do in life, and come last."""
    chance = random.Random(seed)
    load = Load()
    early: list[dict[str, object]] = []
    late: list[dict[str, object]] = []
    start = datetime.now(UTC) - timedelta(minutes=5)
    for number in range(decisions):
        key = f"{seed:08x}{chance.getrandbits(96):024x}"
        for event in _decision(chance, key, f"ticket-{seed}-{number}", start, load.truth.setdefault(key, Truth())):
            event["event_id"] = f"{key}-{len(load.ids)}"
            load.ids.add(str(event["event_id"]))
            (late if event["kind"] in ("review", "outcome") else early).append(event)
    chance.shuffle(early)
    events = early + late
    first = 0
    while first < len(events):
        some = events[first : first + chance.choice(sizes)]
        load.batches.append(Batch(orjson.dumps(some), len(some)))
        first += len(some)
    return load


def _decision(chance: random.Random, key: str, ticket: str, start: datetime, truth: Truth) -> list[dict[str, object]]:
    at = start + timedelta(milliseconds=chance.randrange(60_000))
    common: dict[str, object] = {"agent": "fault-agent", "agent_version": f"v{at.second // 30}", "task": "refund"}
    common["decision_key"] = key
    events: list[dict[str, object]] = [
        {**common, "kind": "decision", "ts": at.isoformat(), "decision_id": ticket, "duration_ms": 900.0}
    ]
    for _ in range(chance.randrange(1, 4)):
        tokens = {"tokens_input": chance.randrange(1, 9000), "tokens_output": chance.randrange(1, 900)}
        call = {"provider": "openai", "model_served": MODEL, "usage_source": "provider", **tokens}
        events.append({**common, **call, "kind": "model_call", "ts": at.isoformat()})
        truth.model_calls += 1
        truth.tokens_input += tokens["tokens_input"]
        truth.tokens_output += tokens["tokens_output"]
        leaf = sum((PER_MILLION[name] * count / 1_000_000 for name, count in tokens.items()), Decimal(0))
        truth.realized_cost += leaf.quantize(Decimal("1e-9"))
    for _ in range(chance.randrange(3)):
        failed = chance.random() < 0.2
        events.append(
            {**common, "kind": "tool_call", "ts": at.isoformat(), "tool": "lookup", "status": "error" if failed else "ok"}
        )
        truth.tool_calls += 1
        truth.tool_errors += failed
    reference = {"decision_id": ticket} if chance.random() < 0.33 else {"decision_key": key}
    later = (at + timedelta(seconds=30)).isoformat()
    if chance.random() < 0.3:
        minutes = chance.randrange(1, 30)
        events.append({**common, "kind": "escalation", "ts": at.isoformat(), "escalation_reason": "amount"})
        events.append({**reference, "kind": "review", "ts": later, "review_minutes": float(minutes), "review_verdict": "approve"})
        truth.escalated = True
        truth.realized_cost += RATE_PER_MINUTE * minutes
    truth.outcome = chance.choice(("correct", "incorrect"))
    events.append({**reference, "kind": "outcome", "ts": later, "outcome": truth.outcome})
    truth.events = len(events)
    return events
