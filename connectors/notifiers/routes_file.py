"""The routes file (setting `routes_file`, YAML): where alerts go.

    channels:
      ops:        {kind: slack, webhook: env:SLACK_OPS}
      board:      {kind: slack, token: env:SLACK_BOT_TOKEN, channel: C0123456789}
      pager:      {kind: pagerduty, routing_key: env:PAGERDUTY_KEY}
      desk:       {kind: webhook, url: "https://desk.example.com/alerts", secret: env:DESK_SECRET}
    fallback: pager                          # tells when another channel fails
    routes:                                  # the first that matches decides
      - name: money
        match: {tenant: acme, rule: "budget_*", severity: [critical, error], group: {agent: refunds}}
        channels: [pager, ops]
        continue: true                       # ... and the ones after it, too
      - channels: [ops]                      # no match = every alert
    silences:
      - match: {tenant: acme}
        from: 2026-12-24T00:00:00Z
        until: 2026-12-27T00:00:00Z
        reason: holidays

All fields are in README.md. Secrets are named, never written.
"""

from pathlib import Path
from urllib.parse import urlsplit

from waterline.connectors.notifiers.routes import Kind, Match, Route, Routes, Secret, Silence, Spec, Storm
from waterline.connectors.notifiers.yaml_reader import Node, ask, meant
from waterline.schemas.alerts import Severity
from waterline.schemas.errors import ErrorCode, Permanent
from waterline.schemas.yaml_lines import Mistake, Unreadable, compose

TOP = ("channels", "routes", "silences", "fallback", "failing_after", "external_url", "decision_url")
SHARED = ("kind", "storm", "per_second", "at_once", "timeout")
SECRETS = {Kind.SLACK: ("webhook", "token"), Kind.PAGERDUTY: ("routing_key",), Kind.WEBHOOK: ("secret",)}
PLAIN = {Kind.SLACK: ("channel", "api_url"), Kind.PAGERDUTY: ("url", "source"), Kind.WEBHOOK: ("url",)}
URLS = ("url", "api_url")
NEEDED = {Kind.SLACK: (), Kind.PAGERDUTY: ("routing_key",), Kind.WEBHOOK: ("url",)}
DEFAULTS = {Kind.SLACK: (Storm(), 1.0, 1), Kind.PAGERDUTY: (None, 0.0, 4), Kind.WEBHOOK: (None, 0.0, 4)}
"""storm, messages a second, requests at once. Slack takes one message a second and channel."""
DAY_S = 86400.0
NO_WORDS: tuple[str, ...] = ()
NO_NODES: list[Node] = []
NO_FIELDS: dict[str, Node] = {}


