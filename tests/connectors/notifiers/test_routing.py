"""Routes, silences, storms and a channel's own failure, through the real process."""

import time
from collections.abc import Callable
from itertools import pairwise

import pytest

from tests.connectors.notifiers.world import World, states, transition, wait
from waterline.connectors.notifiers.dispatch import OWN_RULE
from waterline.connectors.notifiers.receiver import Answer, Message, Receiver
from waterline.schemas.alerts import DeliveryState, Severity

DELIVERED, GROUPED, REFUSED = DeliveryState.DELIVERED, DeliveryState.GROUPED, DeliveryState.REFUSED
SILENCED, UNROUTED = DeliveryState.SILENCED, DeliveryState.UNROUTED
TEXT = {"Content-Type": "text/plain"}


def to(path: str, answer: Answer) -> Callable[[Message], Answer | None]:
    return lambda message: answer if message.path.startswith(path) else None


@pytest.fixture
def told(world: World, receiver: Receiver) -> Receiver:
    """Three channels at one receiver, by their paths."""
    world.secrets |= {"A": f"{receiver.url}/a", "B": f"{receiver.url}/b", "SLACK": f"{receiver.url}/slack"}
    return receiver


CHANNELS = """
channels:
  a: {kind: webhook, url: env:A, timeout: 1s}
  b: {kind: webhook, url: env:B, timeout: 1s}
  slack: {kind: slack, webhook: env:SLACK, storm: {every: 2s}, per_second: 0}
fallback: b
failing_after: 1s
"""


def paths(receiver: Receiver) -> list[tuple[str, str]]:
    return [(message.path, message.body["alerts"][0]["labels"]["alertname"]) for message in receiver.accepted]


def test_who_was_alarmed_is_told_that_it_is_over(world: World, told: Receiver) -> None:
    """Whatever the routes and silences say by then; and nobody else is."""
    open_ = "routes: [{match: {severity: critical}, channels: a}, {channels: b}]\n"
    silence = "silences: [{match: {group: {agent: x}}, from: 2020-01-01T00:00:00Z, until: 2999-01-01T00:00:00Z, reason: quiet}]\n"
    world.routes(CHANNELS + open_ + silence)
    notifier = world.notifier()
    world.send(transition(1), transition(1, "x"))
    world.wait_receipts(2)
    world.routes(CHANNELS + "routes: [{channels: b}]\n" + silence.replace("agent: x", "agent: booking"))
    wait(lambda: "routes read anew" in notifier.log.read_text(), "the file is not read anew")
    world.send(transition(2, severity=Severity.INFO), transition(2, "x"), transition(3))
    receipts = world.wait_receipts(5)
    wait(world.done, "not committed")
    assert [message.path for message in told.accepted] == ["/a", "/a"]
    assert states(receipts) == [
        (1, "a", DELIVERED),
        (1, "a", SILENCED),
        (2, "a", DELIVERED),
        (2, "a", SILENCED),
        (3, "b", SILENCED),
    ]


def test_routes_are_chosen_by_tenant_rule_severity_and_group(world: World, told: Receiver) -> None:
    world.routes(
        CHANNELS
        + """
routes:
  - {match: {tenant: acme, rule: "budget_*"}, channels: a, continue: true}
  - {match: {severity: [critical, error], group: {tool: null, agent: [one, two]}}, channels: [b, a]}
  - {match: {tenant: other}, channels: b}
"""
    )
    world.notifier()
    world.send(
        transition(1, "one", "budget_day"),
        transition(1, "three", "budget_day"),
        transition(1, "two"),
        transition(1, tenant="other"),
        transition(1, rule="nobody_cares"),
        transition(1, group={"agent": "one", "tool": "t"}, rule="with_tool"),
    )
    found = world.wait_receipts(8)
    chosen = sorted((one.tenant, one.rule, one.channel) for one in found)
    assert chosen == [
        ("acme", "budget_day", "a"),
        ("acme", "budget_day", "a"),
        ("acme", "budget_day", "b"),
        ("acme", "nobody_cares", ""),
        ("acme", "tool_error_rate", "a"),
        ("acme", "tool_error_rate", "b"),
        ("acme", "with_tool", ""),
        ("other", "tool_error_rate", "b"),
    ]


