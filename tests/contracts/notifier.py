"""What every channel owes, against a local server that behaves as the service documents. A subclass gives `make` and `ok`."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime

import pytest

from tests.connectors.notifiers.world import transition
from waterline.connectors.notifiers.contract import Channel, Notice, Refused, Unavailable
from waterline.connectors.notifiers.receiver import Answer, Message, Receiver, Reset
from waterline.schemas.alerts import AlertTransition

TEXT = {"Content-Type": "text/plain"}
TIMEOUT_S = 1.0
HUGE = 8 * 2**20


def always(answer: Answer) -> Callable[[Message], Answer]:
    return lambda _: answer


class NotifierContract:
    ok = 200
    refusals: tuple[tuple[int, bytes], ...] = ((400, b"bad"), (401, b"who"), (403, b"no"), (404, b"no_service"), (410, b"gone"))

    def make(self, url: str) -> Channel:
        """The channel, to a server at `url`, that gives up after TIMEOUT_S."""
        raise AssertionError("a subclass says how")

    def shown(self, message: Message) -> str:
        """All that a person can read of it."""
        return str(message.body)

    @pytest.fixture
    def channel(self, receiver: Receiver) -> Iterator[Channel]:
        with closing(self.make(receiver.url)) as made:
            yield made

    def send(self, channel: Channel, *alerts: AlertTransition, note: str = "", opening: str = "") -> None:
        channel.send(Notice(alerts or (transition(1),), note, opening))

    # what is taken

    def test_an_alert_arrives_with_its_evidence(self, channel: Channel, receiver: Receiver) -> None:
        receipt = channel.send(Notice([transition(1)], note="a word more"))
        assert receipt.status == self.ok
        (message,) = receiver.accepted
        shown = self.shown(message)
        for word in ("tool_error_rate", "booking", "acme", "12.5 %", "5 %", "10:00:00", "100 %", "7b3e0c", "a word more"):
            assert word in shown, word
        assert "https://runbooks.example.com/tool_error_rate" in shown

    def test_an_end_is_told(self, channel: Channel, receiver: Receiver) -> None:
        self.send(channel, transition(1))
        self.send(channel, transition(2))
        assert "resolve" in self.shown(receiver.accepted[-1])

    def test_an_early_word_says_that_it_is_one(self, channel: Channel, receiver: Receiver) -> None:
        self.send(channel, transition(1, provisional=True, completeness=0.4))
        assert "provisional" in self.shown(receiver.accepted[0])
        assert "40 %" in self.shown(receiver.accepted[0])

    @pytest.mark.parametrize("size", [10_000, 700_000])
    def test_an_alert_of_any_size_fits(self, channel: Channel, receiver: Receiver, size: int) -> None:
        long = "\u00e4<&>\n" * (size // 5)
        many = {f"label{number}": "v" * (size // 50) for number in range(40)}
        alert = transition(1, summary=long, sql=long, group={"agent": long[:200]} | many, decisions=[long[:2000]] * 5)
        assert channel.send(Notice([alert], note=long)).status == self.ok

    def test_an_alert_that_knows_next_to_nothing_arrives(self, channel: Channel) -> None:
        bare = transition(1, summary="", value=None, threshold=None, window_from=None, window_to=None, runbook="", group={})
        assert channel.send(Notice([bare])).status == self.ok

    def test_exact_numbers_stay_exact(self, channel: Channel, receiver: Receiver) -> None:
        self.send(channel, transition(1, value=Decimal("1234567.000000001"), threshold=Decimal("100"), unit="USD"))
        assert "1234567.000000001 USD" in self.shown(receiver.accepted[0])
        assert "100 USD" in self.shown(receiver.accepted[0])

    # what is refused, and what may pass

    def test_a_refusal_is_for_good_and_keeps_the_words(self, channel: Channel, receiver: Receiver) -> None:
        for status, words in self.refusals:
            receiver.behave = always((status, TEXT, words))
            with pytest.raises(Refused) as told:
                self.send(channel)
            assert told.value.status == status
            assert words.decode() in told.value.reason or str(status) in told.value.reason

    @pytest.mark.parametrize("status", [500, 502, 503, 504])
    def test_a_server_that_fails_may_recover(self, channel: Channel, receiver: Receiver, status: int) -> None:
        receiver.behave = always((status, TEXT, b"<html>oops</html>"))
        with pytest.raises(Unavailable) as told:
            self.send(channel)
        assert (told.value.status, told.value.whole) == (status, False)

    def test_too_many_requests_name_their_wait(self, channel: Channel, receiver: Receiver) -> None:
        later = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
        for value, least, most in (("7", 7, 7), (later, 25, 31), ("soon", 0, 0), ("9e9", 3600, 3600), ("-1", 0, 0)):
            receiver.behave = always((429, TEXT | {"Retry-After": value}, b"slow down"))
            with pytest.raises(Unavailable) as told:
                self.send(channel)
            assert (told.value.status, told.value.whole) == (429, True)
            assert least <= told.value.retry_after <= most

    def test_one_that_does_not_answer_is_left(self, channel: Channel, receiver: Receiver) -> None:
        with self.held(receiver) as answer:
            receiver.behave = answer
            began = time.monotonic()
            with pytest.raises(Unavailable) as told:
                self.send(channel)
            assert told.value.status == 0
            assert time.monotonic() - began < TIMEOUT_S + 2

    def test_a_broken_connection_may_hold_the_next_time(self, channel: Channel, receiver: Receiver) -> None:
        def reset(_: Message) -> Answer:
            raise Reset

        receiver.behave = reset
        with pytest.raises(Unavailable) as told:
            self.send(channel)
        assert told.value.status == 0
        receiver.behave = None
        self.send(channel)
        assert len(receiver.accepted) == 1

    def test_nobody_there(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # bound, so that nobody else takes it, and not listening
            with closing(self.make(f"http://127.0.0.1:{taken.getsockname()[1]}")) as channel:
                with pytest.raises(Unavailable):
                    self.send(channel)

    def test_an_answer_of_any_size_does_no_harm(self, channel: Channel, receiver: Receiver) -> None:
        receiver.behave = always((500, TEXT, b"x" * HUGE))
        with pytest.raises(Unavailable) as told:
            self.send(channel)
        assert len(told.value.reason) <= 300

    @contextmanager
    def held(self, receiver: Receiver) -> Iterator[Callable[[Message], Answer]]:
        """Answers only at the end."""
        over = threading.Event()

        def answer(_: Message) -> Answer:
            over.wait(10)
            return 200, TEXT, b"ok"

        try:
            yield answer
        finally:
            over.set()
