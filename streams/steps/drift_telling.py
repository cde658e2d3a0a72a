"""One distribution of a day compared with its baseline, and the fact that tells of it."""

from collections.abc import Iterable, Mapping
from typing import cast

from waterline.schemas.events import Clock
from waterline.schemas.judgement import DriftFact
from waterline.streams.steps.days import NAMES, Counts, Day, Told
from waterline.streams.steps.distribution import Distance, of_categories, of_numbers
from waterline.streams.steps.moment import DAY, day_name, instant


def distance(about: str, before: Counts, now: Counts) -> Distance:
    if about in NAMES:
        return of_categories(cast("Mapping[str, int]", before), cast("Mapping[str, int]", now))
    return of_numbers(cast("Mapping[int, int]", before), cast("Mapping[int, int]", now))


def dated(days: Iterable[Day], about: str) -> list[tuple[int, Counts]]:
    return [(one.number, one.distribution(about)) for one in days]


def fact_of(day: Day, about: str, far: Distance, told: Told) -> DriftFact:
    both = bool(far.before and far.now)
    return DriftFact(
        tenant=day.key.tenant,
        agent=day.key.agent,
        about=about,
        day=day_name(day.number),
        artifact=day.artifact,
        revision=told.revision,
        clock=Clock.REPLAY if day.key.replay else Clock.SOURCE,
        baseline=told.baseline,
        pinned=told.pinned,
        before=far.before,
        now=far.now,
        shift=far.shift,
        psi=far.psi if both else None,
        jensen_shannon=far.jensen_shannon if both else None,
        by_chance=far.by_chance if both else None,
        ks=far.ks,
        wasserstein=far.wasserstein,
        moved=list(far.moved),
        sequential=told.sequential,
        sequential_since=None if told.since is None else instant(told.since * DAY),
    )
