"""The store goes away under load, and comes back: the door stays open, nothing is lost, and the backlog is soon worked off."""

import threading
import time
from collections import deque
from collections.abc import Callable

from clickhouse_connect.driver.client import Client
from msgspec import Struct

from tests.faults import checks, load
from tests.faults.sender import Clients
from waterline.connectors.stores.clickhouse.client import connect
from waterline.stack import Stack

RATE = 1000.0
"""events a second"""
BEFORE_S, AFTER_S = 3.0, 12.0
"""how long events are sent before the store goes away and after it came back"""
EVENTS_OF_A_DECISION = 5.6
BATCH = (50, 100, 150)
TIMES = 3.0
SETTLE_S = 120.0
LOOK_S = 0.2
USUAL_S = 2.0
"""within which an event is stored when nothing waits"""
STORED = "SELECT count() FROM events WHERE startsWith(event_id, {prefix:String})"


class Return(Struct):
    """`live`: events a second acknowledged while the store was away. `caught_up_s`: from the moment it answered again until
    everything was stored that had been acknowledged USUAL_S before, while more came; `rate`: events a second stored meanwhile."""

    away_s: float
    live: float
    backlog: int
    caught_up_s: float
    rate: float
    refused: int
    wrong: list[str]

    def __str__(self) -> str:
        return (
            f"store away for {self.away_s:.0f} s at {self.live:.0f} events/s: {self.backlog} waited, stored after "
            f"{self.caught_up_s:.1f} s at {self.rate:.0f} events/s, {self.rate / self.live:.1f} times the live rate; "
            f"{self.refused} requests refused"
        )


def send_the_store_away(stack: Stack, seed: int, away_s: float, rate: float = RATE) -> Return:
    """Kills the store, keeps it down, brings it back. `wrong` is empty when all holds."""
    seconds = BEFORE_S + away_s + AFTER_S
    made = load.make(seed, round(rate * seconds / EVENTS_OF_A_DECISION), BATCH)
    prefix = f"{seed:08x}"
    timer = threading.Event()
    clients = Clients(stack, made.batches, seed, seconds, again=0.01)
    timer.wait(BEFORE_S)
    acked, refused = clients.acked, clients.refused
    stack.restart_dead = False
    stack.kill("front")
    began = time.monotonic()
    timer.wait(away_s)
    live = (clients.acked - acked) / (time.monotonic() - began)
    refused = clients.refused - refused
    stack.restart_dead = True
    stack.wait_ready("front")
    client = connect(stack.settings)
    try:
        back, stored = time.monotonic(), _stored(client, prefix)
        backlog = clients.acked - stored
        wrong = _catch_up(client, prefix, clients, timer)
        caught_up_s = time.monotonic() - back
        pace = (_stored(client, prefix) - stored) / caught_up_s
        wrong += clients.finish()
        wrong += _look(stack, client, prefix, made)
    finally:
        client.close()
    wrong += [f"{refused} requests were refused while the store was away"] if refused else []
    if pace < TIMES * live:
        wrong.append(f"caught up at {pace:.0f} events/s, {pace / live:.1f} times the live rate; {TIMES:.0f} are promised")
    return Return(away_s, live, backlog, caught_up_s, pace, refused, wrong)


def _catch_up(client: Client, prefix: str, clients: Clients, timer: threading.Event) -> list[str]:
    """Returns when what waits is no more than usual, or after SETTLE_S with how much it is."""
    deadline = time.monotonic() + SETTLE_S
    due: deque[tuple[float, int]] = deque()
    usual = clients.acked
    while (waiting := usual - _stored(client, prefix)) > 0:
        if time.monotonic() > deadline:
            return [
                f"{waiting} events were acknowledged {USUAL_S:.0f} s ago and are not stored {SETTLE_S:.0f} s after the return"
            ]
        due.append((time.monotonic() + USUAL_S, clients.acked))
        while due and due[0][0] <= time.monotonic():
            usual = due.popleft()[1]
        timer.wait(LOOK_S)
    return []


def _look(stack: Stack, client: Client, prefix: str, made: load.Load) -> list[str]:
    looks: tuple[Callable[[], list[str]], ...] = (
        lambda: checks.events(client, prefix, made),
        lambda: checks.facts(client, prefix, made),
        lambda: checks.proven(stack, client),
    )
    return [wrong for look in looks for wrong in checks.settle(look, SETTLE_S)]


def _stored(client: Client, prefix: str) -> int:
    return int(client.query(STORED, parameters={"prefix": prefix}).result_rows[0][0])
