"""Every topic, once: what travels on it, how it is keyed and how long it stays. Broker, compose file and docs follow this."""

from dataclasses import dataclass, field

from msgspec import Struct

from waterline.schemas.alerts import AlertDelivery, AlertTransition
from waterline.schemas.changelog import Place
from waterline.schemas.control import ControlLimit
from waterline.schemas.dead_letter import DeadLetter
from waterline.schemas.events import Event, Payload
from waterline.schemas.facts import CostFact, DecisionFact, DecisionLink, GroupInput, PriceVersion, QualityFact
from waterline.schemas.judgement import CanaryVerdict, DriftFact

DAY_MS = 24 * 3600 * 1000
TOMBSTONE_MS = 7 * DAY_MS
"""How long a changelog remembers a deletion. A local copy of it that was not kept up for longer cannot be caught up."""


@dataclass(frozen=True, slots=True)
class Topic:
    """`key` says what the partition is chosen by; `table` is where the sink stores it, if it does. Where facts are `joined`, a
    record holds those of a whole batch that go to its partition, one a line, and has no key. Where it is `compacted`, the newest
    record of a key stays for `newest_ms`; 0 = for good."""

    name: str
    key: str
    meaning: str
    model: type[Struct]
    table: str = ""
    compacted: bool = False
    internal: bool = False
    retention_ms: int = 7 * DAY_MS
    config: dict[str, str] = field(default_factory=dict)
    joined: bool = False
    newest_ms: int = 0

    @property
    def policy(self) -> dict[str, str]:
        """The broker's configuration of how long records stay."""
        if not self.compacted:
            return {"cleanup.policy": "delete", "retention.ms": str(self.retention_ms)}
        if not self.newest_ms:
            return {"cleanup.policy": "compact"}
        return {"cleanup.policy": "compact,delete", "retention.ms": str(self.newest_ms)}


AGENT_EVENTS = Topic(
    "agent.events",
    "tenant, decision key",
    "frames of wide events",
    Event,
    "events",
    config={"message.timestamp.type": "LogAppendTime"},
)
AGENT_MOVED = Topic("agent.moved", "tenant, decision key", "lines handed to the partition they belong to", Event, internal=True)
AGENT_PAYLOADS = Topic("agent.payloads", "event_id", "bodies of tenants that opted in", Payload, "payloads", retention_ms=DAY_MS)
DECISION_FACTS = Topic(
    "decision.facts", "tenant, decision key", "the decision so far, with what it replaces", DecisionFact, "decision_facts"
)
COST_FACTS = Topic("cost.facts", "tenant, decision key", "one priced leaf of a decision", CostFact, "cost_facts")
PRICE_VERSIONS = Topic(
    "price.versions", "provider", "prices as they became known", PriceVersion, "price_versions", compacted=True
)
GROUP_INPUTS = Topic(
    "group.inputs", "tenant, agent", "what decisions and calls contribute to their groups", GroupInput, internal=True, joined=True
)
DECISION_LINKS = Topic(
    "decision.links", "tenant, alias", "business id -> decision key, as elected", DecisionLink, "decision_links", compacted=True
)
QUALITY_FACTS = Topic(
    "quality.facts", "tenant, group", "what a measure of a group comes to on a day", QualityFact, "quality_facts"
)
DRIFT_FACTS = Topic(
    "drift.facts", "tenant, agent", "how a distribution of an agent compares with its baseline", DriftFact, "drift_facts"
)
CANARY_VERDICTS = Topic(
    "canary.verdicts",
    "tenant, agent",
    "promote, hold or roll back, whenever it changes",
    CanaryVerdict,
    "canary_verdicts",
    retention_ms=30 * DAY_MS,
)
ALERT_TRANSITIONS = Topic(
    "alert.transitions",
    "alert id",
    "every change of state of every alert",
    AlertTransition,
    "alert_transitions",
    retention_ms=30 * DAY_MS,
)
ALERT_DELIVERIES = Topic(
    "alert.deliveries",
    "alert id, transition, channel",
    "what became of a transition on a channel",
    AlertDelivery,
    "alert_deliveries",
    compacted=True,
    newest_ms=400 * DAY_MS,
)
CONTROL_LIMITS = Topic(
    "control.limits",
    "tenant, budget, scope, name, clock",
    "each budget as it stands, for gateways to follow",
    ControlLimit,
    "control_limits",
    compacted=True,
)
DEAD_LETTERS = Topic(
    "dead.letters",
    "source topic",
    "whole records and lines that could not be used",
    DeadLetter,
    "dead_letters",
    retention_ms=30 * DAY_MS,
    config={"max.message.bytes": str(8 * 2**20)},
)
_CHANGELOG = {
    "delete.retention.ms": str(TOMBSTONE_MS),
    "min.cleanable.dirty.ratio": "0.3",
    "segment.bytes": str(64 * 2**20),
    "segment.ms": str(DAY_MS),
}
DECIDE_CHANGELOG = Topic(
    "decide.changelog", "state key, own partition", "state of decisions and links", Place, "", True, True, config=_CHANGELOG
)
GROUPS_CHANGELOG = Topic(
    "groups.changelog", "state key, own partition", "state of groups", Place, "", True, True, config=_CHANGELOG
)
RULER_CHANGELOG = Topic(
    "ruler.changelog",
    "state key, one partition",
    "how far rules that are questions were judged, and where their alerts stand",
    Place,
    "",
    True,
    True,
    config=_CHANGELOG,
)

TOPICS: tuple[Topic, ...] = (
    AGENT_EVENTS,
    AGENT_MOVED,
    AGENT_PAYLOADS,
    DECISION_FACTS,
    COST_FACTS,
    PRICE_VERSIONS,
    GROUP_INPUTS,
    DECISION_LINKS,
    QUALITY_FACTS,
    DRIFT_FACTS,
    CANARY_VERDICTS,
    ALERT_TRANSITIONS,
    ALERT_DELIVERIES,
    CONTROL_LIMITS,
    DEAD_LETTERS,
    DECIDE_CHANGELOG,
    GROUPS_CHANGELOG,
    RULER_CHANGELOG,
)

STORED: tuple[Topic, ...] = tuple(t for t in TOPICS if t.table)
"""Topics that the sink writes into ClickHouse, each into its own table."""
