"""`waterline demo`: the whole pipeline on this machine, fed with recorded agent runs, asked, proven, and stopped again."""

import shlex
import shutil
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from clickhouse_connect.driver.client import Client
from confluent_kafka import KafkaException
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from waterline import demo_alerts, show
from waterline.commands.replay_runs import load, replay
from waterline.commands.verify import show_proof
from waterline.connectors.notifiers.receiver import Receiver
from waterline.connectors.stores.clickhouse import questions
from waterline.connectors.stores.clickhouse.client import connect
from waterline.proof import Kafka, prove
from waterline.replay.door import Refused
from waterline.replay.recording import Run, counts
from waterline.replay.schedule import AFTERMATH, items_in_order, lay_out
from waterline.replay.telemetry import AGENT, Item
from waterline.schemas.errors import WaterlineError
from waterline.schemas.settings import Settings
from waterline.stack import Stack, StackError, state
from waterline.streams import prices

MARK = "demo"
"""A file in the demo's data directory that says it may be thrown away."""
SETTLE_S, PROOF_S, LOOK_AGAIN_S = 60.0, 30.0, 0.25
BUSY, MINUTE = 150, timedelta(minutes=1)
"""Runs of the busy day that the demo makes up, and the time between their starts."""
WIDTH = 160
"""Columns when the output is no terminal."""

NEXT = """
[bold]What next[/]  The data of this demo stays in {home}. Each of these lines can be pasted as it is.
start the pipeline on it, and leave it running:
    {waterline} up --detach{there}
ask; the second line lists what can be asked:
    {waterline} ask sessions{there}
    {waterline} questions
    {waterline} ask decision_calls -p {decision}{there}
send an event of your own, and the runs once more; a copy of what is there is not stored again:
    curl {collector}/v1/events -d '{{"kind":"tool_call","ts":"{now}","agent":"mine","tool":"search","decision_key":"d-1"}}'
    {waterline} replay-runs{there}
prove again that nothing was lost, and end it:
    {waterline} verify completeness --wait 30{there}
    {waterline} down{there}
An agent that speaks OpenTelemetry needs no more than OTEL_EXPORTER_OTLP_ENDPOINT={collector}
"""


class Failed(Exception):
    """The demo ran, and what came out is not what went in. The text says what."""


def register(app: typer.Typer) -> None:
    app.command()(demo)


def demo(
    files: Annotated[list[Path] | None, typer.Argument(help="recordings to use; none = the 250 runs that come along")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="where the demo keeps its data; default .waterline/demo")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="go on with the data of the last demo")] = False,
    seed: Annotated[int, typer.Option(help="of the rules that make up what the recording lacks")] = 7,
) -> None:
    """Send recorded agent runs through the whole pipeline, count what arrived, ask questions, and prove nothing was lost."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH
    began = time.monotonic()
    home = (data_dir or Settings().data_dir / "demo").absolute()

    def say(line: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:6.1f} s[/]  {line}")

    def fetched(done: int, total: int, _name: str) -> None:
        if done % 10 == 0 or done == total:
            say(f"kafka: {done} of {total} jars at hand")

    try:
        runs = load(files or [], 0)
        clear(home, keep)
        with demo_alerts.receiving(home, Settings()) as (receiver, config):
            with Stack(home, settings=config, free_ports=True, report=say, progress=fetched) as stack:
                say(f"prices: {len(prices.publish(stack.settings, datetime.now(UTC))):,} published")
                decision = play(stack, runs, seed, receiver, console)
            say("[green]the demo holds[/]: every count is the recording's own, nothing is missing, nothing is there twice")
        say("everything is stopped")
    except (Failed, StackError, state.InUse, Refused, KafkaException, WaterlineError, ValueError, OSError) as error:
        why = error.reason if isinstance(error, WaterlineError) else str(error)
        console.print(f"[bold red]demo:[/] {escape(why)}", highlight=False, soft_wrap=True)
        raise typer.Exit(1) from error
    usual, now = Settings(), datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    told = NEXT.format(
        home=escape(str(home)),
        waterline=escape(as_called(sys.argv[0])),
        there=escape(f" --data-dir {shlex.quote(from_here(home))}"),
        decision=escape(shlex.quote(f"decision={decision}")),
        collector=f"http://{usual.collector_host}:{usual.collector_port}",
        now=now,
    )
    console.print(told, soft_wrap=True)


def as_called(program: str) -> str:
    """What to type in this shell to run this program again."""
    path = Path(program)
    if path.suffix == ".py":
        return f"{shlex.quote(from_here(Path(sys.executable)))} -m waterline"
    if (found := shutil.which(path.name)) and Path(found).absolute() == path.absolute():
        return path.name
    return shlex.quote(from_here(path.absolute()))


def from_here(path: Path) -> str:
    """A path from the current directory when it lies below, else the whole."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def clear(home: Path, keep: bool) -> None:
    """An empty directory for the demo. Raises `Failed` rather than throw away what is not its own."""
    if state.running(home):
        raise Failed(f"a stack runs on {home}; end it with `waterline down{state.option(home)}`, or use another --data-dir")
    if home.exists() and any(home.iterdir()) and not keep:
        if not (home / MARK).exists():
            raise Failed(f"{home} holds something that no demo made; use another --data-dir, or --keep to add to it")
        shutil.rmtree(home)
    home.mkdir(parents=True, exist_ok=True)
    (home / MARK).write_text("Made by `waterline demo`, which empties this directory when it runs again.\n")


