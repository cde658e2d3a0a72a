"""(h) What watching 10,000 groups costs: time for each call in both counting and judging, memory of a group, and whether either
grows with history. Beside it the same answer from calls kept as they are: a dict of lists, recomputed when it is asked for.

Calls come at a steady rate of event time, a batch each second; so many of an agent meet in a batch as they do at that rate. The
stage `decide` counts them by the minute (Tally), the stage `groups` keeps windows and judges them by the default rules.
"""

import gc
import multiprocessing
import random
import time
from collections import defaultdict, deque
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bench.report import Figure, bar, ratio, show, write
from waterline.replay.recording import packaged_runs
from waterline.replay.schedule import items_in_order
from waterline.schemas.events import Event, Kind, Status
from waterline.schemas.facts import Calls, GroupInput, Mark
from waterline.streams import rules_file
from waterline.streams.steps.fold import Changes, Out
from waterline.streams.steps.limits import Limits
from waterline.streams.steps.moment import DAY, HOUR, SECOND, micros
from waterline.streams.steps.rules import RuleBook
from waterline.streams.steps.sketch import bucket_of, quantile
from waterline.streams.steps.tally import MINUTE, Tally
from waterline.streams.steps.thresholds import Thresholds

OURS, LISTS = "Waterline", "a dict of lists"
BEGIN = micros(datetime(2026, 1, 5, tzinfo=UTC))
SHAPES = ((1_000, 10), (100, 100))
DAYS = (1, 7, 14)
RATE = 2_000
"""Calls a second of event time; a batch is a second of them. One in five is of a model."""
AN_HOUR = 60
"""Model calls of each agent in an hour of the past."""
WINDOW, LEAST = 300 * SECOND, 20
SAMPLES, Q = 50_000, 0.95
WANTED_RANK, WANTED_GROWTH, WANTED_MEMORY = 0.01, 1.3, 1.1
_decode = msgspec.json.Decoder(GroupInput).decode


