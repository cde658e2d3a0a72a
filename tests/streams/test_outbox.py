"""Where what a batch tells goes, and how it is numbered."""

from collections import defaultdict
from itertools import count

from waterline.schemas.frames import H_COUNT, H_PRODUCER, H_SEQ
from waterline.schemas.identity import partition_of
from waterline.schemas.topics import AGENT_MOVED, DECISION_FACTS, GROUP_INPUTS
from waterline.streams import outbox
from waterline.streams.outbox import records
from waterline.streams.steps.fold import Out
from waterline.streams.writer import Record


def sent(outs: list[Out]) -> list[Record]:
    numbers: dict[tuple[str, int], count[int]] = defaultdict(count)
    return records(outs, lambda _: 12, lambda topic, partition: next(numbers[topic, partition]), b"me")


def test_a_fact_is_a_record_numbered_within_its_partition() -> None:
    keys = [b"acme/a", b"acme/b", b"acme/a"]
    made = sent([Out(DECISION_FACTS, key, b"%d" % number) for number, key in enumerate(keys)])
    assert [(record.key, record.value) for record in made] == [(b"acme/a", b"0"), (b"acme/b", b"1"), (b"acme/a", b"2")]
    assert [record.partition for record in made] == [partition_of(key, 12) for key in keys]
    assert [dict(record.headers) for record in made] == [{H_PRODUCER: b"me", H_SEQ: number} for number in (b"0", b"0", b"1")]


def test_headers_of_a_fold_are_kept() -> None:
    (made,) = sent([Out(AGENT_MOVED, b"acme/a", b"{}", [(H_COUNT, b"1")])])
    assert made.headers == [(H_COUNT, b"1"), (H_PRODUCER, b"me"), (H_SEQ, b"0")]


def test_joined_facts_share_records_in_order_and_stay_small() -> None:
    facts = [b'{"n":%d,"text":"%s"}' % (number, b"x" * (number % 700)) for number in range(3000)]
    made = sent([Out(GROUP_INPUTS, b"acme/%d" % (number % 5), fact) for number, fact in enumerate(facts)])
    lines: dict[int, list[bytes]] = defaultdict(list)
    for record in made:
        assert record.key is None
        assert len(record.value or b"") <= outbox.JOINED_BYTES
        found = (record.value or b"").split(b"\n")
        assert len(found) <= outbox.JOINED_LINES
        lines[record.partition] += found
    wanted: dict[int, list[bytes]] = defaultdict(list)
    for number, fact in enumerate(facts):
        wanted[partition_of(b"acme/%d" % (number % 5), 12)].append(fact)
    assert lines == wanted
    assert len(made) < 12
