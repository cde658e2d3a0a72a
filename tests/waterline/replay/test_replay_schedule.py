"""Laying runs over time, and cutting time into windows."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from waterline.replay.recording import packaged_runs
from waterline.replay.schedule import AFTERMATH, SPAN, Window, items_in_order, lay_out, windows
from waterline.replay.telemetry import Item, Route
from waterline.schemas.events import Event, Kind

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
EVENT = Event(tenant="default", ts=NOW, kind=Kind.STEP)


def test_by_default_runs_fill_the_last_30_days() -> None:
    start, spacing = lay_out(250, NOW, None, None)
    assert start == NOW - SPAN
    assert spacing == (SPAN - AFTERMATH) / 250


def test_a_spacing_alone_ends_now_and_a_start_alone_fills_the_time_to_now() -> None:
    hour = timedelta(hours=1)
    assert lay_out(10, NOW, None, hour) == (NOW - AFTERMATH - 10 * hour, hour)
    assert lay_out(10, NOW, NOW - AFTERMATH - 10 * hour, None) == (NOW - AFTERMATH - 10 * hour, hour)
    assert lay_out(10, NOW, NOW, hour) == (NOW, hour)


def test_nothing_lies_in_the_future_by_default() -> None:
    runs = packaged_runs()
    assert items_in_order(runs, *lay_out(len(runs), NOW, None, None), seed=7)[-1].at < NOW


@given(st.lists(st.integers(0, 10_000), max_size=60), st.integers(1, 5_000))
def test_windows_hold_every_item_once_and_in_order(seconds: list[int], length: int) -> None:
    items = [Item(Route.EVENTS, NOW + timedelta(seconds=at), EVENT) for at in sorted(seconds)]
    cut: list[Window] = list(windows(items, timedelta(seconds=length)))
    assert [item for window in cut for item in window.items] == items
    for window in cut:
        assert window.items
        assert all(window.until - timedelta(seconds=length) <= item.at <= window.until for item in window.items)
    assert [window.until for window in cut] == sorted({window.until for window in cut})
