"""What each default rule should say, as data: raw events as they arrive, and the alert that comes of them.

A scenario is about an agent of its own. Its batches arrive at `at`, in seconds after nine o'clock of one day, and the clock of
every partition comes to there after them. Values and thresholds are worked out by hand from the events beside them.
"""

from collections.abc import Iterable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from tests.streams.steps.world import T0, call, event, seconds
from waterline.schemas.alerts import AlertState
from waterline.schemas.events import Event, Kind, Status, Verdict

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
EVENING = 15 * HOUR
"""The end of the day whose ninth hour all is counted from."""
LATENESS, GRACE = 10.0, 900.0
FIRING, RESOLVED, OK = AlertState.FIRING, AlertState.RESOLVED, AlertState.OK
INSUFFICIENT, NO_DATA = AlertState.INSUFFICIENT, AlertState.NO_DATA
NOBODY = "nobody"
FIRES, UNDER, LATE, NEAR = "fires", "under", "late", "near the line"
BUDGETS = """
budgets:
  - {budget: key-daily, scope: key, period: day, limit: 0.028 USD}
  - {budget: team-monthly, scope: team, period: month, limit: 0.28 USD}
"""
"""Ten and a hundred calls of the small price book."""


SCALE = (("override_rate", "override_rate_rethink"),)
"""Rules that cannot fire without those before them; nor can a mark of a budget without the lower ones."""


class Told(Struct, frozen=True, kw_only=True):
    """One transition; what is None is not looked at. `window` is in seconds after nine, `decisions` are all that may be shown, of
    which five are, `ranked` just those in this order, `rows` how many its SQL returns. Values are exact, but those of a sketch:
    `within` is the share by which they may be off."""

    state: AlertState
    value: str | None = None
    threshold: str | None = None
    window: tuple[float, float] | None = None
    decisions: tuple[str, ...] | None = None
    ranked: tuple[str, ...] | None = None
    samples: int | None = None
    rows: int | None = None
    late: bool = False
    provisional: bool = False
    within: float = 0.0


class Batch(Struct, frozen=True):
    at: float
    events: list[Event]


class Scenario(Struct, frozen=True, kw_only=True):
    """`told` of the alert of `rule` about `group`. Nothing else may fire, but what is lower on the same scale (`SCALE`)."""

    rule: str
    what: str
    batches: list[Batch]
    told: tuple[Told, ...]
    group: dict[str, str]

    @property
    def name(self) -> str:
        return f"{self.rule}: {self.what}"


SCENARIOS: list[Scenario] = []
Batches = Iterable[tuple[float, Iterable[Event]]]


