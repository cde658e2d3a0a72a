"""What each default rule that is not about windows should say, and each mark of a budget; as data, like scenarios.py."""

import random
from decimal import Decimal

from msgspec.structs import replace

from tests.streams.steps.scenarios import (
    DAY,
    EVENING,
    FIRES,
    FIRING,
    FIRST,
    GRACE,
    HOUR,
    INSUFFICIENT,
    LATE,
    LATENESS,
    MINUTE,
    NEAR,
    OK,
    RESOLVED,
    SCENARIOS,
    TODAY,
    UNDER,
    Told,
    scenario,
)
from tests.streams.steps.world import call, event
from waterline.schemas.events import Event, Kind, Outcome

__all__ = ["SCENARIOS"]


# task_tokens: one decision over three times the mean of its task, of which at least 20 decisions are known; a call is of 1,100

KNOWN = (60.0 - DAY, [call(-DAY + n, key=f"k{n}") for n in range(20)])
BIG = {"agent": "{agent}", "task": "t", "decision": "{agent}/big"}


def big(number: int, at: float = 0.0) -> list[Event]:
    return [call(at + n, key="big") for n in range(number)]


FOUR = Told(state=FIRING, value="4400", threshold="3300", decisions=("big",), samples=20, rows=4)
scenario("task_tokens", FIRES, [KNOWN, (60, big(4)), (60 + GRACE + LATENESS, [])], FOUR,
         Told(state=RESOLVED, decisions=("big",)), group=BIG)  # fmt: skip
scenario("task_tokens", UNDER, [KNOWN, (60, big(3)), (60 + GRACE + LATENESS, [])], group=BIG)
scenario("task_tokens", LATE, [KNOWN, (60, big(3)), (HOUR, []), (HOUR + 60, big(1, 5.0)), (HOUR + 60 + GRACE + LATENESS, [])],
         replace(FOUR, late=True), Told(state=RESOLVED), group=BIG)  # fmt: skip
scenario("task_tokens", NEAR, [KNOWN, (60, big(4)), (120, big(1, 100.0)), (180, big(1, 150.0)), (180 + GRACE + LATENESS, [])],
         FOUR, Told(state=RESOLVED), group=BIG)  # fmt: skip


# no_data: spoke every minute of five, then nothing for five minutes


def spoke(*minutes: int) -> list[Event]:
    return [event(Kind.DECISION, minute * MINUTE + 30, f"s{minute}") for minute in minutes]


SPOKE = ("s4", "s3", "s2", "s1", "s0")
SILENT = Told(state=FIRING, value="300", threshold="300", window=FIRST, samples=5, rows=5, ranked=SPOKE)
scenario("no_data", FIRES, [(300, spoke(0, 1, 2, 3, 4)), (615, []), (700, spoke(11))], SILENT,
         Told(state=RESOLVED, rows=5, ranked=SPOKE))  # fmt: skip
scenario("no_data", UNDER, [(300, spoke(0, 1, 2, 3, 4)), (598, spoke(9)), (615, [])])
scenario("no_data", LATE, [(300, spoke(0, 1, 2, 3, 4)), (615, []), (650, spoke(7))], SILENT, Told(state=RESOLVED, late=True))
scenario("no_data", "late in a gap", [(300, spoke(0, 1, 3, 4)), (615, []), (650, spoke(2)), (700, spoke(11))],
         replace(SILENT, late=True), Told(state=RESOLVED))  # fmt: skip
scenario("no_data", "the last of many", [(300, [*spoke(*range(5)), event(Kind.DECISION, 299, "x")]), (615, [])],
         replace(SILENT, rows=6, ranked=("x", *SPOKE[:-1])))  # fmt: skip
scenario("no_data", NEAR, [(300, spoke(0, 1, 2, 3, 4)), (560, spoke(8)), (800, spoke(12)), (1100, spoke(16)), (1500, [])])


# budgets: marks at 50, 80 and 100 %, and a forecast; a call is 0.0028 USD, so ten are a key's day and a hundred a team's month


