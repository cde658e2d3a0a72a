"""Ids and partitions agree with what other people's producers compute."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waterline.schemas.identity import murmur2, partition_of, record_event_id, routing_key, span_event_id


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        # the vectors of Apache Kafka's UtilsTest.testMurmur2
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_is_the_java_clients(key: bytes, expected: int) -> None:
    assert murmur2(key) == expected % 2**32


@given(st.binary(max_size=64), st.integers(1, 1024))
def test_a_partition_is_always_one_of_the_topics(key: bytes, partitions: int) -> None:
    assert 0 <= partition_of(key, partitions) < partitions


def test_the_decision_chooses_the_partition() -> None:
    assert routing_key("acme", "trace", "ticket", "event") == b"acme/trace"
    assert routing_key("acme", "", "ticket", "event") == b"acme/ticket"
    assert routing_key("acme", "", "", "event") == b"acme/event"


def test_ids_depend_on_the_tenant_and_the_occurrence() -> None:
    assert span_event_id("a", "t", "s") != span_event_id("b", "t", "s")
    assert len({record_event_id("a", b"x", 0), record_event_id("a", b"x", 1), record_event_id("b", b"x", 0)}) == 3
    assert span_event_id("a", "t", "s") == span_event_id("a", "t", "s")
