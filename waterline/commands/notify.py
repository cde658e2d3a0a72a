"""`waterline notify test | routes | acknowledge | receive`: where alerts go, and whether they would arrive."""

import os
import signal
import threading
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from msgspec.structs import replace
from rich.console import Console

from waterline import reach, show
from waterline.connectors.notifiers import routes_file, trial
from waterline.connectors.notifiers.channels import build, missing
from waterline.connectors.notifiers.receiver import Message, Receiver
from waterline.connectors.notifiers.routes import Kind, Match, Routes
from waterline.schemas.alerts import AlertTransition, Severity, alert_id
from waterline.schemas.errors import ErrorCode, Permanent
from waterline.schemas.settings import Settings

OUT = Console(highlight=False, soft_wrap=True)

File = Annotated[Path | None, typer.Option("--file", help="the routes file; default: the setting routes_file")]


def register(app: typer.Typer) -> None:
    commands = typer.Typer(help="Where alerts go: test a channel, show the routes, receive here.", no_args_is_help=True)
    commands.command(name="test")(send_test)
    for command in (routes, acknowledge, receive):
        commands.command()(command)
    app.add_typer(commands, name="notify")


def send_test(
    name: Annotated[str, typer.Argument(metavar="ROUTE|CHANNEL", help="a name in the routes file")],
    severity: Annotated[Severity, typer.Option(help="of the test alert")] = Severity.INFO,
    file: File = None,
) -> None:
    """Send a test alert that fires and ends, and say what came back. Secrets are taken from this environment."""
    found = _read(file)
    good = True
    for one in _channels(found, name):
        with closing(build(found.channels[one], found, os.environ)) as channel:
            for outcome in trial.run(channel, trial.alert(severity=severity)):
                good = good and outcome.good
                said = f"answered {outcome.status}" if outcome.status else "no answer"
                mark = "ok  " if outcome.good else "FAIL"
                OUT.print(f"{mark} {one}: {outcome.what}: {said} in {outcome.seconds * 1000:.0f} ms {outcome.said}".rstrip())
                if outcome.advice:
                    OUT.print(f"     {outcome.advice}")
    if not good:
        raise typer.Exit(1)


def routes(
    tenant: Annotated[str | None, typer.Option(help="where an alert of this tenant goes")] = None,
    rule: Annotated[str | None, typer.Option(help="... of this rule")] = None,
    severity: Annotated[Severity | None, typer.Option(help="... of this severity")] = None,
    group: Annotated[list[str] | None, typer.Option(help="... with this label, name=value; can be given again")] = None,
    file: File = None,
) -> None:
    """Check the routes file and show what goes where; with options, where one such alert goes."""
    found = _read(file)
    if tenant is None and rule is None and severity is None and not group:
        _show(found)
        return
    labels = dict(one.partition("=")[::2] for one in group or [])
    asked = trial.alert(tenant or "", rule or "", severity or Severity.WARNING)
    asked = replace(asked, group=labels, alert_id=alert_id(asked.tenant, asked.rule, labels))
    silence = found.silence(asked, datetime.now(UTC))
    for route in found.matching(asked):
        OUT.print(f"{route.name}: {', '.join(route.channels)}")
    if not found.channels_of(asked):
        OUT.print("no route matches: it is told to nobody, and its receipt says unrouted")
    elif silence:
        OUT.print(f"silenced until {silence.until:%Y-%m-%d %H:%M:%S} UTC{f': {silence.reason}' if silence.reason else ''}")


def acknowledge(
    alert: Annotated[str, typer.Argument(metavar="ALERT_ID", help="as in the table alerts")],
    file: File = None,
) -> None:
    """Tell PagerDuty that somebody looks after an alert, so that it escalates no further."""
    found = _read(file)
    pagers = [spec for spec in found.channels.values() if spec.kind is Kind.PAGERDUTY]
    if not pagers:
        raise Permanent(ErrorCode.NOT_FOUND, "the routes file has no channel of kind pagerduty; the others cannot acknowledge")
    told = _find(alert)
    for spec in pagers:
        with closing(build(spec, found, os.environ)) as channel:
            receipt = channel.acknowledge(told)  # type: ignore[attr-defined]
        OUT.print(f"{spec.name}: answered {receipt.status} for dedup_key {receipt.name}")