def paid(until: float, number: int) -> list[Event]:
    """Calls of one key, the last of which is at `until`."""
    return [call(until - n, key=f"b{until:g}-{n}", credential_id="key") for n in range(number)]


LAST = EVENING - 10
for mark, number in (("50 %", 5), ("80 %", 8), ("100 %", 10)):
    scenario("key-daily", f"{mark} {FIRES}", [(LAST, paid(LAST, number)), (EVENING + LATENESS, [])],
             Told(state=FIRING, value=str(number * Decimal("0.0028")), threshold=str(number * Decimal("0.0028")), window=TODAY,
                  rows=number, ranked=tuple(f"b{LAST:g}-{n}" for n in range(5))),
             Told(state=RESOLVED, value="0", window=(EVENING, EVENING + DAY), ranked=()),
             group={"key": "{agent}", "mark": mark})  # fmt: skip
    scenario("key-daily", f"{mark} {UNDER}", [(LAST, paid(LAST, number - 1)), (EVENING + LATENESS, [])],
             group={"key": "{agent}", "mark": mark})  # fmt: skip
HALF = {"key": "{agent}", "mark": "50 %"}
LATE_ONE = call(HOUR, key="late", credential_id="key")
scenario("key-daily", f"50 % {LATE}", [(LAST, paid(LAST, 4)), (LAST + 5, [LATE_ONE]), (EVENING + LATENESS, [])],
         Told(state=FIRING, value="0.014", window=TODAY, rows=5, ranked=(*(f"b{LAST:g}-{n}" for n in range(4)), "late")),
         Told(state=RESOLVED, value="0"), group=HALF)  # fmt: skip
scenario("key-daily", "50 % of a day that is over", [(LAST, paid(LAST, 4)), (EVENING + LATENESS, []), (EVENING + 60, [LATE_ONE])],
         group=HALF)  # fmt: skip
FORECAST = {"key": "{agent}", "mark": "forecast"}
BEFORE, NOON = (LAST - DAY, paid(LAST - DAY, 6)), 3 * HOUR
PACE = tuple(f"b{NOON:g}-{n}" for n in range(5))
scenario("key-daily", f"forecast {FIRES}", [BEFORE, (NOON, paid(NOON, 8)), (EVENING + LATENESS, [])],
         Told(state=FIRING, value="0.0308", threshold="0.028", window=TODAY, rows=8, ranked=PACE),
         Told(state=RESOLVED, value="0.0196", window=(EVENING, EVENING + DAY)), group=FORECAST)  # fmt: skip
scenario("key-daily", f"forecast {LATE}",
         [BEFORE, (NOON, paid(NOON, 7)), (NOON + 60, [call(LAST - DAY - 60, key="late", credential_id="key")]),
          (EVENING + LATENESS, [])],
         Told(state=FIRING, value="0.0294", threshold="0.028", window=TODAY, rows=7, late=True, ranked=PACE),
         Told(state=RESOLVED, value="0.0196"), group=FORECAST)  # fmt: skip
scenario("key-daily", f"forecast {UNDER}", [BEFORE, (NOON, paid(NOON, 7)), (EVENING + LATENESS, [])], group=FORECAST)
BY_TEAM = {"team": "{agent}", "mark": "50 %"}
MONTH = (EVENING - 20 * DAY, EVENING + 10 * DAY)


def team(until: float, number: int, key: str = "t") -> list[Event]:
    return [call(until - n, key=f"{key}{until:g}-{n}", response_id=f"{n}", team="team") for n in range(number)]


def found(until: float, number: int) -> list[Event]:
    """One of those calls was told twice: what counts is an earlier word on it, of hardly any tokens."""
    told = {"key": f"t{until:g}-{number}", "response_id": f"{number}", "team": "team"}
    return [call(until - number - 0.5, tokens_input=0, tokens_output=1, **told)]


