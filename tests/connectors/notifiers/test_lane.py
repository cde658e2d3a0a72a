"""The queue of a channel, by itself: order, one at a time for each alert, retries, storms."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from tests.connectors.notifiers.world import transition, wait
from waterline.connectors.notifiers.contract import Notice, Receipt, Refused, Unavailable
from waterline.connectors.notifiers.lane import LONGEST_WAIT_S, After, Job, Lane, backoff
from waterline.connectors.notifiers.progress import Record, Way
from waterline.connectors.notifiers.routes import Kind, Spec, Storm


class Channel:
    """Says what the test wants."""

    def __init__(self) -> None:
        self.sent: list[tuple[float, list[tuple[str, int]]]] = []
        self.answer: Callable[[Notice], Receipt] = lambda _: Receipt(200)
        self.closed = False

    def send(self, notice: Notice) -> Receipt:
        self.sent.append((time.monotonic(), [(alert.group["agent"], alert.transition) for alert in notice.alerts]))
        return self.answer(notice)

    def close(self) -> None:
        self.closed = True

    @property
    def told(self) -> list[tuple[str, int]]:
        return [one for _, some in self.sent for one in some]


class Owner:
    """`hold`: Kafka does not confirm receipts."""

    def __init__(self) -> None:
        self.hold = False
        self.held: list[After] = []
        self.outcomes: list[str] = []
        self.remains: list[Job] = []
        self.leased = True

    def may_send(self) -> bool:
        return self.leased

    def notice(self, lane: Lane, jobs: Sequence[Job]) -> Notice | None:
        return Notice([job.alert for job in jobs])

    def delivered(self, lane: Lane, jobs: Sequence[Job], receipt: Receipt, seconds: float, after: After) -> None:
        self.outcomes.append("delivered")
        self._later(after)

    def refused(self, lane: Lane, jobs: Sequence[Job], error: Refused, seconds: float, after: After) -> None:
        self.outcomes.append(f"refused: {error.reason}")
        self._later(after)

    def failed(self, lane: Lane, error: Unavailable, seconds: float) -> None:
        self.outcomes.append("failed")

    def dropped(self, lane: Lane, job: Job) -> None:
        self.outcomes.append("dropped")

    def left(self, lane: Lane, jobs: Sequence[Job]) -> None:
        self.remains.extend(jobs)

    def _later(self, after: After) -> None:
        if self.hold:
            self.held.append(after)
        else:
            after()


class Bench:
    def __init__(self) -> None:
        self.channel, self.owner, self.way = Channel(), Owner(), Way("t", 0)
        self.lanes: list[Lane] = []

    def lane(self, at_once: int = 4, storm: Storm | None = None, per_second: float = 0.0) -> Lane:
        spec = Spec("c", Kind.WEBHOOK, {}, storm, per_second, at_once)
        self.lanes.append(Lane(spec, self.channel, self.owner))
        return self.lanes[-1]

    def put(self, lane: Lane, *numbers: int, agent: str = "a") -> None:
        for number in numbers:
            lane.put(Job(transition(number, agent), Record(self.way, 0)))


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    for lane in made.lanes:
        lane.stop()
        lane.join(time.monotonic() + 5)
    assert made.channel.closed or not made.lanes


def test_the_next_transition_waits_for_the_receipt_of_the_last(bench: Bench) -> None:
    bench.owner.hold = True
    lane = bench.lane()
    bench.put(lane, 1, 2)
    bench.put(lane, 1, agent="b")
    wait(lambda: len(bench.owner.held) == 2, "both alerts are sent")
    assert sorted(bench.channel.told) == [("a", 1), ("b", 1)]
    for after in list(bench.owner.held):
        after()
    wait(lambda: ("a", 2) in bench.channel.told, "goes on")


def test_order_holds_within_an_alert_while_others_pass(bench: Bench) -> None:
    fails = {("a", 1): 2}

    def answer(notice: Notice) -> Receipt:
        one = (notice.alert.group["agent"], notice.alert.transition)
        if fails.get(one, 0):
            fails[one] -= 1
            raise Unavailable(503, "not yet")
        return Receipt(200)

    bench.channel.answer = answer
    lane = bench.lane()
    bench.put(lane, 1, 2, 3)
    bench.put(lane, 1, 2, 3, agent="b")
    wait(lambda: len(bench.channel.sent) == 8, "all is sent")
    assert [one for one in bench.channel.told if one[0] == "a"] == [("a", 1)] * 3 + [("a", 2), ("a", 3)]
    assert bench.channel.told.index(("b", 3)) < bench.channel.told.index(("a", 2))
    times = [at for at, some in bench.channel.sent if some == [("a", 1)]]
    assert times[1] - times[0] > 0.17
    assert times[2] - times[1] > 0.35


def test_a_bug_is_a_refusal_and_ends_nothing(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    def answer(notice: Notice) -> Receipt:
        if notice.alert.transition == 1:
            words = "https://a.secret"
            raise ZeroDivisionError(words)
        return Receipt(200)

    bench.channel.answer = answer
    lane = bench.lane()
    bench.put(lane, 1, 2)
    wait(lambda: len(bench.owner.outcomes) == 2, "goes on")
    assert bench.owner.outcomes == ["refused: bug: ZeroDivisionError, see the log of the notifier", "delivered"]
    logged = capsys.readouterr().out
    assert "test_lane.py" in logged
    assert "a.secret" not in logged


def test_one_request_finds_out_whether_a_channel_is_back(bench: Bench) -> None:
    down, under_way, most = threading.Event(), 0, 0
    lock = threading.Lock()

    def answer(_: Notice) -> Receipt:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way if bench.lanes[0].failures >= 5 else 0)
        down.wait(0.02)
        with lock:
            under_way -= 1
        if down.is_set():
            return Receipt(200)
        raise Unavailable(503, "down")

    bench.channel.answer = answer
    lane = bench.lane()
    for number in range(50):
        bench.put(lane, 1, agent=f"a{number}")
    wait(lambda: lane.failures >= 7, "it is tried again")
    assert most <= 1
    assert len(bench.channel.sent) < 40, "bounded in rate"
    down.set()
    wait(lambda: bench.owner.outcomes.count("delivered") == 50, "all goes when it is back", 10)
    assert (lane.failures, lane.waiting) == (0, 0)


def test_a_storm_is_gathered(bench: Bench) -> None:
    lane = bench.lane(1, Storm(("rule",), 1.0))
    bench.put(lane, 1)
    wait(lambda: bench.channel.sent, "the first goes at once")
    for number in range(20):
        bench.put(lane, 1, 2, agent=f"s{number}")
    wait(lambda: len(bench.channel.sent) == 2, "the rest in one")
    (first, one), (second, rest) = bench.channel.sent
    assert (len(one), len(rest)) == (1, 40)
    assert second - first >= 1
    assert [told for told in rest if told[0] == "s3"] == [("s3", 1), ("s3", 2)]


def test_what_may_not_be_ours_any_more_waits(bench: Bench) -> None:
    bench.owner.leased = False
    lane = bench.lane()
    bench.put(lane, 1)
    lane.join(time.monotonic() + 0.3)
    assert bench.channel.sent == []
    bench.owner.leased = True
    wait(lambda: bench.channel.sent, "it is ours again")


def test_what_is_dropped_is_not_sent(bench: Bench) -> None:
    bench.channel.answer = lambda _: Receipt(200)
    bench.way.dropped = True
    lane = bench.lane()
    bench.put(lane, 1, 2)
    wait(lambda: bench.owner.outcomes == ["dropped", "dropped"], "they leave the queue")
    assert bench.channel.sent == []
    assert lane.waiting == 0


def test_what_waits_in_a_lane_that_is_stopped_is_handed_back(bench: Bench) -> None:
    bench.owner.hold = True
    lane = bench.lane(1)
    bench.put(lane, 1, 2, 3)
    wait(lambda: bench.owner.held, "the first is sent")
    lane.stop()
    lane.join(time.monotonic() + 5)
    assert [job.alert.transition for job in [*bench.owner.remains, *lane.rest()]] == [2, 3]


def test_waits_double_up_to_a_cap() -> None:
    assert [round(backoff(times) / 0.2, 0) for times in (0, 1, 2)] == [1, 2, 4]
    assert max(backoff(times) for times in range(100)) <= LONGEST_WAIT_S * 1.1
