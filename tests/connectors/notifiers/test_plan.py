"""Who is told of what: pure."""

from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from tests.connectors.notifiers.world import BEGAN, OK, transition
from waterline.connectors.notifiers.book import KEPT, Book
from waterline.connectors.notifiers.plan import plan
from waterline.connectors.notifiers.progress import Way
from waterline.connectors.notifiers.routes import Kind, Match, Route, Routes, Silence, Spec
from waterline.schemas.alerts import AlertDelivery, AlertState, AlertTransition, DeliveryState
from waterline.schemas.events import Clock

NOW = BEGAN + timedelta(hours=2)
DELIVERED, REFUSED, GROUPED = DeliveryState.DELIVERED, DeliveryState.REFUSED, DeliveryState.GROUPED
SILENCED, UNROUTED = DeliveryState.SILENCED, DeliveryState.UNROUTED
ROUTES = Routes(
    channels={name: Spec(name, Kind.WEBHOOK, {}) for name in ("a", "b", "c")},
    routes=[Route("r", Match(), ("a", "b"))],
    fallback="c",
)


def receipt(alert: AlertTransition, channel: str, state: DeliveryState = DELIVERED) -> AlertDelivery:
    return AlertDelivery(
        alert_id=alert.alert_id,
        transition=alert.transition,
        channel=channel,
        tenant=alert.tenant,
        rule=alert.rule,
        state=state,
        at=alert.at,
    )


def book(*receipts: AlertDelivery) -> Book:
    made = Book()
    for one in receipts:
        made.note(one)
    return made


def steps(alert: AlertTransition, known: Book, routes: Routes = ROUTES) -> list[tuple[str, DeliveryState | None]]:
    return [(step.channel, step.state) for step in plan(alert, routes, known, NOW)]


def test_a_beginning_goes_where_the_routes_say() -> None:
    assert steps(transition(1), book()) == [("a", None), ("b", None)]
    assert steps(transition(1), book(), Routes()) == [("", UNROUTED)]


def test_what_corrects_a_transition_is_sent_to_nobody() -> None:
    assert steps(transition(1, revision=2), book()) == []


def test_what_has_a_receipt_is_left_out() -> None:
    assert steps(transition(1), book(receipt(transition(1), "a"))) == [("b", None)]
    under_way = book()
    under_way.expect(transition(1).alert_id, "b", 1)
    assert steps(transition(1), under_way) == [("a", None)]
    under_way.forget(transition(1).alert_id, "b", 1)
    assert steps(transition(1), under_way) == [("a", None), ("b", None)]


def test_a_receipt_from_before_the_transition_is_of_another_of_that_number() -> None:
    """As after `waterline refold`, when a history that is folded again has fewer transitions than it had."""
    old = book(receipt(transition(3), "a"), receipt(transition(3), "b"))
    assert steps(transition(3), old) == []
    later = transition(3, at=transition(3).at + timedelta(hours=1))
    assert steps(later, old) == [("a", None), ("b", None)]
    assert steps(replace(later, clock=Clock.REPLAY), old) == [], "a replay's time says nothing about the receipt's"


def test_a_refusal_that_was_not_told_on_the_fallback_is_told_there() -> None:
    """As after a crash between the two."""
    refused = receipt(transition(1), "a", REFUSED)
    assert steps(transition(1), book(refused, receipt(transition(1), "b"))) == [("c", None)]
    assert steps(transition(1), book(refused, receipt(transition(1), "b"), receipt(transition(1), "c"))) == []


def test_an_end_goes_to_who_was_told_of_the_beginning() -> None:
    end = transition(2)
    for state in (DELIVERED, GROUPED):
        assert steps(end, book(receipt(transition(1), "b", state))) == [("b", None)]
    assert steps(end, book(receipt(transition(1), "b", SILENCED))) == [("b", SILENCED)]
    assert steps(end, book(receipt(transition(1), "a", REFUSED), receipt(transition(1), "c"))) == [("a", REFUSED), ("c", None)]
    assert steps(end, book(receipt(transition(1), "", UNROUTED))) == [("", UNROUTED)]
    assert steps(end, book()) == [("", UNROUTED)]
    assert steps(end, book(receipt(transition(1), "gone"))) == [("gone", REFUSED)]


def test_an_end_waits_behind_a_beginning_that_is_under_way() -> None:
    known = book()
    known.expect(transition(1).alert_id, "a", 1)
    assert steps(transition(2), known) == [("a", None)]


def test_the_end_of_an_earlier_time_says_nothing_about_this_one() -> None:
    told = [receipt(transition(number), "a") for number in (1, 2)]
    assert steps(transition(4), book(*told, receipt(transition(3), "a", SILENCED))) == [("a", SILENCED)]


def test_a_silence_keeps_a_beginning_back_and_not_an_end() -> None:
    silence = Silence(Match(tenant=("acme",)), BEGAN, datetime(2999, 1, 1, tzinfo=UTC), "quiet")
    routes = Routes(channels=ROUTES.channels, routes=ROUTES.routes, silences=[silence])
    (first, _) = plan(transition(1), routes, book(), NOW)
    assert (first.state, first.reason) == (SILENCED, "until 2999-01-01T00:00:00Z: quiet")
    assert steps(transition(1, tenant="b"), book(), routes) == [("a", None), ("b", None)]
    assert steps(transition(2), book(receipt(transition(1), "a")), routes) == [("a", None)]


def test_changes_at_rest_are_nobodys_business() -> None:
    for before, after in ((OK, AlertState.PENDING), (AlertState.PENDING, OK), (OK, AlertState.INSUFFICIENT)):
        assert steps(transition(1, previous=before, state=after), book()) == []
    for state in (AlertState.NO_DATA, AlertState.INSUFFICIENT, OK):
        assert steps(transition(2, state=state), book(receipt(transition(1), "a"))) == [("a", None)]


def test_what_is_long_ago_counts_as_told() -> None:
    known = book(*(receipt(transition(number), "a") for number in range(1, KEPT + 10)))
    assert steps(transition(1), known) == [("b", None)]


def test_a_partition_is_done_up_to_the_first_that_is_not() -> None:
    way = Way("t", 0)
    assert way.position() == -1
    records = [way.take(offset) for offset in (5, 7, 8)]
    for record in records:
        record.add()
    records[1].done()
    assert way.position() == -1
    records[0].done()
    assert (way.position(), way.open) == (8, 1)
    records[2].done()
    assert way.position() == 9