def scenario(rule: str, what: str, batches: Batches, *told: Told, group: dict[str, str] | None = None) -> None:
    """Names the events after the scenario, but for the agent of one that is of `NOBODY`; a `group` other than the agent may say
    {agent} for it."""
    agent = f"{rule}/{what}".replace(" ", "-")

    def named(one: Event, at: float, number: int) -> Event:
        key = f"{agent}/{one.decision_key}"
        told = {"agent": agent, "task": "t", "source": agent, "event_id": f"{key}/{at:g}/{number}", "decision_key": key}
        if one.agent == NOBODY:
            told["agent"] = ""
        if one.credential_id:
            told["credential_id"] = agent
        if one.team:
            told["team"] = agent
        return replace(one, received_at=T0 + seconds(at), **told)

    made = [Batch(at, [named(one, at, n) for n, one in enumerate(events)]) for at, events in batches]
    about = {name: value.replace("{agent}", agent) for name, value in (group or {"agent": "{agent}"}).items()}

    def whole(keys: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return keys and tuple(f"{agent}/{key}" for key in keys)

    shown = tuple(replace(one, decisions=whole(one.decisions), ranked=whole(one.ranked)) for one in told)
    SCENARIOS.append(Scenario(rule=rule, what=what, batches=made, told=shown, group=about))


def over(window: int, length: float = 5 * MINUTE) -> float:
    """When the last word is said of window number `window` after nine."""
    return (window + 1) * length + LATENESS


# tool_error_rate, tool_error_rate_by_tool: over 5 % of at least 20 calls in 5 minutes


def calls(window: int, failed: int, count: int, tools: Sequence[str], key: str = "w") -> list[Event]:
    """Calls of the tools in turn, all in the first minute of a window, each of its own decision; the first ones fail."""
    return [
        event(Kind.TOOL_CALL, 300 * window + n / 10, f"{key}{window}-{n}", tool=tools[n % len(tools)],
              status=Status.ERROR if n < failed else Status.OK)
        for n in range(count)
    ]  # fmt: skip


MANY = ("a", "b", "c", "d", "e")
"""Sixty calls of five tools are twelve of each: too few for a rule of their own."""


def by_agent(*failed: int, count: int = 60) -> list[tuple[float, list[Event]]]:
    return [(over(n), calls(n, one, count, MANY)) for n, one in enumerate(failed)]


def by_tool(*failed: int, count: int = 30) -> list[tuple[float, list[Event]]]:
    """Beside them 150 calls of another tool that all hold, so that the agent's own rate is low."""
    return [(over(n), calls(n, one, count, ["a"]) + calls(n, 0, 150, ["b"], "x")) for n, one in enumerate(failed)]


TOOL_A = {"agent": "{agent}", "tool": "a"}
FAILED = tuple(f"w0-{n}" for n in range(6))
FIRST, SECOND = (0.0, 300.0), (300.0, 600.0)

scenario("tool_error_rate", FIRES, by_agent(6, 1),
         Told(state=FIRING, value="0.1", threshold="0.05", window=FIRST, decisions=FAILED, samples=60, rows=60),
         Told(state=RESOLVED, value="0.016666667", threshold="0.05", window=SECOND, decisions=("w1-0",), rows=60))  # fmt: skip
scenario("tool_error_rate", UNDER, by_agent(3, 3))
scenario("tool_error_rate", LATE, [*by_agent(3), (400, calls(0, 1, 1, MANY, "late")), *by_agent(3, 0)[1:]],
         Told(state=FIRING, value="0.065573770", window=FIRST, decisions=("w0-0", "w0-1", "w0-2", "late0-0"), rows=61, late=True),
         Told(state=RESOLVED, value="0", window=SECOND, decisions=()))  # fmt: skip
scenario("tool_error_rate", NEAR, by_agent(2, 1, 2, 1, 2, 0, count=20),
         Told(state=FIRING, value="0.1", window=FIRST), Told(state=RESOLVED, value="0", window=(1500, 1800)))  # fmt: skip

scenario("tool_error_rate_by_tool", FIRES, by_tool(6, 1),
         Told(state=FIRING, value="0.2", threshold="0.05", window=FIRST, decisions=FAILED, samples=30, rows=30),
         Told(state=RESOLVED, value="0.033333333", window=SECOND, decisions=("w1-0",), rows=30), group=TOOL_A)  # fmt: skip
scenario("tool_error_rate_by_tool", UNDER, by_tool(1, 1), group=TOOL_A)
scenario("tool_error_rate_by_tool", LATE, [*by_tool(1), (400, calls(0, 1, 1, ["a"], "late")), *by_tool(0, 0)[1:]],
         Told(state=FIRING, value="0.064516129", window=FIRST, decisions=("w0-0", "late0-0"), rows=31, late=True),
         Told(state=RESOLVED, value="0", window=SECOND), group=TOOL_A)  # fmt: skip
scenario("tool_error_rate_by_tool", NEAR, by_tool(2, 1, 2, 1, 2, 0, count=20),
         Told(state=FIRING, value="0.1", window=FIRST), Told(state=RESOLVED, value="0", window=(1500, 1800)),
         group=TOOL_A)  # fmt: skip


# latency_p95: over twice what it is at the same hour of the days before, of at least 20 calls in 5 minutes


def models(at: float, *took: float, key: str = "m") -> list[Event]:
    return [call(at + n / 10, key=f"{key}{at:g}-{n}", duration_ms=ms) for n, ms in enumerate(took)]


YESTERDAY = (60.0 - DAY, models(-DAY, *[100.0] * 60))
"""All of 100 ms, so that 200 are the threshold."""


def slow(window: int, count: int, ms: float, of: int = 30) -> tuple[float, list[Event]]:
    return over(window), models(300.0 * window, *[ms] * count, *[100.0] * (of - count))


SLOWEST = ("m0-0", "m0-1", "m0-10", "m0-11", "m0-12")
"""Two of 900 ms, and the first names of those of 100."""
scenario("latency_p95", FIRES, [YESTERDAY, slow(0, 2, 900), slow(1, 1, 900)],
         Told(state=FIRING, value="900", threshold="200", window=FIRST, samples=30, rows=30, within=0.02, ranked=SLOWEST),
         Told(state=RESOLVED, value="100", threshold="200", window=SECOND, rows=30, within=0.02,
              ranked=("m300-0", "m300-1", "m300-10", "m300-11", "m300-12")))  # fmt: skip
scenario("latency_p95", UNDER, [YESTERDAY, slow(0, 30, 190), slow(1, 30, 190)])
scenario("latency_p95", LATE, [YESTERDAY, slow(0, 1, 900, of=20), (400, models(30, 900, key="late")), slow(1, 0, 900)],
         Told(state=FIRING, value="900", window=FIRST, samples=21, rows=21, late=True, within=0.02,
              ranked=("late30-0", *SLOWEST[:-1])),
         Told(state=RESOLVED, value="100", window=SECOND, within=0.02))  # fmt: skip
scenario("latency_p95", NEAR, [YESTERDAY, slow(0, 30, 210), slow(1, 30, 190), slow(2, 30, 210), slow(3, 30, 190), slow(4, 0, 1)],
         Told(state=FIRING, value="210", window=FIRST, within=0.02), Told(state=RESOLVED, value="100", within=0.02))  # fmt: skip


# daily_cost: over 150 % of the mean of the seven days before, of at least 20 decisions; a call is 0.0028 USD


def spent(day: int, count: int) -> tuple[float, list[Event]]:
    """Calls of a day, of a decision each; day 0 is the one whose ninth hour all is counted from."""
    return day * DAY + EVENING + LATENESS, [call(day * DAY + n, key=f"c{day}-{n}") for n in range(count)]


def week(*then: int) -> list[tuple[float, list[Event]]]:
    return [spent(day, 20) for day in range(-7, 0)] + [spent(day, count) for day, count in enumerate(then)]


LEARNS = (Told(state=INSUFFICIENT, threshold=None), Told(state=OK))
"""Six days are no week: from the third on it says so, and takes it back with the first that has one before it."""
TODAY = (EVENING - DAY, EVENING)
DEAREST = ("c0-0", "c0-1", "c0-10", "c0-11", "c0-12")
"""All of them cost the same."""
scenario("daily_cost", FIRES, week(31, 20), LEARNS[0],
         Told(state=FIRING, value="0.0868", threshold="0.084", window=TODAY, samples=31, rows=31, ranked=DEAREST),
         Told(state=RESOLVED, value="0.056", threshold="0.0906", window=(EVENING, EVENING + DAY), rows=20))  # fmt: skip
scenario("daily_cost", UNDER, week(30), *LEARNS)
scenario("daily_cost", LATE,
         [*week(29), (EVENING + HOUR / 2, [call(5 * HOUR + n, key="late") for n in range(2)]), spent(1, 20)], *LEARNS,
         Told(state=FIRING, value="0.0868", threshold="0.084", window=TODAY, samples=30, rows=30, late=True,
              ranked=("late", *DEAREST[:-1])),
         Told(state=RESOLVED, value="0.056", threshold="0.0906", window=(EVENING, EVENING + DAY)))  # fmt: skip


# escalation_rate: over 20 % of at least 30 decisions in an hour


def decisions(hour: int, handed: int, count: int = 30, key: str = "h", at: float = 0.0) -> list[Event]:
    """The first ones are handed to a human."""
    return [
        event(Kind.DECISION, hour * HOUR + at + n, f"{key}{hour}-{n}", escalation_reason="limit" if n < handed else "")
        for n in range(count)
    ]


def hours(*handed: int) -> list[tuple[float, list[Event]]]:
    return [(over(n, HOUR), decisions(n, one)) for n, one in enumerate(handed)]


HANDED = tuple(f"h0-{n}" for n in range(7))
scenario("escalation_rate", FIRES, hours(7, 1),
         Told(state=FIRING, value="0.233333333", threshold="0.2", window=(0, HOUR), decisions=HANDED, samples=30, rows=30),
         Told(state=RESOLVED, value="0.033333333", window=(HOUR, 2 * HOUR), decisions=("h1-0",), rows=30))  # fmt: skip
scenario("escalation_rate", UNDER, hours(6, 6))
scenario("escalation_rate", LATE, [*hours(6), (HOUR + 100, decisions(0, 1, 1, "late", 90)), *hours(6, 0)[1:]],
         Told(state=FIRING, value="0.225806452", window=(0, HOUR), decisions=(*HANDED[:6], "late0-0"), rows=31, late=True),
         Told(state=RESOLVED, value="0", window=(HOUR, 2 * HOUR)))  # fmt: skip
scenario("escalation_rate", NEAR, hours(7, 6, 7, 6, 5),
         Told(state=FIRING, window=(0, HOUR)),
         Told(state=RESOLVED, value="0.166666667", window=(4 * HOUR, 5 * HOUR)))  # fmt: skip


# override_rate over 25 %, override_rate_rethink over 40 %: of at least 20 reviews in seven days, a day at a time


def reviewed(day: int, changed: int, count: int = 20, more: int = 0) -> tuple[float, list[Event]]:
    """Decisions of a day, reviewed a minute later but for `more` of them; the first ones are changed."""
    told = [event(Kind.DECISION, day * DAY + n, f"r{day}-{n}") for n in range(count + more)]
    verdicts = [Verdict.OVERRIDE if n < changed else Verdict.APPROVE for n in range(count)]
    told += [event(Kind.REVIEW, day * DAY + n + 60, f"r{day}-{n}", review_verdict=one) for n, one in enumerate(verdicts)]
    return day * DAY + EVENING + LATENESS, told


def days(*changed: tuple[int, int]) -> list[tuple[float, list[Event]]]:
    return [reviewed(day, *one) for day, one in enumerate(changed)]


THAT_WEEK, NEXT_WEEK = (EVENING - 7 * DAY, EVENING), (EVENING - 6 * DAY, EVENING + DAY)
REVIEW_LATE = (EVENING + HOUR / 2, [event(Kind.REVIEW, 200, "r0-20", review_verdict=Verdict.OVERRIDE)])
BAND = ("override_rate", "override_rate_rethink")
for rule, limit, least, rate, after in ((BAND[0], "0.25", 6, "0.3", "0.15"), (BAND[1], "0.4", 9, "0.45", "0.225")):
    CHANGED = tuple(f"r0-{n}" for n in range(least))
    LATER = "0.285714286" if rule == BAND[0] else "0.428571429"
    scenario(rule, FIRES, days((least, 20), (0, 20)),
             Told(state=FIRING, value=rate, threshold=limit, window=THAT_WEEK, decisions=CHANGED, samples=20, rows=20),
             Told(state=RESOLVED, value=after, window=NEXT_WEEK, decisions=CHANGED, samples=40, rows=40))  # fmt: skip
    scenario(rule, UNDER, days((least - 1, 20), (0, 20)))
    scenario(rule, LATE, [reviewed(0, least - 1, more=1), REVIEW_LATE, reviewed(1, 0)],
             Told(state=FIRING, value=LATER, window=THAT_WEEK, decisions=(*CHANGED[:-1], "r0-20"), samples=21,
                  rows=21, late=True),
             Told(state=RESOLVED, window=NEXT_WEEK, samples=41, rows=41))  # fmt: skip
scenario(BAND[0], NEAR, days((6, 20), (0, 5), (1, 2), (0, 2), (0, 20)),
         Told(state=FIRING, window=THAT_WEEK), Told(state=RESOLVED, value="0.142857143", samples=49))  # fmt: skip
scenario(BAND[1], NEAR, days((9, 20), (0, 3), (1, 1), (0, 20)),
         Told(state=FIRING, window=THAT_WEEK), Told(state=RESOLVED, value="0.227272727", samples=44))  # fmt: skip


# unpriced: a call of a model that no price list knows


def priced(window: int, unknown: int, known: int = 1, key: str = "u") -> list[Event]:
    told = [call(300 * window + n, key=f"{key}{window}-{n}", model_served="mystery") for n in range(unknown)]
    return told + [call(300 * window + 30 + n, key=f"{key}{window}-p{n}") for n in range(known)]


scenario("unpriced", FIRES, [(60, priced(0, 2)), (over(0), []), (over(1), priced(1, 0))],
         Told(state=FIRING, value="2", threshold="0", window=FIRST, decisions=("u0-0", "u0-1"), samples=3, rows=3,
              provisional=True),
         Told(state=RESOLVED, value="0", window=SECOND, decisions=(), rows=1))  # fmt: skip
scenario("unpriced", UNDER, [(60, priced(0, 0)), (over(0), []), (over(1), priced(1, 0))])
scenario("unpriced", LATE, [(60, priced(0, 0)), (over(0), []), (400, priced(0, 1, 0, "late")), (over(1), priced(1, 0))],
         Told(state=FIRING, value="1", window=FIRST, decisions=("late0-0",), samples=2, rows=2, late=True),
         Told(state=RESOLVED, value="0", window=SECOND))  # fmt: skip
scenario("unpriced", NEAR, [(60, priced(0, 1)), (over(0), []), (over(1), priced(1, 1)), (over(2), priced(2, 0))],
         Told(state=FIRING, value="1", window=FIRST, provisional=True), Told(state=RESOLVED, window=(600, 900)))  # fmt: skip


# field_completeness: over 5 % of at least 20 events of a source in an hour lack who did it


def signed(hour: int, lacking: int, count: int = 60, key: str = "f") -> list[Event]:
    """Steps of an hour; the first ones do not say whose."""
    return [
        event(Kind.STEP, hour * HOUR + n, f"{key}{hour}-{n}", agent=NOBODY if n < lacking else "somebody") for n in range(count)
    ]


def sources(*lacking: int, count: int = 60) -> list[tuple[float, list[Event]]]:
    return [(over(n, HOUR), signed(n, one, count)) for n, one in enumerate(lacking)]


BY_SOURCE = {"source": "{agent}"}
LACKING = tuple(f"f0-{n}" for n in range(6))
scenario("field_completeness", FIRES, sources(6, 1),
         Told(state=FIRING, value="0.1", threshold="0.05", window=(0, HOUR), decisions=LACKING, samples=60, rows=6),
         Told(state=RESOLVED, value="0.016666667", window=(HOUR, 2 * HOUR), decisions=("f1-0",), rows=1),
         group=BY_SOURCE)  # fmt: skip
scenario("field_completeness", UNDER, sources(3, 3), group=BY_SOURCE)
scenario("field_completeness", LATE, [*sources(3), (HOUR + 100, signed(0, 1, 1, "late")), *sources(3, 0)[1:]],
         Told(state=FIRING, value="0.065573770", window=(0, HOUR), decisions=(*LACKING[:3], "late0-0"), rows=4, late=True),
         Told(state=RESOLVED, value="0", window=(HOUR, 2 * HOUR), decisions=()), group=BY_SOURCE)  # fmt: skip
scenario("field_completeness", NEAR, sources(2, 1, 2, 1, 0, count=20),
         Told(state=FIRING, value="0.1", window=(0, HOUR)), Told(state=RESOLVED, value="0", window=(4 * HOUR, 5 * HOUR)),
         group=BY_SOURCE)  # fmt: skip