def receive(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 = any that is free")] = 9470,
    secret: Annotated[str, typer.Option(metavar="env:NAME", help="the variable with the secret of signatures")] = "",
) -> None:
    """Print what channels send here, until Ctrl-C: /slack, /api/ (Slack's bot), /v2/enqueue (PagerDuty), else a webhook."""
    variable = secret.removeprefix("env:")
    if secret and not (secret.startswith("env:") and os.environ.get(variable)):
        raise Permanent(ErrorCode.INVALID_PARAMETER, "--secret names a variable that is set, as env:NAME")
    try:
        receiver = Receiver(port, secret=os.environ[variable] if secret else "", heard=_heard)
    except OSError as error:
        why = f"cannot listen on 127.0.0.1:{port}: {error.strerror}; --port 0 takes one that is free"
        raise Permanent(ErrorCode.INVALID_PARAMETER, why) from error
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with receiver:
        OUT.print(f"listening on {receiver.url}")
        stop.wait()
        OUT.print(f"{len(receiver.messages)} messages")


def _heard(message: Message) -> None:
    genuine = {None: "", True: ", signature holds", False: ", SIGNATURE DOES NOT HOLD"}[message.genuine]
    when = time.strftime("%H:%M:%S", time.localtime(message.at))
    OUT.print(f"{when} {message.kind} {message.answered}{genuine}\n    {message.text}", markup=False)


def _read(file: Path | None) -> Routes:
    named = Settings().routes_file
    if file is None and not named:
        advice = "WATERLINE_ROUTES_FILE or --file names it; connectors/notifiers/README.md says what it holds"
        raise Permanent(ErrorCode.NOT_FOUND, f"there is no routes file: {advice}")
    return routes_file.read(file or Path(named))


def _channels(found: Routes, name: str) -> list[str]:
    if name in found.channels:
        return [name]
    for route in found.routes:
        if route.name == name:
            return list(route.channels)
    names = ", ".join([*found.channels, *(route.name for route in found.routes)])
    raise Permanent(ErrorCode.NOT_FOUND, f"there is no channel and no route {name!r}; there are {names}")


def _find(alert: str) -> AlertTransition:
    """What PagerDuty knows it by: tenant, rule, group."""
    sql = "SELECT tenant, rule, `group` FROM alerts WHERE alert_id = {alert:String}"
    with reach.store(Settings()) as client:
        rows = client.query(sql, parameters={"alert": alert}).result_rows
    if not rows:
        raise Permanent(ErrorCode.NOT_FOUND, f"there is no alert {alert!r}; `waterline sql 'SELECT * FROM alerts'` lists them")
    tenant, rule, group = rows[0]
    return replace(trial.alert(tenant, rule), group=dict(group), alert_id=alert)


def _show(found: Routes) -> None:
    now = datetime.now(UTC)
    rows = []
    for spec in found.channels.values():
        absent = missing(spec, os.environ)
        storm = (
            f"one message each {spec.storm.every_s:.0f} s by {', '.join(spec.storm.by)}" if spec.storm else "each alert by itself"
        )
        notes = ["fallback"] if spec.name == found.fallback else []
        notes += [f"{' and '.join(absent)} not set here"] if absent else []
        rows.append([spec.name, spec.kind.value, storm, ", ".join(notes) or "-"])
    show.print_table(show.console(), ["channel", "kind", "storms", "notes"], rows)
    table = [
        [route.name, _said(route.match), ", ".join(route.channels), "goes on" if route.go_on else "decides"]
        for route in found.routes
    ]
    show.print_table(show.console(), ["route", "alerts", "channels", "then"], table)
    for silence in found.silences:
        if silence.until > now:
            begins = "silenced now" if silence.since <= now else f"silenced from {silence.since:%Y-%m-%d %H:%M:%S}"
            OUT.print(f"{begins} until {silence.until:%Y-%m-%d %H:%M:%S} UTC: {_said(silence.match)} {silence.reason}".rstrip())


def _said(match: Match) -> str:
    parts = [f"{name} {' or '.join(getattr(match, name))}" for name in ("tenant", "rule", "severity") if getattr(match, name)]
    parts += [f"no {name}" if values is None else f"{name} {' or '.join(values)}" for name, values in match.group.items()]
    return ", ".join(parts) or "all"
