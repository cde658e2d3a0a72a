"""A thousand transitions, receivers that fail a third of the time, a notifier that is killed again and again."""

import random
from collections import Counter, defaultdict

import pytest

from tests.connectors.notifiers.world import World, keys, transition, wait
from waterline.connectors.notifiers.pagerduty import dedup_key
from waterline.connectors.notifiers.receiver import Answer, Message, Receiver, Reset
from waterline.schemas.alerts import AlertState, DeliveryState

ROUTES = """
channels:
  hook: {kind: webhook, url: env:HOOK, timeout: 1s}
  pager: {kind: pagerduty, routing_key: env:KEY, url: env:PAGER, timeout: 1s}
routes:
  - channels: [hook, pager]
"""
ALERTS, EACH, KILLS = 100, 10, 4
TEXT = {"Content-Type": "text/plain"}


class Moody:
    """Fails a third of the time: an error, a 429 with its wait, no answer, or one that is lost after the request was taken."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)
        self.taken: list[Message] = []
        self.failed = 0

    def __call__(self, message: Message) -> Answer | None:
        mood = self._dice.random()
        if mood > 1 / 3:
            self.taken.append(message)
            return None
        self.failed += 1
        if mood < 0.02:
            self.taken.append(message)  # and the sender never learns of it
            raise Reset
        if mood < 0.05:
            raise Reset
        return (429, TEXT | {"Retry-After": "0.02"}, b"") if mood < 0.1 else (503, TEXT, b"")


@pytest.mark.parametrize("seed", [1])
def test_a_thousand_transitions(world: World, seed: int) -> None:
    dice, moods = random.Random(seed), {"hook": Moody(seed), "pager": Moody(seed + 1)}
    alerts = [transition(number, f"agent-{agent}") for number in range(1, EACH + 1) for agent in range(ALERTS)]
    with Receiver(behave=moods["hook"]) as hook, Receiver(behave=moods["pager"]) as pager:
        world.routes(ROUTES, HOOK=f"{hook.url}/", KEY="R" * 32, PAGER=f"{pager.url}/v2/enqueue")
        notifier = world.notifier(wait_ready=False)
        share = len(alerts) // KILLS
        for round_ in range(KILLS):
            enough = len(hook.accepted) + dice.randrange(80, 200)
            world.send(*alerts[round_ * share : (round_ + 1) * share])
            wait(lambda: len(hook.accepted) >= enough, f"stands still {notifier.tail()}")  # noqa: B023
            notifier.kill()
            notifier = world.notifier(wait_ready=False)
        world.send(*alerts[KILLS * share :])
        wait(world.done, f"not all is committed: {notifier.tail()}", 200)
        notifier.stop()

    receipts = world.receipts()
    assert Counter((one.channel, one.state) for one in receipts) == {
        ("hook", DeliveryState.DELIVERED): len(alerts),
        ("pager", DeliveryState.DELIVERED): len(alerts),
    }
    assert moods["hook"].failed > len(alerts) / 4
    check_hook(moods["hook"].taken, keys(alerts))
    check_pager(moods["pager"].taken)
    print(
        f"{len(alerts)} transitions, {KILLS} kills: copies by hook {len(moods['hook'].taken) - len(alerts)},"
        f" by pager {len(moods['pager'].taken) - len(alerts)}; attempts that failed {moods['hook'].failed},"
        f" {moods['pager'].failed}; receipts {len(receipts)}"
    )


def check_hook(taken: list[Message], wanted: list[str]) -> None:
    """By Idempotency-Key each is there, and what is left without copies is in order within each alert."""
    first = list(dict.fromkeys(message.key for message in taken))
    assert sorted(first) == wanted
    told = defaultdict(list)
    for key in first:
        alert, _, number = key.rpartition("-")
        told[alert].append(int(number))
    assert all(numbers == list(range(1, EACH + 1)) for numbers in told.values())


def check_pager(taken: list[Message]) -> None:
    """PagerDuty as it documents itself: a trigger of an open dedup_key joins its incident, a resolve of a closed one is dropped.
    So every alert has as many incidents as it fired, each resolved, whatever came twice."""
    opened: Counter[str] = Counter()
    closed: Counter[str] = Counter()
    standing: set[str] = set()
    for message in taken:
        key, action = message.body["dedup_key"], message.body["event_action"]
        if action == "trigger" and key not in standing:
            standing.add(key)
            opened[key] += 1
        elif action == "resolve" and key in standing:
            standing.discard(key)
            closed[key] += 1
    wanted = {dedup_key(transition(1, f"agent-{agent}")): EACH // 2 for agent in range(ALERTS)}
    assert (opened, closed, standing) == (wanted, wanted, set())
    assert transition(2).state is AlertState.RESOLVED
