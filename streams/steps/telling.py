"""What a decision tells when its batch is drained: its fact, the facts of leaves that changed, its group's input."""

from collections.abc import Iterable, Iterator

import msgspec

from waterline.schemas.facts import GroupInput, Standing
from waterline.schemas.identity import routing_key
from waterline.schemas.topics import COST_FACTS, DECISION_FACTS, GROUP_INPUTS
from waterline.streams.steps.decision import Decision
from waterline.streams.steps.entry import Entry
from waterline.streams.steps.fold import Out
from waterline.streams.steps.ledger import PRICED
from waterline.streams.steps.snapshot import cost_fact, snapshot, standing
from waterline.streams.steps.tally import Tally

FRAME_BYTES = 500_000
_encode = msgspec.json.Encoder().encode


def tell(decision: Decision, outs: list[Out], tally: Tally) -> None:
    """Append what is new since the revision that was told last."""
    life = decision.life
    if decision.revision == life.told:
        return
    key = routing_key(decision.tenant, decision.key)
    if dirty := decision.ledger.dirty:
        outs.extend(_cost_frames(key, (_encode(cost_fact(decision, entry)) for entry in dirty.values())))
        cost = sum(decision.ledger.cost.values())
        for entry in dirty.values():
            _spend(decision, entry, tally, cost)
        decision.trail.changed.update(decision.trail.ids[event_id] for event_id in dirty)
        dirty.clear()
    outs.append(Out(DECISION_FACTS, key, _encode(snapshot(decision))))
    life.told = decision.revision
    now, before = standing(decision), life.published
    if now == before:
        return
    if now is not None and before is not None and now.contribution.agent == before.contribution.agent:
        outs.append(_group_input(decision, now, now, before))
    else:
        if before is not None:
            outs.append(_group_input(decision, before, None, before))
        if now is not None:
            outs.append(_group_input(decision, now, now, None))
    life.published = now


def _spend(decision: Decision, entry: Entry, tally: Tally, whole: int, taken_back: bool = False) -> None:
    """Tell budgets by how much a leaf costs more than they know. `whole`: what all of its decision costs."""
    leaf = entry.leaf
    assert leaf is not None
    cost = leaf.cost if leaf.state == PRICED and not taken_back else 0
    if cost != leaf.spent:
        tally.spend(decision.tenant, leaf, entry.start, cost - leaf.spent, decision.life.replay, (whole, decision.key))
        leaf.spent = cost


def retract(decision: Decision, entries: list[Entry], outs: list[Out], tally: Tally) -> None:
    """Take back the cost facts of leaves that go to another decision."""
    key = routing_key(decision.tenant, decision.key)
    facts = (_encode(cost_fact(decision, entry, retracted=True)) for entry in entries if entry.leaf is not None)
    outs.extend(_cost_frames(key, facts))
    for entry in entries:
        if entry.leaf is not None:
            _spend(decision, entry, tally, 0, taken_back=True)


def _group_input(decision: Decision, of: Standing, now: Standing | None, previous: Standing | None) -> Out:
    agent = of.contribution.agent
    told = GroupInput(
        tenant=decision.tenant,
        agent=agent,
        decision_key=decision.key,
        revision=decision.revision,
        now=now,
        previous=previous,
    )
    return Out(GROUP_INPUTS, routing_key(decision.tenant, agent), _encode(told))


def _cost_frames(key: bytes, facts: Iterable[bytes]) -> Iterator[Out]:
    """Facts of one decision, several to a record, well under a record's limit."""
    lines: list[bytes] = []
    size = 0
    for fact in facts:
        if lines and size + len(fact) > FRAME_BYTES:
            yield Out(COST_FACTS, key, b"\n".join(lines))
            lines, size = [], 0
        lines.append(fact)
        size += len(fact) + 1
    if lines:
        yield Out(COST_FACTS, key, b"\n".join(lines))
