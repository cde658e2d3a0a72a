"""What decide workers tell each other through `agent.moved`, beside plain event lines. Internal: only streams read it.

A record with header `wl-type: moved` holds such lines, any other record of the topic holds events. `path` names the
decisions a line was handed on from, so that a circle of merges is noticed and broken.
"""

from typing import Annotated

from msgspec import Meta, Struct, field

from waterline.schemas.events import Event, Instant


class Proposal(Struct, tag="proposal", tag_field="type", omit_defaults=True, kw_only=True):
    """To the owner of a business id: decision `decision_key` carries it. The first proposal elects."""

    tenant: str
    decision_id: str
    decision_key: str
    at: Annotated[Instant, Meta(description="receipt of the event that proposes; the link's elected_at if it wins")]


class Lost(Struct, tag="lost", tag_field="type", omit_defaults=True, kw_only=True):
    """To a decision: the business id it proposed belongs to `into`, which it is to merge into."""

    tenant: str
    decision_key: str
    into: str
    path: list[str] = field(default_factory=list)


class Forward(Struct, tag="forward", tag_field="type", omit_defaults=True, kw_only=True):
    """To a decision: an event that is its own, whatever key the event carries."""

    tenant: str
    decision_key: str
    event: Event
    path: list[str] = field(default_factory=list)


class Absorb(Struct, tag="absorb", tag_field="type", omit_defaults=True, kw_only=True):
    """To a decision: a part of the state of one that merged into it. Times are microseconds since 1970."""

    tenant: str
    decision_key: str
    state: Annotated[bytes, Meta(description="entries of the decision and their prices, as the fold encodes them")]
    news: Annotated[int, Meta(description="latest event time")]
    received: Annotated[int, Meta(description="latest receipt")]
    replay: bool = False
    path: list[str] = field(default_factory=list)


Moved = Proposal | Lost | Forward | Absorb
