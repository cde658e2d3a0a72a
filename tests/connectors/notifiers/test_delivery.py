"""Through the real process and a real broker: each transition once on each of its channels, whatever dies in between."""

import time
from collections import Counter

import msgspec
import pytest
from confluent_kafka import Producer

from tests.connectors.notifiers.world import OK, World, keys, states, transition, wait
from waterline.connectors.notifiers.receiver import Receiver
from waterline.schemas.alerts import AlertState, DeliveryState

HOOK = """
channels:
  hook: {kind: webhook, url: env:HOOK, secret: env:SECRET}
routes:
  - channels: [hook]
"""
AT_ONCE = 4
DELIVERED = DeliveryState.DELIVERED


def test_a_transition_arrives_and_is_written_down(world: World, receiver: Receiver) -> None:
    receiver.secret = "s3cret"
    world.routes(HOOK, HOOK=f"{receiver.url}/hook", SECRET="s3cret")
    notifier = world.notifier()
    world.send(transition(1), transition(2))
    messages = receiver.wait(2, 20)
    assert [message.key for message in messages] == keys([transition(1), transition(2)])
    assert [message.body["status"] for message in messages] == ["firing", "resolved"]
    assert all(message.genuine for message in messages)
    receipts = world.wait_receipts(2)
    assert states(receipts) == [(1, "hook", DELIVERED), (2, "hook", DELIVERED)]
    assert {(receipt.attempts, receipt.status) for receipt in receipts} == {(1, 200)}
    wait(world.done, "not committed")
    assert 'notifier_receipts_total{channel="hook",state="delivered"} 2.0' in notifier.get("/metrics")[1]


def test_at_rest_nothing_waits(world: World, receiver: Receiver) -> None:
    """The streams and the ruler write in transactions, whose markers take offsets, too."""
    world.routes(HOOK, HOOK=receiver.url, SECRET="s")
    producer = Producer({"bootstrap.servers": world.kafka, "transactional.id": world.group})
    producer.init_transactions(60)
    producer.begin_transaction()
    producer.produce(world.transitions, msgspec.json.encode(transition(1)), partition=0)
    producer.commit_transaction(60)
    notifier = world.notifier()
    receiver.wait(1, 20)

    since: list[float] = []

    def rests() -> bool:
        """For longer than the number is old."""
        lines = notifier.get("/metrics")[1].splitlines()
        if [line.rpartition(" ")[2] for line in lines if line.startswith("notifier_lag_records{")] != ["0.0"] * 3:
            since.clear()
        else:
            since.append(time.monotonic())
        return bool(since) and since[-1] - since[0] > 2.5

    wait(rests, "markers are no transitions")


def test_only_what_opens_or_closes_is_sent(world: World, receiver: Receiver) -> None:
    world.routes(HOOK, HOOK=receiver.url, SECRET="s")
    world.notifier()
    world.send(
        transition(1, state=AlertState.PENDING, previous=OK),
        transition(2, state=OK, previous=AlertState.PENDING),
        transition(3, state=AlertState.INSUFFICIENT, previous=OK),
        transition(4, state=OK, previous=AlertState.INSUFFICIENT),
        transition(5, state=AlertState.FIRING, previous=OK, provisional=True),
        transition(6, state=AlertState.NO_DATA, previous=AlertState.FIRING),
    )
    world.record(b"{broken")
    wait(world.done, "not committed")
    assert [message.body["alerts"][0]["annotations"]["state"] for message in receiver.accepted] == ["firing", "no_data"]
    assert "provisional" in receiver.accepted[0].text
    assert len(world.receipts()) == 2


def test_without_a_file_nothing_is_sent_and_that_is_said(world: World) -> None:
    world.notifier()
    world.send(transition(1), transition(2))
    assert states(world.wait_receipts(2)) == [(1, "", DeliveryState.UNROUTED), (2, "", DeliveryState.UNROUTED)]


@pytest.mark.parametrize("crash", ["notification_sent:2", "receipt_written:1"])
def test_dying_at_the_worst_place(world: World, receiver: Receiver, crash: str) -> None:
    world.routes(HOOK, HOOK=receiver.url, SECRET="s")
    alerts = [transition(number, agent) for number in (1, 2, 3) for agent in "abc"]
    first = world.notifier(crash=crash)
    world.send(*alerts)
    assert first.wait(20)
    assert first.crashed()
    written = {f"{receipt.alert_id}-{receipt.transition}" for receipt in world.receipts()}
    assert written or crash.startswith("notification_sent")
    world.notifier()
    wait(world.done, "not committed")
    arrived = Counter(message.key for message in receiver.accepted)
    assert sorted(arrived) == keys(alerts), "none is missing"
    assert {arrived[key] for key in written} <= {1}, "what has a receipt is not sent again"
    assert arrived.total() - len(alerts) <= AT_ONCE, "only what was under way is repeated"
    assert len(world.receipts()) == len(alerts)


def test_without_receipts_a_restart_tells_again(world: World, receiver: Receiver) -> None:
    world.routes(HOOK, HOOK=receiver.url, SECRET="s")
    alerts = [transition(1, agent) for agent in "abcdef"]
    first = world.notifier(crash="receipt_written:1", wait_ready=False)
    world.send(*alerts)
    assert first.wait(20)
    written = len(world.receipts())
    assert written
    world.notifier(without="receipts")
    wait(world.done, "not committed")
    assert len(receiver.accepted) >= len(alerts) + written


def test_two_share_the_work_and_hand_it_over_without_a_copy(world: World, receiver: Receiver) -> None:
    world.routes(HOOK, HOOK=receiver.url, SECRET="s")
    alerts = [transition(number, f"agent-{agent}") for number in range(1, 5) for agent in range(30)]
    first = world.notifier()
    world.send(*alerts[:40])
    second = world.notifier(notifier_instance="two", wait_ready=False)
    world.send(*alerts[40:80])
    wait(second.ready, "the second gets its share")
    first.stop()
    world.send(*alerts[80:])
    wait(world.done, "the second takes over what the first had", 60)
    assert sorted(message.key for message in receiver.accepted) == keys(alerts)
