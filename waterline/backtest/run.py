"""A backtest from its question to its answer."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

from clickhouse_connect.driver.client import Client
from msgspec import Struct

from waterline.backtest.compare import Compared, Total, compare, totals
from waterline.backtest.course import Course
from waterline.backtest.kept import History, Span, count, held, prices, told
from waterline.backtest.stages import Costs, Priced, Stages
from waterline.schemas.alerts import AlertTransition
from waterline.schemas.control import Period
from waterline.schemas.errors import ErrorCode, Permanent
from waterline.schemas.events import Event
from waterline.schemas.facts import PriceVersion
from waterline.schemas.settings import Settings
from waterline.streams.__main__ import plans
from waterline.streams.price_list import numbered, wanted
from waterline.streams.steps.entry import money
from waterline.streams.steps.in_force import reach
from waterline.streams.steps.moment import DAY, EPOCH, SECOND, instant, micros
from waterline.streams.steps.outliers import DAYS
from waterline.streams.steps.prices import PriceBook
from waterline.streams.steps.rules import How, RuleBook, Rules
from waterline.streams.steps.tally import MARK_EVERY
from waterline.streams.steps.windows import KEPT

TOLD_EVERY = 1000
"""events between two calls of `progress`"""
Progress = Callable[[int, int], None]
"""Told how many events were taken, and how many there are."""


class Question(Struct, frozen=True):
    """`prices_file` None = as calls were priced then. `step`: of a replay's time, see course.py."""

    rules: Rules
    since: datetime
    until: datetime
    tenant: str
    warm_up: timedelta
    step: timedelta
    prices_file: Path | None = None


class Answer(Struct):
    """`then` and `now` are all transitions of the span but those of rules that are questions; `compared` those that fire.
    `kept_since`: when the warm-up could not begin before that. Costs are of decisions that began in the span, in USD; None where
    prices did not change."""

    events: int
    then: list[AlertTransition]
    now: list[AlertTransition]
    compared: list[Compared]
    totals: list[Total]
    kept_since: datetime | None
    cost_then: Decimal | None = None
    cost_now: Decimal | None = None


def backtest(client: Client, config: Settings, asked: Question, progress: Progress) -> Answer:
    """Raises Permanent when there is nothing to judge, Transient when the store goes away."""
    rest = int(config.window_lateness_s * SECOND) + MARK_EVERY + SECOND
    until = micros(asked.until) + rest
    begin = asked.since - asked.warm_up
    history = History(client, Span(asked.tenant, begin, instant(until), asked.until + asked.step))
    if not count(client, Span(asked.tenant, asked.since, asked.until, asked.until)):
        raise Permanent(ErrorCode.NOT_FOUND, _nothing(client, asked))
    kept_since = held(client, asked.tenant)[1]
    elsewhere = {one.name for one in asked.rules.asked}
    then = [one for one in told(client, asked.tenant, asked.since, asked.until) if one.rule not in elsewhere]
    now: list[AlertTransition] = []

    def hear(one: AlertTransition) -> None:
        if asked.since <= one.at < asked.until:
            now.append(one)

    recorded = PriceBook(prices(client) or _list_prices(config))
    book = recorded if asked.prices_file is None else PriceBook(_list_prices(config, asked.prices_file))
    costs, before = (Costs(micros(asked.since), micros(asked.until)) for _ in range(2))
    with TemporaryDirectory(prefix="waterline-backtest-") as folder:
        stages = Stages(plans(config, book, RuleBook(asked.rules)), Path(folder) / "now", costs, hear)
        takers: list[Stages | Priced] = [stages]
        if asked.prices_file is not None:
            decide, _ = plans(config, recorded, RuleBook(asked.rules))
            takers.append(Priced(decide, Path(folder) / "then", before))
        try:
            course = Course(takers, asked.step, config.decision_grace_s)
            course.run(_counted(history.events(), history.rows, progress), until)
        finally:
            for taker in takers:
                taker.close()
    compared = compare(then, now)
    answer = Answer(
        events=history.rows,
        then=then,
        now=now,
        compared=compared,
        totals=totals(compared, _names(asked.rules)),
        kept_since=kept_since if kept_since > begin else None,
    )
    if asked.prices_file is not None:
        answer.cost_then, answer.cost_now = money(before.nanos), money(costs.nanos)
    return answer


def warm_up(rules: Rules) -> timedelta:
    """How far back the rules look: what a window is compared with or a part of, a task's mean, a budget's period. Never less
    than an hour, within which windows are corrected."""
    back = max((length + more for length, more in reach(rules).items()), default=0)
    if any(rule.how in (How.DECISION, How.ACCURACY) for rule in rules.apart):
        back = max(back, (DAYS + 1) * DAY)
    for budget in rules.budgets:
        back = max(back, 31 * DAY if budget.period is Period.MONTH else DAY)
    silent = [rule.window_s * SECOND + int(rule.above) * SECOND for rule in rules.apart if rule.how is How.SILENCE]
    return timedelta(microseconds=max([back, *silent]) + KEPT)


def _names(rules: Rules) -> list[str]:
    return [*(rule.name for rule in (*rules.rules, *rules.apart)), *(budget.name for budget in rules.budgets)]


def _list_prices(config: Settings, file: Path | None = None) -> list[PriceVersion]:
    """The price list as if it had been known since ever. Raises Permanent for each mistake of the file."""
    named = config if file is None else config.model_copy(update={"prices_file": str(file)})
    return list(numbered(wanted(named), EPOCH))


def _counted(events: Iterator[Event], rows: int, progress: Progress) -> Iterator[Event]:
    for number, event in enumerate(events, 1):
        yield event
        if number % TOLD_EVERY == 0 or number == rows:
            progress(number, rows)


def _nothing(client: Client, asked: Question) -> str:
    rows, first, last = held(client, asked.tenant)
    whose = f" of tenant {asked.tenant}" if asked.tenant else ""
    span = f"from {asked.since:%Y-%m-%d %H:%M} to {asked.until:%Y-%m-%d %H:%M} UTC"
    if not rows:
        return f"no event{whose} is kept {span}, nor at any other time"
    return f"no event{whose} is kept {span}: what is kept is from {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC"
