"""A notifier that stood still while another took its place."""

import re
import signal
import threading

import pytest

from tests.connectors.notifiers.world import Notifier, World, transition, wait
from waterline.connectors.notifiers.receiver import Answer, Message, Receiver

HOOK = "channels: {hook: {kind: webhook, url: env:HOOK, timeout: 1s}}\nroutes: [{channels: [hook]}]\n"


def failures(notifier: Notifier) -> float:
    found = re.search(r'notifier_failing{channel="hook"} (\S+)', notifier.get("/metrics")[1])
    return float(found[1]) if found else 0.0


@pytest.mark.parametrize("guard", ["", "lease"], ids=["guarded", "without the lease"])
def test_a_woken_zombie_does_not_open_again_what_is_over(world: World, receiver: Receiver, guard: str) -> None:
    down = threading.Event()
    down.set()

    def behave(_: Message) -> Answer | None:
        return (503, {}, b"") if down.is_set() else None

    receiver.behave = behave
    world.routes(HOOK, HOOK=receiver.url)
    zombie = world.notifier(without=guard) if guard else world.notifier()
    alerts = [transition(number, f"agent-{agent}") for number in (1, 2) for agent in range(12)]
    world.send(*alerts)
    wait(lambda: failures(zombie) >= 8, "it tries, and waits longer and longer")
    tried = len(receiver.messages)
    wait(lambda: len(receiver.messages) > tried, "it tries again")
    wait(lambda: failures(zombie) > 8, "nothing is under way for a second or two")
    zombie.signal(signal.SIGSTOP)
    down.clear()
    heir = world.notifier(notifier_instance="two", wait_ready=False)
    wait(heir.ready, "the heir gets the partitions", 40)
    wait(world.done, "the heir sends all", 40)
    sent = len(receiver.accepted)
    zombie.signal(signal.SIGCONT)
    wait(lambda: "partitions are lost" in zombie.log.read_text(), f"the zombie finds out {zombie.tail()}", 40)
    wait(zombie.ready, "it is one of the group again", 40)
    again = len(receiver.accepted) - sent
    assert bool(again) == bool(guard), f"{again} copies"
