"""`waterline replay-runs`: recorded agent runs, told to a collector as the agents themselves would have."""

import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from confluent_kafka import KafkaException
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from waterline import reach
from waterline.replay import send
from waterline.replay.door import Door, Refused
from waterline.replay.recording import Run, packaged_runs
from waterline.replay.reduce import read_runs
from waterline.replay.schedule import items_in_order, lay_out, windows
from waterline.replay.telemetry import Item, route_of
from waterline.replay.ticks import Ticks
from waterline.schemas.settings import Settings, settings

DAY = timedelta(days=1)
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def register(app: typer.Typer) -> None:
    app.command(name="replay-runs")(replay_runs)


def replay_runs(
    files: Annotated[list[Path] | None, typer.Argument(help="recordings to replay; none = the 250 runs that come along")] = None,
    endpoint: Annotated[str, typer.Option(help="the collector; default: this machine's, from the settings")] = "",
    key: Annotated[str, typer.Option(envvar="WATERLINE_KEY", help="API key; it decides the tenant")] = "",
    start: Annotated[str, typer.Option(help="when the first run begins, ISO 8601; default: 30 days ago")] = "",
    spacing: Annotated[str, typer.Option(help="between two runs: 90s, 10m, 3h; default: so that they fill the time")] = "",
    speed: Annotated[float, typer.Option(min=0, help="seconds of event time per second; 0 = as fast as it goes")] = 0.0,
    limit: Annotated[int, typer.Option(min=0, help="only the first so many runs; 0 = all")] = 0,
    seed: Annotated[int, typer.Option(help="of the rules that make up what the recording lacks")] = 7,
    ticks: Annotated[bool, typer.Option(help="tell event time through Kafka, so that decisions close")] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print what would be sent, and send nothing")] = False,
) -> None:
    """Replay recorded agent runs as telemetry: by OpenTelemetry's exporter, as plain events, and as LiteLLM's callback."""
    console = Console()
    try:
        runs = load(files or [], limit)
        began = moment(start) if start else None
        first, gap = lay_out(len(runs), datetime.now(UTC), began, duration(spacing) if spacing else None)
        items = items_in_order(runs, first, gap, seed)
        if dry_run:
            show(console, runs, items, send.by_route(items))
            return
        if not endpoint:
            reach.listens(settings(), reach.COLLECTOR)
        if ticks:
            reach.kafka(settings())
        accepted = replay(items, endpoint or local_endpoint(settings()), key, speed, settings(), ticks, console)
    except (ValueError, OSError, Refused, KafkaException) as error:
        console.print(f"[red]replay-runs:[/] {error}", highlight=False)
        raise typer.Exit(1) from error
    show(console, runs, items, accepted)


def replay(
    items: Sequence[Item], endpoint: str, key: str, speed: float, config: Settings, ticks: bool, console: Console
) -> Counter[str]:
    """Send everything and return the events accepted by route. Raises `Refused` or `KafkaException`."""
    length = timedelta(seconds=speed) if speed else DAY
    columns = (TextColumn("sending"), BarColumn(), MofNCompleteColumn(), TextColumn("events"), TimeRemainingColumn())
    with Door(endpoint, key) as door, Progress(*columns, console=console, transient=True) as bar:
        sender = send.Sender(door, event_time(config) if ticks else None)
        task = bar.add_task("", total=len(items))
        sender.send(
            windows(items, length),
            timedelta(seconds=config.decision_grace_s + 1),
            speed,
            lambda count: bar.advance(task, count),
        )
        return sender.accepted


def event_time(config: Settings) -> Ticks:
    """Raises `Refused` when Kafka is out of reach."""
    try:
        return Ticks(config)
    except KafkaException as error:
        advice = "set WATERLINE_KAFKA, or use --no-ticks and let decisions stay open"
        raise Refused(f"no event time can be told, Kafka at {config.kafka} says {error.args[0].str()}: {advice}") from error


def load(files: Sequence[Path], limit: int) -> list[Run]:
    """The runs of `files`, or the packaged ones. Raises `ValueError` or `OSError`, naming the file."""
    runs = [run for file in files for run in read_runs(file)] if files else packaged_runs()
    return runs[:limit] if limit else runs


def show(console: Console, runs: Sequence[Run], items: Sequence[Item], accepted: Counter[str]) -> None:
    """What was sent, by route and by kind."""
    by_route, kinds = Counter(route_of(run).value for run in runs), send.by_kind(items)
    table = Table("way in", "agent runs", "events", title=f"{len(runs)} runs, {len(items)} events", title_justify="left")
    for route, events in sorted(accepted.items()):
        table.add_row(ROUTES[route], str(by_route[route]), f"{events:,}")
    console.print(table)
    console.print(", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common()), highlight=False)


ROUTES = {
    "otlp": "OpenTelemetry SDK -> /v1/traces",
    "events": "plain events -> /v1/events",
    "litellm": "LiteLLM callback -> /v1/litellm",
}


def local_endpoint(config: Settings) -> str:
    return f"http://{config.collector_host}:{config.collector_port}"


def moment(text: str) -> datetime:
    """An ISO 8601 time; UTC where it names no offset. Raises `ValueError`."""
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def duration(text: str) -> timedelta:
    """`90`, `90s`, `10m`, `3h` or `2d`. Raises `ValueError`."""
    told = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text)
    if not told:
        raise ValueError(f"{text!r} is no duration: write 90s, 10m, 3h or 2d")
    return timedelta(**{UNITS[told[2] or "s"]: float(told[1])})