def test_a_storm_is_a_message_a_window(world: World, told: Receiver) -> None:
    world.routes(CHANNELS + "routes: [{channels: slack}]\n")
    world.notifier()
    world.send(transition(1, "first"))
    told.wait(1, 10)
    world.send(*(transition(number, f"agent-{agent}") for number in (1, 2) for agent in range(30)), transition(1, rule="other"))
    receipts = world.wait_receipts(62)
    texts = [message.body["text"] for message in told.accepted]
    assert len(texts) == 3
    assert texts[0].startswith("firing: tool_error_rate of first")
    storm, other = sorted(texts[1:])
    assert storm == "60 alerts (30 firing, 30 ended): tool_error_rate"
    assert other.startswith("firing: other of booking [acme] - ")
    by_text = {message.body["text"][:2]: message.at for message in told.accepted}
    assert by_text["60"] - told.accepted[0].at > 1.9
    found = [one.state for one in receipts]
    assert (found.count(DELIVERED), found.count(GROUPED)) == (2, 60)


def test_a_refusal_is_told_on_the_fallback_and_so_is_its_end(world: World, told: Receiver) -> None:
    world.routes(CHANNELS + "routes: [{channels: a}]\n")
    told.behave = to("/a", (410, TEXT, b"channel_is_archived"))
    world.notifier()
    world.send(transition(1))
    first = world.wait_receipts(3)
    assert states(first) == [(1, "a", REFUSED), (1, "b", DELIVERED), (1, "b", DELIVERED)]
    assert next(one for one in first if one.state is REFUSED).reason == "410 channel_is_archived"
    notes = [message.body["alerts"][0]["annotations"].get("note", "") for message in told.accepted]
    assert "told here because the channel a refused it: 410 channel_is_archived" in notes
    assert ("/b", OWN_RULE) in paths(told)
    told.behave = None
    world.send(transition(2), transition(1, "other"))
    wait(world.done, "not committed")
    wait(lambda: paths(told).count(("/b", OWN_RULE)) == 2, "that the channel works again is not told")
    own = [message.body["status"] for message in told.accepted if "notifier_channel" in message.text]
    assert own == ["firing", "resolved"]
    ends = [message.path for message in told.accepted if message.body["status"] == "resolved" and OWN_RULE not in message.text]
    assert ends == ["/b"], "who was told of the beginning is told of the end"


def test_a_channel_that_is_away_is_told_of_and_holds_nobody_up(world: World, told: Receiver) -> None:
    world.routes(CHANNELS.replace("fallback: b", "fallback: slack") + "routes: [{channels: [a, b]}]\n")
    told.behave = to("/a", (503, TEXT, b"down"))
    notifier = world.notifier()
    began = time.monotonic()
    world.send(*(transition(1, f"agent-{number}") for number in range(100)))
    wait(lambda: len(told.accepted) >= 100, "b has to wait for a", 20)
    print(f"100 alerts past a channel that is down in {time.monotonic() - began:.1f} s")
    wait(lambda: any("notifier_channel of a" in message.text for message in told.accepted), "its failure is not told")
    assert sum(message.path == "/a" for message in told.messages) < 100, "tries are bounded in rate"
    assert 'notifier_pending{channel="a"} 100.0' in notifier.get("/metrics")[1]
    told.behave = None
    wait(lambda: sum(one.path == "/a" for one in told.accepted) >= 100, "a does not catch up", 90)
    wait(world.done, "not committed")
    wait(lambda: any("resolved: notifier_channel" in one.text for one in told.accepted), "that it works again is not told")


def test_a_slow_channel_holds_nobody_up(world: World, told: Receiver) -> None:
    world.routes(CHANNELS.replace("timeout: 1s", "timeout: 5s") + "routes: [{channels: [a, b]}]\n")

    def slow(message: Message) -> Answer | None:
        if message.path == "/a":
            wait(lambda: sum(one.path == "/b" for one in told.messages) >= 40, "b waits for a", 20)
        return None

    told.behave = slow
    world.notifier()
    world.send(*(transition(1, f"agent-{number}") for number in range(40)))
    wait(world.done, "not committed")
    assert len(told.accepted) == 80


