"""What happens at the limits, shown with small ones."""

import asyncio
import threading

import pytest

from waterline.connectors.stores.clickhouse.front.body import Body, Held
from waterline.connectors.stores.clickhouse.front.codecs import Plain
from waterline.connectors.stores.clickhouse.front.errors import Code, Refusal
from waterline.connectors.stores.clickhouse.front.lanes import Lane
from waterline.connectors.stores.clickhouse.front.link import Link
from waterline.connectors.stores.clickhouse.front.sessions import LIMIT, Sessions, timeout_of


def test_a_full_lane_refuses_after_a_wait_and_goes_on_when_a_place_is_free() -> None:
    async def run() -> None:
        lane = Lane("test", 1, wait_s=0.05)
        hold = threading.Event()
        async with lane.place():
            busy = lane.run(hold.wait)
            assert lane.taken == 1
            with pytest.raises(Refusal) as caught:
                async with lane.place():
                    pass
            assert (caught.value.code, caught.value.status) == (Code.TOO_MANY_SIMULTANEOUS_QUERIES, 503)
            hold.set()
            assert await busy
        async with lane.place():
            assert await lane.run(lambda: 7) == 7
        lane.close()

    asyncio.run(run())


def test_bodies_in_memory_are_bounded_over_all_requests() -> None:
    held = Held(limit=100)

    async def run(size: int) -> None:
        async def receive() -> dict[str, object]:
            return {"type": "http.request", "body": b"x" * size, "more_body": False}

        with Body(receive, [Plain()], held) as body:
            await body.hold()
            assert held.bytes == size

    asyncio.run(run(100))
    with pytest.raises(Refusal) as caught:
        asyncio.run(run(101))
    assert caught.value.status == 503
    assert held.bytes == 0


def test_a_session_at_work_is_locked_and_the_oldest_at_rest_makes_room() -> None:
    gone: list[Link] = []
    sessions = Sessions(gone.append)
    busy = sessions.take("busy")
    with pytest.raises(Refusal) as caught:
        sessions.take("busy")
    assert caught.value.code == Code.SESSION_IS_LOCKED
    for at in range(LIMIT):
        sessions.rest(sessions.take(f"s{at}"))
    assert len(sessions.named) == LIMIT
    assert "busy" in sessions.named
    assert "s0" not in sessions.named
    sessions.rest(busy)
    with pytest.raises(Refusal) as caught:
        sessions.take("never seen", must_exist=True)
    assert caught.value.code == Code.SESSION_NOT_FOUND


def test_a_session_is_over_after_its_timeout() -> None:
    sessions = Sessions(lambda _: None)
    sessions.rest(sessions.take("short", timeout=0))
    sessions.rest(sessions.take("long", timeout=60))
    sessions.expire()
    assert list(sessions.named) == ["long"]


@pytest.mark.parametrize("text", ["x", "-1", "3601", "1.5"])
def test_an_impossible_session_timeout_is_refused(text: str) -> None:
    with pytest.raises(Refusal) as caught:
        timeout_of(text)
    assert caught.value.code == Code.INVALID_SESSION_TIMEOUT
