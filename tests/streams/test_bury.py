"""Records that cannot be used and lines that break a fold: buried alone, and when all of them do, the worker stops."""

import msgspec
import pytest

from tests.streams.arena import START, Arena
from waterline.schemas.events import Event, Kind
from waterline.schemas.frames import encode_event, encode_frame

BOOM = Event(event_id="boom", tenant="acme", ts=START, received_at=START, decision_key="b", kind=Kind.TOOL_CALL, tool="boom")


def harmless(number: int) -> bytes:
    return encode_event(msgspec.structs.replace(BOOM, event_id=str(number), tool="", decision_key="other"))


def test_bad_lines_are_buried_and_the_others_go_on(arena: Arena) -> None:
    arena.produce(encode_frame([b"{", harmless(1), b'{"tenant":"acme"}']), 0, 3)
    arena.produce(b"\xff\xfe", 1, 1)
    worker = arena.start()
    arena.send(10)
    arena.wait_applied(worker, arena.sent + 1)
    letters = {(each["partition"], each["index"]): each["code"] for each in arena.letters()}
    assert letters == {(0, 0): "invalid_json", (0, 2): "invalid_event", (1, 0): "invalid_json"}
    assert {each["consumer"] for each in arena.letters()} == {"streams"}
    assert arena.wrongs() == {}


def test_a_line_that_breaks_the_fold_is_buried_alone(arena: Arena) -> None:
    arena.send(10)
    boom = encode_event(BOOM)
    arena.produce(encode_frame([harmless(1), boom, harmless(2), boom, harmless(3)]), 2, 5)
    arena.send(20)
    worker = arena.start()
    arena.wait_applied(worker, arena.sent + 3)
    assert [(each["partition"], each["index"], each["code"]) for each in arena.letters()] == [(2, 1, "bug"), (2, 3, "bug")]
    assert arena.states()["other"] == (3, 0)
    assert arena.wrongs() == {}


@pytest.mark.parametrize("arena", [1], indirect=True)
def test_bugs_in_a_row_stop_the_worker_and_the_records_wait(arena: Arena) -> None:
    booms = [encode_event(msgspec.structs.replace(BOOM, event_id=str(number))) for number in range(6)]
    arena.send(5)
    arena.produce(encode_frame(booms[:3]), 0, 3)
    arena.produce(encode_frame(booms[3:]), 0, 3)
    arena.send(5)
    for _ in range(2):
        worker = arena.start(streams_bugs_in_a_row="3")
        assert arena.ended(worker) == 70
        assert "3 lines in a row failed" in worker.tail()
        assert arena.applied() == 100
        assert arena.letters() == []
    arena.wait_applied(arena.start(streams_bugs_in_a_row="7"))
    assert len(arena.letters()) == 6
    assert arena.wrongs() == {}
