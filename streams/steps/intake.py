"""What one input of a group adds to windows: to which series, at what time, and to which fields of the cells.

Windows of a length take in only the kinds of input that some rule about that length is drawn from.
"""

from collections.abc import Callable, Iterator

from waterline.schemas.events import Kind
from waterline.schemas.facts import Calls, Fields, GroupInput, Standing
from waterline.streams.steps.entry import nano
from waterline.streams.steps.examples import raised
from waterline.streams.steps.rules import AGENT, AGENT_TOOL, MEASURE, SOURCE, Rule
from waterline.streams.steps.sketch import merge
from waterline.streams.steps.tally import MINUTE
from waterline.streams.steps.windows import Age, Cell, Series

CALLS, MODELS, DECISIONS, EVENTS = "calls", "models", "decisions", "events"
_KIND = {"calls": CALLS, "model_calls": MODELS, "decisions": DECISIONS, "reviewed": DECISIONS, "events": EVENTS}
UNSHOWN = frozenset({"decisions", "nanos"})
"""Fields to which every decision adds: none of them is an example."""
Entry = tuple[Series, str, int, Callable[[Cell], None]]
"""series, kind of input, time in microseconds, and what it does to a cell"""


def kind_of(rule: Rule) -> str:
    """The kind of input that a rule about windows is drawn from."""
    return _KIND[MEASURE[rule.measure].whole]


def entries(given: GroupInput) -> Iterator[Entry]:
    """Of anything but a mark or spending."""
    if given.calls is not None:
        yield from _of_calls(given.tenant, given.agent, given.calls)
    elif given.fields is not None:
        fields = given.fields
        series = Series(given.tenant, SOURCE, (fields.source,), fields.replay)
        yield series, EVENTS, fields.minute * MINUTE, lambda cell: _add_fields(cell, fields)
    else:
        yield from _of_decision(given)


def _of_calls(tenant: str, agent: str, calls: Calls) -> Iterator[Entry]:
    whole, time = Series(tenant, AGENT, (agent,), calls.replay), calls.minute * MINUTE
    if calls.kind is Kind.MODEL_CALL:
        yield whole, MODELS, time, lambda cell: _add_models(cell, calls)
        return
    yield whole, CALLS, time, lambda cell: _add_calls(cell, calls)
    if calls.kind is Kind.TOOL_CALL and calls.name:
        tool = Series(tenant, AGENT_TOOL, (agent, calls.name), calls.replay)
        yield tool, CALLS, time, lambda cell: _add_calls(cell, calls)


def _add_models(cell: Cell, calls: Calls) -> None:
    cell.model_calls += calls.count
    merge(cell.unpacked(), calls.durations)
    if calls.slowest and cell.age is not Age.SETTLED:
        if cell.slowest is None:
            cell.slowest = []
        for one in calls.slowest:
            raised(cell.slowest, one)


def _add_calls(cell: Cell, calls: Calls) -> None:
    cell.calls += calls.count
    cell.errors += calls.errors
    for example in calls.examples:
        cell.show("errors", example, 1)


def _add_fields(cell: Cell, fields: Fields) -> None:
    cell.events += fields.count
    cell.missing += fields.missing
    for example in fields.examples:
        cell.show("missing", example, 1)


def _of_decision(given: GroupInput) -> Iterator[Entry]:
    """The difference to what it was, which is often none; all of it where it moved to another window or agent."""
    now, before, key = given.now, given.previous, given.decision_key
    if now is not None and before is not None and _place(now) == _place(before):
        was, is_ = _counts(before), _counts(now)
        if changes := {field: count - was[field] for field, count in is_.items() if count != was[field]}:
            dear = is_["nanos"] if "nanos" in changes else None
            yield _series(given.tenant, now), DECISIONS, now.at, lambda cell: _add(cell, changes, key, dear)
        return
    for standing, sign in ((before, -1), (now, 1)):
        if standing is not None:
            counts = {field: sign * count for field, count in _counts(standing).items() if count}
            dear = max(0, counts.get("nanos", 0))
            yield _series(given.tenant, standing), DECISIONS, standing.at, _adding(counts, key, dear)


def _place(standing: Standing) -> tuple[int, str, bool]:
    return standing.at, standing.contribution.agent, standing.replay


def _series(tenant: str, standing: Standing) -> Series:
    return Series(tenant, AGENT, (standing.contribution.agent,), standing.replay)


def _counts(standing: Standing) -> dict[str, int]:
    """What a decision adds to the fields of a cell."""
    told = standing.contribution
    return {
        "decisions": 1,
        "escalated": told.escalated,
        "reviewed": standing.judged,
        "overturned": told.overturned,
        "unpriced": standing.unpriced,
        "nanos": (nano(told.automated_cost) or 0) + (nano(told.human_cost) or 0),
    }


def _adding(counts: dict[str, int], key: str, nanos: int) -> Callable[[Cell], None]:
    return lambda cell: _add(cell, counts, key, nanos)


def _add(cell: Cell, counts: dict[str, int], key: str, nanos: int | None) -> None:
    """`nanos`: what the decision costs in this window now, where that is news."""
    if nanos is not None:
        cell.costs(key, nanos)
    for field, count in counts.items():
        setattr(cell, field, getattr(cell, field) + count)
        if field not in UNSHOWN:
            cell.show(field, key, count)