def test_one_message_a_second_where_that_is_the_limit(world: World, told: Receiver) -> None:
    world.routes("channels: {slack: {kind: slack, webhook: env:SLACK, storm: none}}\nroutes: [{channels: slack}]\n")
    world.notifier()
    world.send(*(transition(1, f"agent-{number}") for number in range(4)))
    wait(world.done, "not committed")
    times = [message.at for message in told.accepted]
    assert all(later - earlier > 0.95 for earlier, later in pairwise(times))


def test_a_429_stops_the_channel_for_as_long_as_it_says(world: World, told: Receiver) -> None:
    world.routes(CHANNELS + "routes: [{channels: a}]\n")
    begun: list[float] = []

    def once(message: Message) -> Answer | None:
        begun.append(message.at)
        return (429, TEXT | {"Retry-After": "2"}, b"") if len(begun) == 1 else None

    told.behave = once
    world.notifier()
    world.send(transition(1))
    wait(lambda: begun, "nothing came")
    world.send(*(transition(1, f"agent-{number}") for number in range(5)))
    wait(world.done, "not committed")
    assert begun[1] - begun[0] >= 2
    assert len(told.accepted) == 6


def test_a_mistake_in_the_file_changes_nothing(world: World, told: Receiver) -> None:
    world.routes(CHANNELS + "routes: [{channels: a}]\n")
    notifier = world.notifier()
    world.routes(CHANNELS + "routes: [{chanels: a}]\n")
    wait(lambda: "notifier_routes_unreadable 1.0" in notifier.get("/metrics")[1], "the mistake is not told")
    assert "is 'channels' meant?" in notifier.log.read_text()
    world.send(transition(1))
    assert [message.path for message in told.wait(1, 10)] == ["/a"]
    world.routes(CHANNELS + "routes: [{channels: b}]\n")
    wait(lambda: "notifier_routes_unreadable 0.0" in notifier.get("/metrics")[1], "the mended file is not read")
    world.send(transition(1, "other"))
    assert [message.path for message in told.wait(2, 10)] == ["/a", "/b"]


def test_a_channel_that_changes_keeps_what_waits_for_it(world: World, told: Receiver) -> None:
    world.routes(CHANNELS.replace("fallback: b", "") + "routes: [{channels: a}]\n")
    told.behave = to("/a", (503, TEXT, b"down"))
    notifier = world.notifier()
    world.send(transition(1), transition(2))
    wait(lambda: len(told.messages) > 2, "nothing came")
    changed = CHANNELS.replace("fallback: b", "").replace("url: env:A", f"url: '{told.url}/new'")
    world.routes(changed + "routes: [{channels: a}]\n")
    wait(world.done, f"not committed {notifier.tail()}")
    assert [(message.path, message.body["status"]) for message in told.accepted] == [("/new", "firing"), ("/new", "resolved")]


def test_it_does_not_start_with_a_file_that_is_wrong(world: World) -> None:
    world.routes("channels: {a: {kind: webhook, url: env:NOT_SET}}\nroutes: [{channels: a}]\n")
    notifier = world.notifier(wait_ready=False)
    assert notifier.wait(10)
    assert notifier.exit_code == 1
    assert "channel a: set NOT_SET in the environment of the notifier" in notifier.tail()


def test_when_too_much_waits_no_more_is_read(world: World, told: Receiver) -> None:
    world.routes(CHANNELS.replace("fallback: b", "") + "routes: [{channels: a}]\n")
    told.behave = to("/a", (503, TEXT, b"down"))
    notifier = world.notifier(notifier_pending=5)
    world.send(*(transition(1, f"agent-{number}") for number in range(10)))
    wait(lambda: "no more are read" in notifier.get("/readyz")[1], "it is not told")
    world.send(*(transition(1, f"late-{number}") for number in range(10)))
    told.behave = None
    wait(world.done, "not committed", 60)
    wait(lambda: notifier.ready(), "not ready again")
    assert len({message.key for message in told.accepted}) == 20