def read(path: Path) -> Routes:
    """Raises Permanent with every mistake, one a line: file, line, field and what to write."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise Permanent(ErrorCode.INVALID_PARAMETER, f"routes file {path}: {error.strerror}") from error
    return parse(text, str(path))


def parse(text: bytes, file: str = "routes") -> Routes:
    found: list[Mistake] = []
    try:
        if (root := compose(text, "routes", "this is no YAML")) is None:
            raise Unreadable(1, "the file is empty")
        routes = _routes(Node(found, root))
    except Unreadable as unreadable:
        found, routes = [unreadable.mistake], Routes()
    if found:
        raise Permanent(ErrorCode.INVALID_PARAMETER, "\n".join(f"{file}:{one.line}: {one.what}" for one in found))
    return routes


def _routes(root: Node) -> Routes:
    found = root.mapping(TOP, ("channels", "routes"))
    channels = ask(found, "channels", lambda node: node.mapping(), NO_FIELDS)
    names = list(channels)
    fallback = ask(found, "fallback", Node.text, "")
    if fallback and fallback not in names:
        found["fallback"].wrong(f"there is no channel {fallback!r}, {meant(fallback, names)}")
    specs = [spec for name, node in channels.items() if (spec := _spec(name, node))]
    routes = [_route(node, number, names) for number, node in enumerate(ask(found, "routes", Node.items, NO_NODES), 1)]
    return Routes(
        channels={spec.name: spec for spec in specs},
        routes=routes,
        silences=[silence for node in ask(found, "silences", Node.items, NO_NODES) if (silence := _silence(node))],
        fallback=fallback,
        failing_after_s=ask(found, "failing_after", lambda node: node.duration(1, DAY_S, 300), 300.0),
        external_url=ask(found, "external_url", _url, ""),
        decision_url=ask(found, "decision_url", _url, ""),
    )


def _spec(name: str, node: Node) -> Spec | None:
    kind_node = node.mapping().get("kind")
    kinds = [kind.value for kind in Kind]
    if kind_node is None:
        node.wrong(f"'kind' is missing: {', '.join(kinds)}")
        return None
    if kind_node.scalar not in kinds:
        kind_node.wrong(f"{kind_node.shown} is no kind of channel, {meant(kind_node.scalar or '', kinds)}")
        return None
    kind = Kind(kind_node.scalar)
    before = len(node.found)
    found = node.mapping((*SHARED, *SECRETS[kind], *PLAIN[kind]), NEEDED[kind])
    options: dict[str, str | Secret] = {one: Secret(found[one].variable()) for one in SECRETS[kind] if one in found}
    options |= {one: _option(one, found[one]) for one in PLAIN[kind] if one in found}
    if kind is Kind.SLACK and len(node.found) == before:
        _check_slack(node, set(options))
    storm, per_second, at_once = DEFAULTS[kind]
    return Spec(
        name,
        kind,
        options,
        ask(found, "storm", lambda node: _storm(node, kind), storm),
        ask(found, "per_second", lambda node: node.number(0, 1000, per_second), per_second),
        int(ask(found, "at_once", lambda node: node.number(1, 32, at_once), float(at_once))),
        ask(found, "timeout", lambda node: node.duration(0.1, 60, 10), 10.0),
    )


def _option(name: str, node: Node) -> str | Secret:
    if (node.scalar or "").startswith("env:"):
        return Secret(node.variable())
    return _url(node) if name in URLS else node.text()


def _url(node: Node) -> str:
    text = node.text()
    if text and (urlsplit(text).scheme not in ("http", "https") or not urlsplit(text).hostname):
        node.wrong("a URL that begins with http:// or https:// is wanted")
    return text


def _check_slack(node: Node, options: set[str]) -> None:
    if "webhook" in options and options & {"token", "channel", "api_url"}:
        node.wrong("either 'webhook', or 'token' and 'channel': which is meant?")
    elif "webhook" not in options and not {"token", "channel"} <= options:
        node.wrong("'webhook' is missing (or 'token' and 'channel', of a bot)")


def _storm(node: Node, kind: Kind) -> Storm | None:
    if node.scalar == "none":
        return None
    if kind is Kind.PAGERDUTY:
        node.wrong("PagerDuty groups by itself, and an alert told only as a number would open no incident: leave 'storm' out")
        return None
    found = node.mapping(("by", "every"))
    return Storm(ask(found, "by", Node.words, Storm().by), ask(found, "every", lambda every: every.duration(1, DAY_S, 60), 60.0))


def _route(node: Node, number: int, names: list[str]) -> Route:
    found = node.mapping(("name", "match", "channels", "continue"), ("channels",))
    channels = ask(found, "channels", Node.words, NO_WORDS)
    for channel in channels:
        if channel and channel not in names:
            found["channels"].wrong(f"there is no channel {channel!r}, {meant(channel, names)}")
    return Route(
        ask(found, "name", Node.text, f"route {number}"),
        ask(found, "match", _match, Match()),
        channels,
        ask(found, "continue", Node.flag, False),
    )


def _match(node: Node) -> Match:
    found = node.mapping(("tenant", "rule", "severity", "group"))
    severities = [severity.value for severity in Severity]
    wanted = ask(found, "severity", Node.words, NO_WORDS)
    for word in wanted:
        if word and word not in severities:
            found["severity"].wrong(f"{word!r} is no severity, {meant(word, severities)}")
    group = ask(found, "group", lambda node: node.mapping(), NO_FIELDS)
    return Match(
        ask(found, "tenant", Node.words, NO_WORDS),
        ask(found, "rule", Node.words, NO_WORDS),
        wanted,
        {name: None if value.null else value.words() for name, value in group.items()},
    )


def _silence(node: Node) -> Silence | None:
    found = node.mapping(("match", "from", "until", "reason"), ("match", "from", "until"))
    since, until = ask(found, "from", Node.moment, None), ask(found, "until", Node.moment, None)
    if since is None or until is None or "match" not in found:
        return None
    if until <= since:
        found["until"].wrong("is not after 'from', so it silences nothing")
    return Silence(_match(found["match"]), since, until, ask(found, "reason", Node.text, ""))