class Ours:
    """Both stages of one partition."""

    def __init__(self) -> None:
        self.tally = Tally(0, 1)
        self.thresholds = Thresholds(1, Limits(), RuleBook(rules_file.default()))

    def remember(self, agent: str, at: int, took: Sequence[float]) -> None:
        """Model calls of the past, as the stage `groups` hears of them."""
        durations: dict[int, int] = {}
        for ms in took:
            bucket = bucket_of(ms)
            durations[bucket] = durations.get(bucket, 0) + 1
        self.thresholds.take(
            GroupInput(tenant="t", agent=agent, calls=Calls(Kind.MODEL_CALL, "m", at // MINUTE, len(took), 0, durations))
        )

    def time(self, now: int) -> None:
        self.thresholds.take(GroupInput(mark=Mark(0, False, now)))
        self.thresholds.drain(Changes())

    def take(self, calls: Sequence[Event], now: int) -> tuple[float, float]:
        """CPU seconds of both stages."""
        began = time.process_time()
        for call in calls:
            self.tally.add(call, now, call.decision_key)
        outs: list[Out] = []
        self.tally.drain(outs)
        counted = time.process_time()
        for out in outs:
            self.thresholds.take(_decode(out.value))
        self.time(now)
        return counted - began, time.process_time() - counted


class Lists:
    """What one writes first: every call is kept for as long as a rule looks back, and the groups of a batch are computed anew."""

    def __init__(self) -> None:
        self.tools: dict[tuple[str, ...], deque[tuple[int, bool]]] = defaultdict(deque)
        self.models: dict[str, deque[tuple[int, float]]] = defaultdict(deque)
        self.hours: dict[tuple[str, int], list[float]] = defaultdict(list)
        self.firing: set[tuple[str, ...]] = set()

    def remember(self, agent: str, at: int, took: Sequence[float]) -> None:
        self.hours[agent, at // HOUR].extend(took)

    def time(self, now: int) -> None:
        for key in [key for key in self.hours if key[1] * HOUR < now - 7 * DAY - HOUR]:
            del self.hours[key]

    def take(self, calls: Sequence[Event], now: int) -> tuple[float, float]:
        began = time.process_time()
        touched: set[tuple[str, ...]] = set()
        for call in calls:
            if call.kind is Kind.MODEL_CALL:
                self.models[call.agent].append((now, call.duration_ms))
                self.hours[call.agent, now // HOUR].append(call.duration_ms)
                touched.add((call.agent, "", ""))
            else:
                failed = call.status is not Status.OK
                both: tuple[tuple[str, ...], ...] = ((call.agent,), (call.agent, call.tool))
                for key in both:
                    self.tools[key].append((now, failed))
                    touched.add(key)
        counted = time.process_time()
        for key in touched:
            if self.judge(key, now):
                self.firing.add(key)
            else:
                self.firing.discard(key)
        return counted - began, time.process_time() - counted

    def judge(self, key: tuple[str, ...], now: int) -> bool:
        if len(key) < 3:
            failed = [bad for at, bad in forget(self.tools[key], now - WINDOW)]
            return len(failed) >= LEAST and sum(failed) / len(failed) > 0.05
        took = [ms for _, ms in forget(self.models[key[0]], now - WINDOW)]
        before = [ms for day in range(1, 8) for ms in self.hours.get((key[0], (now - day * DAY) // HOUR), ())]
        return len(took) >= LEAST and len(before) >= 50 and p95(took) > 2 * p95(before)


def forget(kept: deque[tuple[int, Any]], before: int) -> deque[tuple[int, Any]]:
    while kept[0][0] < before:
        kept.popleft()
    return kept


def p95(values: list[float]) -> float:
    return sorted(values)[int(Q * len(values))]


def measured(
    made: type[Ours] | type[Lists], shape: tuple[int, int], days: int, rounds: int, seconds: int
) -> list[tuple[float, ...]]:
    """A round: microseconds of CPU a call in either stage, and kilobytes of memory a group. Run in a process of its own."""
    chance, (agents, tools) = random.Random(1), shape
    names = [f"agent-{n}" for n in range(agents)]
    took = [chance.lognormvariate(6, 0.5) for _ in range(10_000)]
    batches = [[a_call(chance, names, tools, took) for _ in range(RATE)] for _ in range(20)]
    gc.collect()
    empty, one = resident(), made()
    for hour in range(days * 24):
        for name in names:
            since = chance.randrange(9_000)
            one.remember(name, BEGIN + hour * HOUR, took[since : since + AN_HOUR])
        one.time(BEGIN + (hour + 1) * HOUR)
    now = BEGIN + days * DAY
    for second in range(WINDOW // SECOND // 5):
        now += SECOND
        one.take(batches[second % 20], now)
    gc.collect()
    kilobytes = (resident() - empty) / (agents * tools)
    found = []
    for _ in range(rounds):
        sums = [0.0, 0.0]
        for second in range(seconds):
            now += SECOND
            for n, cpu in enumerate(one.take(batches[second % 20], now)):
                sums[n] += cpu
        found.append((*(cpu * 1e6 / (seconds * RATE) for cpu in sums), kilobytes))
    return found


def resident() -> float:
    """Kilobytes of memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4.0


def a_call(chance: random.Random, names: list[str], tools: int, took: list[float]) -> Event:
    agent, ms = chance.choice(names), chance.choice(took)
    told: dict[str, Any] = {"event_id": "e", "tenant": "t", "ts": datetime(2026, 1, 5, tzinfo=UTC), "agent": agent}
    told |= {"decision_key": f"d{chance.randrange(10**9):x}", "duration_ms": ms}
    if chance.random() < 0.2:
        return Event(**told, kind=Kind.MODEL_CALL, model_served="m")
    status = Status.ERROR if chance.random() < 0.01 else Status.OK
    return Event(**told, kind=Kind.TOOL_CALL, tool=f"tool-{chance.randrange(tools)}", status=status)


def apart(*asked: Any) -> list[tuple[float, ...]]:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measured, asked)


def rank_error(values: Sequence[float]) -> float:
    """How far the rank of the sketch's 95th percentile is from 0.95, as a share of all; none where it falls on equal values."""
    sketch: dict[int, int] = {}
    for value in values:
        bucket = bucket_of(value)
        sketch[bucket] = sketch.get(bucket, 0) + 1
    told = quantile(sketch, Q) or 0.0
    ordered = np.sort(values)
    low, high = (float(np.searchsorted(ordered, told, side)) / len(values) for side in ("left", "right"))
    return max(low - Q, Q - high, 0.0)


def streams(seed: int) -> dict[str, Sequence[float]]:
    """Latencies in milliseconds, of the kinds that services have."""
    chance = np.random.default_rng(seed)
    slow = chance.random(SAMPLES) < 0.06
    runs = items_in_order(packaged_runs(), datetime(2026, 1, 5, tzinfo=UTC), timedelta(minutes=1), seed)
    return {
        "log-normal": chance.lognormal(6, 0.7, SAMPLES).tolist(),
        "Pareto": (100 * (1 + chance.pareto(1.5, SAMPLES))).tolist(),
        "bimodal": np.where(slow, chance.normal(4_000, 400, SAMPLES), chance.normal(300, 30, SAMPLES)).tolist(),
        "recorded": [item.event.duration_ms for item in runs if item.event.kind is Kind.MODEL_CALL],
    }


def run(rounds: int = 5, quick: bool = False) -> list[dict[str, Any]]:
    shapes, days, seconds = (SHAPES[1:], DAYS[:2], 2) if quick else (SHAPES, DAYS, 5)
    figures: list[Figure] = []
    bars = []
    for shape in shapes:
        setting = f"{shape[0]:,} agents x {shape[1]} tools"
        ours = {day: apart(Ours, shape, day, rounds, seconds) for day in days}
        theirs = apart(Lists, shape, 7, rounds, seconds)
        whole = {}
        for contender, told in (*((f"{OURS}, {day} days", rows) for day, rows in ours.items()), (f"{LISTS}, 7 days", theirs)):
            whole[contender] = Figure(contender, setting, "CPU a call", "us", [row[0] + row[1] for row in told])
            figures += [
                whole[contender],
                Figure(contender, setting, "of that judging", "us", [row[1] for row in told]),
                Figure(contender, setting, "memory a group", "KB", [row[2] for row in told[:1]]),
            ]
        week, day = (whole[f"{OURS}, {n} days"] for n in (7, 1))
        bars.append(bar(f"groups, {setting}: CPU a call, to that of lists", None, ratio(week, whole[f"{LISTS}, 7 days"])))
        bars.append(bar(f"groups, {setting}: CPU a call, 7 days to 1", WANTED_GROWTH, ratio(week, day), at_most=True))
        if not quick:
            grown = ours[14][0][2] / ours[7][0][2]
            bars.append(bar(f"groups, {setting}: memory, 14 days to 7", WANTED_MEMORY, (grown,) * 3, at_most=True))
    drawn = [streams(seed) for seed in range(rounds)]
    for name in drawn[0]:
        found = [rank_error(one[name]) for one in drawn]
        figures.append(Figure(OURS, name, "rank error of p95", "share", found))
        bars.append(bar(f"groups: rank error of p95, {name}", WANTED_RANK, (max(found), min(found), max(found)), at_most=True))
    show("(h) groups", figures)
    notes = [f"{RATE:,} calls/s of event time in batches of a second; {AN_HOUR} model calls an hour of each agent before"]
    print(write("groups", figures, bars, notes))
    return bars