def laid_out(runs: Sequence[Run], seed: int, now: datetime) -> list[Item]:
    """The last runs one a minute from a full hour on, as if the agent were busy today; those before over the month before."""
    busy = min(len(runs), BUSY)
    today = (now - AFTERMATH - busy * MINUTE).replace(minute=0, second=0, microsecond=0)
    before = runs[: len(runs) - busy]
    past = items_in_order(before, *lay_out(len(before), today, None, None), seed=seed) if before else []
    return past + items_in_order(runs[len(before) :], today, MINUTE, seed=seed)


def play(stack: Stack, runs: Sequence[Run], seed: int, receiver: Receiver, console: Console) -> str:
    """Send, settle, show and prove. Returns the business id of the dearest decision. Raises `Failed`."""
    items = laid_out(runs, seed, datetime.now(UTC))
    sent = replay(items, stack.collector_url, "", 0.0, stack.settings, True, console)
    routes = ", ".join(f"{number:,} by {route}" for route, number in sorted(sent.items()))
    console.print(f"\n[bold]{len(runs)} recorded runs, {len(items):,} events sent[/]: {routes}")
    recorded = counts(runs) | {"events": len(items)}
    with closing(connect(stack.settings)) as client:
        found = settle(stack, client, recorded, console)
        show_counts(console, recorded, found)
        decision = str(answer(client, "decision_cost", most="1").rows[0]["decision_id"])
        for name, parameters in (
            ("sessions", {}),
            ("agent_activity", {"agent": AGENT}),
            ("decision_cost", {"decision": decision}),
            ("completeness", {"topic": "agent.events"}),
        ):
            console.print()
            told = answer(client, name, **parameters)
            command = " ".join([name, *(f"-p {key}={value}" for key, value in parameters.items())])
            console.print(f"[dim]question {told.question.number}: waterline ask {command}[/]")
            console.print(f"[bold]{told.question.words}[/]")
            show.print_rows(console, told.columns, told.rows, told.question.units)
        with console.status("waiting for alerts"):
            due, messages = demo_alerts.settle(client, receiver)
        console.print(f"\n[bold]{len(messages)} messages of {due} came to the receiver that stands for Slack and PagerDuty[/]")
        demo_alerts.show(console, messages)
        wrong_alerts = demo_alerts.unlike(client, "alert_reconciliation")
        console.print(f"[dim]waterline ask alert_reconciliation:[/] {wrong_alerts} alerts differ from the raw events")
        wrong_drift = demo_alerts.drift(console, client, AGENT)
        facts, wrong_facts = demo_alerts.quality(client)
        console.print(f"[dim]waterline ask quality_reconciliation:[/] {wrong_facts} of {facts:,} facts about quality differ")
        with closing(Kafka(stack.settings)) as kafka, console.status("proving"):
            proof = prove(kafka, client, PROOF_S)
    console.print("\n[dim]waterline verify completeness[/]")
    show_proof(console, proof)
    if wrong := [name for name, number in recorded.items() if found.get(name) != (number, number)]:
        raise Failed(f"not as recorded: {', '.join(wrong)}; the logs are in {stack.settings.data_dir / 'logs'}")
    if len(messages) != due or wrong_alerts:
        raise Failed("not all alerts came, or they are not as the raw events; `waterline ask alert_deliveries` has the rest")
    if wrong_drift:
        raise Failed("what was told of drift is not as the raw events; `waterline ask drift_reconciliation` has the rows")
    if wrong_facts or not facts:
        raise Failed("what was told of quality is not as the raw events; `waterline ask quality_reconciliation` has the rest")
    if not proof.holds:
        raise Failed("the proof does not hold")
    return decision


Found = Mapping[str, tuple[int, int]]
"""What -> (as the streams concluded, counted again from the raw events)."""


def settle(stack: Stack, client: Client, recorded: Mapping[str, int], console: Console) -> Found:
    """Ask until everything that was sent is counted, for a minute at most; then what is counted. Raises `Failed`."""
    deadline = time.monotonic() + SETTLE_S
    with console.status("") as status:
        while True:
            rows = answer(client, "summary").rows
            found = {str(row["what"]): (int(row["by_streams"]), int(row["by_events"])) for row in rows}
            if all(found.get(name) == (number, number) for name, number in recorded.items()):
                return found
            if dead := [part.name for part in stack.parts if stack.state(part.name) == "failed"]:
                raise Failed(f"{', '.join(dead)} ended; see {stack.log(dead[0])}")
            if time.monotonic() > deadline:
                return found
            status.update(f"{found.get('events', (0, 0))[0]:,} of {recorded['events']:,} events are in their decisions")
            threading.Event().wait(LOOK_AGAIN_S)


def answer(client: Client, name: str, **parameters: str) -> questions.Answer:
    return questions.ask(client, questions.find(name, questions.load()), parameters)


def show_counts(console: Console, recorded: Mapping[str, int], found: Found) -> None:
    table = Table("", "recorded", "by streams", "by raw events", box=None, padding=(0, 2, 0, 0))
    for column in table.columns[1:]:
        column.justify = "right"
    for name, number in recorded.items():
        numbers = (number, *found.get(name, (0, 0)))
        table.add_row(name, *(f"{one:,}" if one == number else f"[bold red]{one:,}[/]" for one in numbers))
    console.print(table)
