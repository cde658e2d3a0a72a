"""The routes file: what can be said in it, and what is said about mistakes."""

from pathlib import Path

import pytest

from tests.connectors.notifiers.world import transition
from waterline.connectors.notifiers import routes_file
from waterline.connectors.notifiers.channels import build, missing
from waterline.connectors.notifiers.pagerduty import PagerDuty
from waterline.connectors.notifiers.routes import Kind, Routes, Secret, Storm
from waterline.connectors.notifiers.slack import SlackBot, SlackWebhook
from waterline.connectors.notifiers.watched import Watched
from waterline.connectors.notifiers.webhook import Webhook
from waterline.schemas.alerts import Severity
from waterline.schemas.errors import Permanent

WRONG = """\
channels:
  ops: {kind: slak, webhook: env:OPS}
  board: {kind: slack, webhook: "https://hooks.slack.example/T0/B0/topsecret"}
  bot: {kind: slack, token: env:BOT}
  pager: {kind: pagerduty, storm: {every: 1m}}
  hook: {kind: webhook, url: hook.example, timeout: 90s}
  hook: {kind: webhook, url: "https://hook.example", retries: 3}
  desk: {kind: webhook, url: "https://desk.example", storm: {every: soon}, per_second: many}
fallback: pagr
failing_after: 5 minutes
routes:
  - {match: {severity: urgent}, chanels: [board]}
  - {channels: [pager, desc], continue: maybe}
  - {match: {group: agent}, channels: []}
silences:
  - {match: {tenant: acme}, from: 2026-12-24, until: 2026-12-27T00:00:00Z}
  - {match: {tenant: acme}, from: 2026-12-24T00:00:00Z, until: 2026-12-23T00:00:00Z}
routs: []
"""
SAID = {
    2: ["channels.ops.kind: 'slak' is no kind of channel, is 'slack' meant?"],
    3: ["channels.board.webhook: a secret does not stand in this file: put it into an environment variable and write env:NAME"],
    4: ["channels.bot: 'webhook' is missing (or 'token' and 'channel', of a bot)"],
    5: ["channels.pager: 'routing_key' is missing", "PagerDuty groups by itself"],
    6: ["channels.hook.url: a URL that begins with http:// or https:// is wanted", "from 0.1s to 60s is possible, this is '90s'"],
    7: ["channels.hook: is there already, in line 6; only one can be meant"],
    8: [
        "channels.desk.storm.every: a duration such as 30s, 5m or 2h is wanted, this is 'soon'",
        "channels.desk.per_second: a number from 0 to 1000 is wanted, this is 'many'",
    ],
    9: ["fallback: there is no channel 'pagr', is 'pager' meant?"],
    10: ["failing_after: a duration such as 30s, 5m or 2h is wanted, this is '5 minutes'"],
    12: [
        "routes[1].match.severity: 'urgent' is no severity, there are critical, error, warning, info",
        "routes[1].chanels: no such field, is 'channels' meant?",
        "routes[1]: 'channels' is missing",
    ],
    13: [
        "routes[2].channels: there is no channel 'desc', is 'desk' meant?",
        "routes[2].continue: true or false is wanted, this is 'maybe'",
    ],
    14: [
        "routes[3].match.group: a mapping (name: value) is wanted, this is 'agent'",
        "routes[3].channels: the list is empty",
    ],
    16: ["silences[1].from: a time zone is missing: 2026-12-24Z is UTC"],
    17: ["silences[2].until: is not after 'from', so it silences nothing"],
    18: ["routs: no such field, is 'routes' meant?"],
}
GOOD = """\
channels:
  ops: {kind: slack, webhook: env:OPS}
  bot: {kind: slack, token: env:BOT, channel: C1, storm: none}
  pager: {kind: pagerduty, routing_key: env:KEY, url: "https://events.eu.pagerduty.com/v2/enqueue", source: prod}
  hook: {kind: webhook, url: "https://h.example", storm: {by: [agent], every: 90s}, per_second: 5, at_once: 2, timeout: 500ms}
fallback: pager
failing_after: 10m
external_url: https://wl.example
decision_url: https://wl.example/{tenant}/{decision}
routes:
  - {match: {rule: "budget_*", severity: [critical, error], group: {agent: refunds, clock: null}}, channels: ops, continue: true}
  - channels: [pager, ops]
silences:
  - {match: {tenant: acme}, from: 2026-12-24T00:00:00+01:00, until: 2026-12-27T00:00:00Z, reason: holidays}
"""


