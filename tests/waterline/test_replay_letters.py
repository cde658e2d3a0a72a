"""What goes out for a dead letter that is sent again: where to, in which partition, under which headers."""

import base64
from typing import Any

from waterline.commands.replay import records
from waterline.schemas.identity import partition_of, routing_key

LINE = b'{"tenant":"acme","kind":"step","ts":"2026-11-21T09:00:00Z","event_id":"e","decision_key":"d"}'
FRAME = {"wl-count": "3", "wl-producer": "collector-1", "wl-seq": "7", "wl-tenant": "acme", "wl-schema": "1"}


def letter(raw: bytes, **fields: Any) -> dict[str, Any]:
    known = {"consumer": "sink", "topic": "agent.events", "partition": 3, "tenant": "acme", "headers": FRAME, "replays": 0}
    return known | {"raw": base64.b64encode(raw).decode()} | fields


def test_a_line_that_can_be_read_now_goes_where_its_decision_is() -> None:
    ((topic, partition, value, headers),) = records([letter(LINE, replays=1)], 12)
    assert (topic, value) == ("agent.events", LINE)
    assert partition == partition_of(routing_key("acme", "d"), 12)
    assert dict(headers) == {"wl-tenant": b"acme", "wl-schema": b"1", "wl-replays": b"2"}


def test_what_still_cannot_be_read_goes_where_it_lay() -> None:
    ((topic, partition, value, _),) = records([letter(b"\xff{")], 12)
    assert (topic, partition, value) == ("agent.events", 3, b"\xff{")


def test_what_the_streams_buried_is_stored_already() -> None:
    ((topic, *_),) = records([letter(LINE, consumer="streams")], 12)
    assert topic == "agent.moved"
    ((topic, *_),) = records([letter(LINE, consumer="streams", topic="group.inputs")], 12)
    assert topic == "group.inputs"


def test_a_letter_keeps_what_kind_of_record_it_was() -> None:
    ((*_, headers),) = records([letter(b"{}", topic="agent.moved", headers={"wl-type": "moved"}, tenant="")], 12)
    assert dict(headers) == {"wl-type": b"moved", "wl-replays": b"1"}
