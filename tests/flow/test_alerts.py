"""Rules over recorded runs, one a minute from a full hour on: what the running pipeline says is what SQL over the raw events
says is due, and a backtest of them says the same again."""

import json
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import Struct
from rich.console import Console

from tests.flow.conftest import Pipeline
from waterline.commands.replay_runs import load, replay
from waterline.proof import Kafka
from waterline.replay.schedule import items_in_order
from waterline.replay.telemetry import AGENT
from waterline.schemas.topics import AGENT_EVENTS, DRIFT_FACTS, QUALITY_FACTS, STORED

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
TOOLS = f"""
    SELECT agent_version AS version, toString(toDate(ts + toIntervalMicrosecond(round(duration_ms * 1000)))) AS day, tool,
           count() AS calls
    FROM {FIRST} WHERE agent = '{AGENT}' AND kind = 'tool_call'
    GROUP BY version, day, tool"""


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


def test_the_drift_of_the_second_version_is_major_and_names_the_tools_that_moved(played: Played) -> None:
    """Its whole last day against all that the first version did up to there; the first has one version and no seven days."""
    asked = f"SELECT * FROM drift WHERE agent = '{AGENT}' AND about = 'tools' AND artifact = 'v2' ORDER BY day"
    counted = played.pipeline.rows(TOOLS)
    day = max(row["day"] for row in counted if row["version"] == "v2")
    now = {row["tool"]: int(row["calls"]) for row in counted if (row["version"], row["day"]) == ("v2", day)}
    total = sum(now.values())
    told = played.pipeline.until(lambda: [row for row in played.pipeline.rows(asked) if int(row["now"]) == total])[-1]
    before: dict[str, int] = {}
    for row in counted:
        if row["version"] == "v1" and row["day"] <= day:
            before[row["tool"]] = before.get(row["tool"], 0) + int(row["calls"])
    names = sorted({*before, *now})
    p, q = (np.array([side.get(name, 0) + 0.5 for name in names]) for side in (before, now))
    adds = (q / q.sum() - p / p.sum()) * np.log((q / q.sum()) / (p / p.sum()))
    assert (told["day"], told["baseline"], told["pinned"], int(told["before"])) == (day, "v1", False, sum(before.values()))
    assert told["shift"] == "major"
    assert told["psi"] == pytest.approx(float(adds.sum()), abs=1e-9)
    assert told["psi"] > 1
    assert [one["name"] for one in told["moved"]] == [names[n] for n in np.argsort(-adds, kind="stable")[:3]]
    span = {"since": str(played.last.date() - timedelta(days=3)), "until": str(played.last.date())}
    assert played.pipeline.ask("drift_reconciliation", agent=AGENT, **span) == []


def backtested(played: Played, rules: Path, *more: str) -> dict[str, Any]:
    begin = played.last.replace(minute=0, second=0, microsecond=0) - timedelta(hours=24)
    span = ("--from", begin.isoformat(), "--to", played.last.isoformat())
    return dict(json.loads(played.pipeline.waterline("backtest", str(rules), *span, "--json", *more)))


def words(side: list[dict[str, Any]]) -> list[tuple[object, ...]]:
    """Without the samples of an accuracy: an outcome that names only the business id is on its way between two partitions
    when time passes, and the first word may come before it."""
    return sorted(
        (
            one["rule"],
            one["alert_id"],
            one["transition"],
            one["state"],
            one["window_from"],
            one["window_to"],
            *(Decimal(one.get(name) or 0) for name in ("value", "threshold")),
            0 if one["measure"] == "accuracy_drop" else one.get("samples", 0),
        )
        for one in side
    )


def test_a_backtest_of_the_rules_in_force_says_what_was_told(played: Played) -> None:
    rules = Path(played.pipeline.stack.settings.rules_file)
    found = played.pipeline.until(lambda: _same(backtested(played, rules)), 60)
    fired = {one["rule"]: one["both"] for one in found["rules"]}
    assert fired["tool_error_rate"] > 1
    assert len({one["alert_id"] for one in found["now"]}) > 2
    assert found["cost_then"] is None


def _same(found: dict[str, Any]) -> dict[str, Any]:
    return found if words(found["then"]) == words(found["now"]) else {}


def test_a_backtest_of_other_rules_and_prices_shows_the_difference_and_changes_nothing(played: Played, tmp_path: Path) -> None:
    rules, prices = tmp_path / "rules.yaml", tmp_path / "prices.toml"
    own = Path(played.pipeline.stack.settings.rules_file).read_text()
    rules.write_text(own.replace("above: 5%", "above: 12%", 1))
    prices.write_text('[[price]]\nprovider = "openai"\nmodel = "gpt-4o"\ninput = "1000"\noutput = "1000"\n')
    before = everything(played.pipeline)
    found = backtested(played, rules, "--prices", str(prices))
    assert everything(played.pipeline) == before

    (group,) = [one for one in found["groups"] if one["rule"] == "tool_error_rate"]
    assert len(group["only_then"]) > 1
    counts = {one["rule"]: one for one in found["rules"]}
    assert counts["escalation_rate"]["then"] == counts["escalation_rate"]["now"] == 0
    windows = {str(row["begin"]): row for row in played.pipeline.rows(CALLS)}
    for window in group["only_then"]:
        row = windows[str(window["from"])[:19].replace("T", " ")]
        assert int(row["part"]) / int(row["samples"]) > 0.05
    for window in (*group["both"], *group["only_now"]):
        row = windows[str(window["from"])[:19].replace("T", " ")]
        assert int(row["part"]) / int(row["samples"]) > 0.12
    spent = f"SELECT sum(realized_cost) AS usd FROM decisions WHERE agent = '{AGENT}'"
    assert Decimal(found["cost_then"]) == Decimal(str(played.pipeline.rows(spent)[0]["usd"]))
    assert Decimal(found["cost_now"]) > Decimal(found["cost_then"])


def everything(pipeline: Pipeline) -> dict[object, int]:
    """Rows of the tables and ends of the topics that only facts, and no passing of time, move: drift and quality of other tests'
    agents may be told of some minutes later."""
    counts = {
        one.table: pipeline.rows(f"SELECT count() AS n FROM {one.table}")[0]["n"]
        for one in STORED
        if one not in (DRIFT_FACTS, QUALITY_FACTS)
    }
    by_time = {one.name for one in (AGENT_EVENTS, DRIFT_FACTS, QUALITY_FACTS)}
    with closing(Kafka(pipeline.stack.settings)) as kafka:
        ends: dict[object, int] = {lane: end for lane, (_, end) in kafka.held().items() if lane[0] not in by_time}
    return ends | {name: int(count) for name, count in counts.items()}


def test_a_backtest_of_a_time_of_which_nothing_is_kept_says_what_is(played: Played) -> None:
    rules = played.pipeline.stack.settings.rules_file
    with pytest.raises(AssertionError, match="no event is kept from 2020-01-01 00:00 to 2020-01-02 00:00 UTC: what is kept is"):
        played.pipeline.waterline("backtest", rules, "--from", "2020-01-01", "--to", "2020-01-02")
