"""Rules over recorded runs, one a minute from a full hour on: what the running pipeline says is what SQL over the raw events
says is due."""

from datetime import UTC, datetime, timedelta
from io import StringIO
from itertools import pairwise
from typing import Any

import pytest
from msgspec import Struct
from rich.console import Console

from tests.flow.conftest import Pipeline
from waterline.commands.replay_runs import load, replay
from waterline.replay.schedule import items_in_order
from waterline.replay.telemetry import AGENT

FIRST = "(SELECT * FROM events ORDER BY kafka_partition, kafka_offset, frame_index LIMIT 1 BY event_id)"
CALLS = f"""
    SELECT toStartOfInterval(ts + toIntervalMicrosecond(round(duration_ms * 1000)), INTERVAL 5 MINUTE) AS begin,
           countIf(kind = 'tool_call') AS samples, countIf(kind = 'tool_call' AND status != 'ok') AS part
    FROM {FIRST} WHERE agent = '{AGENT}' AND kind IN ('tool_call', 'model_call')
    GROUP BY begin ORDER BY begin"""
ESCALATIONS = f"""
    SELECT toStartOfHour(started) AS begin, count() AS samples, countIf(escalated) AS part
    FROM (SELECT min(ts) AS started, max(kind = 'escalation') AS escalated
          FROM {FIRST} WHERE agent = '{AGENT}' AND decision_key != '' GROUP BY decision_key)
    GROUP BY begin ORDER BY begin"""


class Played(Struct):
    pipeline: Pipeline
    last: datetime

    def told(self, rule: str) -> list[dict[str, Any]]:
        sql = f"SELECT * FROM alert_transitions WHERE rule = '{rule}' AND `group`['agent'] = '{AGENT}' ORDER BY transition"
        return self.pipeline.rows(sql)


@pytest.fixture(scope="module")
def played(pipeline: Pipeline) -> Played:
    runs = load([], 0)
    begin = (datetime.now(UTC) - timedelta(days=2)).replace(minute=0, second=0, microsecond=0)
    items = items_in_order(runs, begin, timedelta(minutes=1), seed=7)
    replay(items, pipeline.stack.collector_url, "", 0.0, pipeline.stack.settings, True, Console(file=StringIO()))
    everything = f"SELECT uniqExact(event_id) AS n FROM events WHERE agent = '{AGENT}'"
    pipeline.until(lambda: pipeline.rows(everything) == [{"n": len(items)}])
    return Played(pipeline, items[-1].at)


def due(windows: list[dict[str, Any]], above: float, at_least: int, length: timedelta, until: datetime) -> list[tuple[str, str]]:
    """(state, start of the window) of each change, from the counts of the windows: it fires above the threshold and goes on down
    to nine tenths of it; with too little to say three times in a row it is at rest, as insufficient. A window in which the agent
    did nothing counts while the alert fires."""
    changes: list[tuple[str, str]] = []
    counts = {str(window["begin"]): (int(window["samples"]), int(window["part"])) for window in windows}
    at = datetime.fromisoformat(min(counts))
    state, quiet = "ok", 0
    while at + length <= until.replace(tzinfo=None):
        begin = f"{at:%Y-%m-%d %H:%M:%S}"
        at += length
        if begin not in counts and state != "firing":
            continue
        samples, part = counts.get(begin, (0, 0))
        was = state
        quiet = quiet + 1 if samples < at_least else 0
        if quiet:
            state = "insufficient" if quiet >= 3 else state
        elif part / samples > above:
            state = "firing"
        elif state == "firing" and part / samples <= 0.9 * above:
            state = "resolved"
        elif state == "insufficient":
            state = "ok"
        if state != was:
            changes.append((state, begin))
    return changes


@pytest.mark.parametrize(
    ("rule", "sql", "above", "at_least", "length"),
    [("tool_error_rate", CALLS, 0.05, 20, timedelta(minutes=5)), ("escalation_rate", ESCALATIONS, 0.2, 30, timedelta(hours=1))],
)
def test_alerts_open_and_close_in_exactly_the_windows_that_are_due(
    played: Played, rule: str, sql: str, above: float, at_least: int, length: timedelta
) -> None:
    wanted = due(played.pipeline.rows(sql), above, at_least, length, played.last)
    assert ("firing", "resolved") in [(first[0], then[0]) for first, then in pairwise(wanted)] or rule == "escalation_rate"

    def told() -> list[tuple[str, str]]:
        until = f"{played.last - length:%Y-%m-%d %H:%M:%S}"
        rows = [(row["state"], row["window_from"][:19]) for row in played.told(rule)]
        return [row for row in rows if row[1] <= until]

    played.pipeline.until(lambda: len(told()) >= len(wanted))
    assert told() == wanted


def test_an_alert_shows_where_it_comes_from(played: Played) -> None:
    fired = played.pipeline.until(lambda: played.told("tool_error_rate"))[0]
    rows = played.pipeline.rows(fired["sql"])
    assert len(rows) == fired["samples"]
    failed = [row for row in rows if row["status"] != "ok"]
    assert round(len(failed) / len(rows), 9) == float(fired["value"])
    assert set(fired["decisions"]) <= {row["decision"] for row in failed}
    assert 1 <= len(fired["decisions"]) <= 5
