"""Rows from records: the original bytes with their position, copies left out, and each line's way back to what it was."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.connectors.stores.clickhouse.world import line
from waterline.connectors.stores.clickhouse.batch import (
    POSITION,
    Record,
    build,
    encoder_name,
    form_of,
    original,
    read_record,
    window_of,
)
from waterline.connectors.stores.clickhouse.ledger import producers
from waterline.connectors.stores.clickhouse.plan import Lane
from waterline.connectors.stores.clickhouse.window import Window
from waterline.schemas.frames import frame_headers
from waterline.schemas.topics import AGENT_EVENTS, DEAD_LETTERS, STORED, Topic

FORM, LANE = form_of(AGENT_EVENTS), Lane("agent.events", 3)
RECEIVED_MS = 1_795_168_801_000


def read(offset: int, *lines: bytes, number: int = 0) -> Record:
    return read_record(FORM, LANE, offset, b"\n".join(lines), frame_headers("acme", len(lines), "p", number), RECEIVED_MS)


def test_a_good_line_keeps_its_bytes_behind_its_position() -> None:
    given_line = line("a0", attributes={"x": "y"})
    (row,) = read(17, given_line).rows
    assert row.endswith(given_line[1:])
    told = json.loads(row)
    assert [told[name] for name in POSITION] == ["agent.events", 3, 17, 0]
    assert original(row) == given_line


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=5), st.text(max_size=30))
def test_whatever_a_line_holds_it_comes_back(attributes: dict[str, str], name: str) -> None:
    given_line = line("a0", attributes=attributes, name=name)
    for row in read(1, b"  " + given_line + b" \r").rows:
        assert json.loads(original(row)) == json.loads(given_line)


def test_lines_keep_their_numbers_beside_bad_ones() -> None:
    record = read(5, line("a0"), b"{", line("a2"))
    assert list(record.indexes) == [0, 2]
    assert [json.loads(row)["frame_index"] for row in record.rows] == [0, 2]
    assert [bad.index for bad in record.bad] == [1]


def test_the_first_of_equal_ids_wins() -> None:
    window = Window(10)
    body = build(FORM, [read(1, line("a"), line("b")), read(2, line("b", name="later"), line("c"))], window)
    assert [json.loads(row)["event_id"] for row in body.data.split(b"\n")] == ["a", "b", "c"]
    assert [(one.kafka_offset, one.frame_index, one.event_id) for one in body.copied] == [(2, 0, "b")]
    window.add(body.keys)
    again = build(FORM, [read(3, line("a"), line("d"))], window)
    assert (again.rows, [one.event_id for one in again.copied]) == (1, ["a"])


def test_equal_ids_of_two_tenants_are_two_events() -> None:
    records = [
        read_record(FORM, LANE, n, line("a", tenant=tenant), None, RECEIVED_MS) for n, tenant in enumerate(("acme", "other"))
    ]
    assert build(FORM, records, Window(10)).rows == 2


def test_what_is_there_already_counts_but_is_not_sent() -> None:
    body = build(FORM, [read(1, line("a"), line("b"))], Window(10), present=frozenset({(1, 0)}))
    assert body.rows == 2
    assert [json.loads(row)["event_id"] for row in body.data.split(b"\n")] == ["b"]
    assert len(body.keys) == 2 * 16


def test_what_was_refused_neither_counts_nor_is_remembered() -> None:
    body = build(FORM, [read(1, line("a"), line("b"))], Window(10), refused=frozenset({(1, 0)}))
    assert body.rows == 1
    assert len(body.keys) == 16


def test_the_encoder_says_its_window() -> None:
    assert window_of(encoder_name(1234)) == 1234
    assert window_of("99.5") is None


@pytest.mark.parametrize("topic", STORED, ids=lambda topic: topic.name)
def test_every_stored_topic_has_a_form(topic: Topic) -> None:
    form = form_of(topic)
    assert form.table == topic.table
    assert set(form.identity) <= set(form.columns)
    assert bool(form.identity) == (topic.name in ("agent.events", "agent.payloads", DEAD_LETTERS.name))


def test_numbers_of_producers_show_what_is_missing() -> None:
    seen = producers([read(n, line("a"), number=number) for n, number in enumerate((3, 4, 7))])
    assert [(one.producer, one.first_seq, one.last_seq, one.frames) for one in seen] == [("p", 3, 7, 3)]