scenario("team-monthly", LATE,
         [(LAST - DAY, team(LAST - DAY, 48)), (60, team(60, 1)), (120, team(LAST - DAY, 1, "late")), (MONTH[1] + LATENESS, [])],
         Told(state=FIRING, value="0.14", threshold="0.14", window=MONTH, rows=50, late=True,
              ranked=("late-32410-0", "t-32410-0", "t-32410-1", "t-32410-10", "t-32410-11")),
         Told(state=RESOLVED, value="0"), group=BY_TEAM)  # fmt: skip
HOVER: list[tuple[float, list[Event]]] = []
"""Back and forth by a day each, so that each is told whatever is taken in at once."""
for day, told in enumerate(
    (team(LAST, 50), found(LAST, 0), team(EVENING + DAY + 60, 1), found(LAST, 1), team(EVENING + 3 * DAY, 1))
):
    HOVER += [(LAST if day == 0 else EVENING + (day - 1) * DAY + 60, told), (EVENING + day * DAY + LATENESS, [])]
scenario("team-monthly", NEAR, [*HOVER, (MONTH[1] + LATENESS, [])],
         Told(state=FIRING, value="0.14", threshold="0.14", window=MONTH,
              ranked=tuple(f"t{LAST:g}-{n}" for n in (0, 1, 10, 11, 12))),
         Told(state=RESOLVED, value="0"), group=BY_TEAM)  # fmt: skip


# accuracy_drop: 3 points under the mean of the 30 days before, and no chance; 100 labels a day


def labels(day: int, number: int, right: float, key: str = "l", seed: int = 1) -> list[Event]:
    """Decisions with their outcomes; `right` of a hundred are right. Day 0 begins at nine."""
    chance = random.Random(f"{seed}/{day}")
    told = []
    for one in range(day, day + number):
        wrong = set(chance.sample(range(100), round(100 * (1 - right))))
        told += [
            event(Kind.DECISION, one * DAY + n * DAY / 100, f"{key}{one}-{n}", outcome=RIGHT[n not in wrong]) for n in range(100)
        ]
    return told


def corrected(day: int) -> list[Event]:
    """All that was wrong on that day is found right after all."""
    return [event(Kind.OUTCOME, day * DAY + n * DAY / 100 + 1, f"l{day}-{n}", outcome=Outcome.CORRECT) for n in range(100)]


RIGHT = {True: Outcome.CORRECT, False: Outcome.INCORRECT}
AT_TASK = {"agent": "{agent}", "task": "t"}
LEARNT = (Told(state=INSUFFICIENT), Told(state=OK))
"""A month of labels is needed before anything is said; after an alarm it learns anew."""
USUAL = (LATENESS, labels(-31, 31, 0.9))
scenario("accuracy_drop", FIRES, [USUAL, (DAY + LATENESS, labels(0, 1, 0.5)), (3 * DAY + LATENESS, labels(1, 2, 0.9))],
         *LEARNT, Told(state=FIRING, threshold="0.03"), Told(state=RESOLVED, threshold="0.03"), Told(state=INSUFFICIENT),
         group=AT_TASK)  # fmt: skip
scenario(
    "accuracy_drop",
    UNDER,
    [USUAL, (DAY + LATENESS, labels(0, 1, 0.88)), (3 * DAY + LATENESS, labels(1, 2, 0.88))],
    *LEARNT,
    group=AT_TASK,
)
scenario("accuracy_drop", LATE, [USUAL, (DAY + LATENESS, labels(0, 1, 0.5)), (DAY + HOUR + LATENESS, corrected(0))],
         *LEARNT, Told(state=FIRING, threshold="0.03"), Told(state=RESOLVED, late=True, ranked=()), group=AT_TASK)  # fmt: skip
scenario("accuracy_drop", NEAR,
         [USUAL, (DAY + LATENESS, labels(0, 1, 0.5)),
          (7 * DAY + LATENESS, [one for day in range(1, 7) for one in labels(day, 1, (0.84, 0.87)[day % 2])]),
          (9 * DAY + LATENESS, labels(7, 2, 0.9))],
         *LEARNT, Told(state=FIRING, threshold="0.03"), Told(state=RESOLVED, threshold="0.03"), Told(state=INSUFFICIENT),
         group=AT_TASK)  # fmt: skip