def test_every_mistake_is_told_with_its_line_and_what_was_meant() -> None:
    with pytest.raises(Permanent) as told:
        routes_file.parse(WRONG.encode(), "routes.yaml")
    lines = told.value.reason.splitlines()
    for number, wanted in SAID.items():
        mine = [line for line in lines if line.startswith(f"routes.yaml:{number}: ")]
        assert len(mine) == len(wanted), mine
        assert all(any(words in line for line in mine) for words in wanted), (wanted, mine)
    assert len(lines) == sum(len(wanted) for wanted in SAID.values())
    assert "topsecret" not in told.value.reason


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "1: the file is empty"),
        ("channels: [", "1: this is no YAML"),
        ("a: b: c", "1: this is no YAML"),
        ("- 1", "1: a mapping (name: value) is wanted, this is a list"),
        ("channels: {}", "1: 'routes' is missing"),
        ("channels: {a: }\nroutes: []", "1: channels.a: 'kind' is missing: slack, pagerduty, webhook"),
        ("channels: {a: {kind: webhook, url: env:1x}}\nroutes: []", "write env:NAME"),
        ("channels: {}\nroutes: {}", "2: routes: a list is wanted, this is a mapping"),
        ("channels: {}\nroutes: []\nfallback:", "3: fallback: text is wanted, this is nothing"),
        ("channels: &c {a: *c}\nroutes: []", ""),
        ("[" * 20_000, "1: this is nested far deeper than any routes file is"),
        ("channels: {}\n\troutes: []", "2: this is no YAML: "),
    ],
)
def test_files_that_are_none(text: str, said: str) -> None:
    with pytest.raises(Permanent) as told:
        routes_file.parse(text.encode())
    assert said in told.value.reason


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="No such file"):
        routes_file.read(tmp_path / "none.yaml")


def test_what_can_be_said() -> None:
    routes = routes_file.parse(GOOD.encode())
    assert list(routes.channels) == ["ops", "bot", "pager", "hook"]
    ops, bot, pager, hook = routes.channels.values()
    assert (ops.kind, ops.options, ops.storm, ops.per_second) == (Kind.SLACK, {"webhook": Secret("OPS")}, Storm(), 1.0)
    assert (bot.storm, pager.storm, pager.options["routing_key"]) == (None, None, Secret("KEY"))
    assert (hook.storm, hook.per_second, hook.at_once, hook.timeout_s) == (Storm(("agent",), 90.0), 5.0, 2, 0.5)
    assert (routes.fallback, routes.failing_after_s) == ("pager", 600.0)
    (silence,) = routes.silences
    assert (silence.since.isoformat(), silence.reason) == ("2026-12-23T23:00:00+00:00", "holidays")
    budget = {"rule": "budget_day", "severity": Severity.ERROR}
    assert routes.channels_of(transition(1, "refunds", **budget)) == ["ops", "pager"]
    assert routes.channels_of(transition(1, "other", **budget)) == ["pager", "ops"]
    replayed = transition(1, group={"agent": "refunds", "clock": "replay"}, **budget)
    assert [route.name for route in routes.matching(replayed)] == ["route 2"]


def test_channels_are_built_with_what_the_environment_holds() -> None:
    routes = routes_file.parse(GOOD.encode())
    secrets = {"OPS": "https://hooks.example/x", "BOT": "xoxb-1", "KEY": "R" * 32}
    kinds = [SlackWebhook, SlackBot, PagerDuty, Webhook]
    for spec, kind in zip(routes.channels.values(), kinds, strict=True):
        channel = build(spec, routes, secrets)
        assert isinstance(channel, kind)
        channel.close()
    assert missing(routes.channels["ops"], {"OPS": ""}) == ["OPS"]
    with pytest.raises(Permanent, match="channel ops: set OPS in the environment"):
        build(routes.channels["ops"], routes, {})
    with pytest.raises(Permanent, match="channel ops: OPS is no URL") as told:
        build(routes.channels["ops"], routes, {"OPS": "hunter2"})
    assert "hunter2" not in told.value.reason


def test_without_a_file_nobody_is_told() -> None:
    assert Routes().channels_of(transition(1)) == []


def test_a_refused_file_is_told_until_it_is_mended(tmp_path: Path) -> None:
    path, used = tmp_path / "routes.yaml", list[Routes]()
    good = "channels:\n  hook: {kind: webhook, url: env:HOOK}\nroutes:\n  - channels: [hook]\n"
    path.write_text(good)
    watched = Watched(path)
    first = watched.followed
    assert (first.what, first.file, first.mistakes, first.refused_since) == ("routes", str(path), (), None)
    path.write_text(good + "routs: []\n")
    assert watched.changed(used.append) is False
    told = watched.followed
    assert (told.version, told.since, used) == (first.version, first.since, [])
    assert told.mistakes[0].startswith(f"{path}:5: ")
    assert told.refused_since is not None
    path.write_text(good + "# as before\n")
    assert watched.changed(used.append) is True
    assert (watched.followed.version, watched.followed.mistakes, watched.followed.refused_since) == (first.version, (), None)
