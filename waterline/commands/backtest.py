"""`waterline backtest RULES`: what changed rules, prices or settings would have told of kept history."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from waterline import reach, show
from waterline.connectors.stores.clickhouse.values import read_time
from waterline.schemas.alerts import AlertTransition
from waterline.schemas.errors import ErrorCode, Permanent
from waterline.schemas.settings import settings

if TYPE_CHECKING:
    from waterline.backtest.run import Answer, Question

SHOWN = 3
"""windows of a cell"""
HINT = "nothing was changed: no record was produced, no row was written, nobody was notified"


def register(app: typer.Typer) -> None:
    app.command()(backtest)


def backtest(
    rules: Annotated[Path, typer.Argument(help="a rules file, changed or not")],
    since: Annotated[str, typer.Option("--from", help="ISO 8601, or as now-7d, today, yesterday")] = "now-7d",
    until: Annotated[str, typer.Option("--to", help="the same; excluded")] = "now",
    tenant: Annotated[str, typer.Option(help="only this tenant's events and alerts")] = "",
    prices: Annotated[Path | None, typer.Option(help="an override file: as if these prices had held all the time")] = None,
    warm_up: Annotated[str, typer.Option(help="read before --from, as 8d; default: as far as the rules look back")] = "",
    replay_step: Annotated[str, typer.Option(help="at which steps a replay told its time")] = "1d",
    as_json: Annotated[bool, typer.Option("--json", help="every transition of both sides, for machines")] = False,
) -> None:
    """Run rules over kept history and show what would have fired beside what did; WATERLINE_ settings apply. Changes nothing."""
    from waterline.backtest.run import Question, backtest
    from waterline.backtest.run import warm_up as needed
    from waterline.commands.replay_runs import duration
    from waterline.streams import rules_file

    if prices is not None and not prices.is_file():
        raise Permanent(ErrorCode.INVALID_PARAMETER, f"{prices}: there is no such file")
    loaded = rules_file.load(rules)
    try:
        begin, end = read_time(since), min(read_time(until), datetime.now(UTC))
        before = duration(warm_up) if warm_up else needed(loaded)
        step = duration(replay_step)
    except ValueError as error:
        raise Permanent(ErrorCode.INVALID_PARAMETER, str(error)) from error
    if begin >= end:
        reason = f"--from {begin:%Y-%m-%d %H:%M:%S} UTC is not before --to {end:%Y-%m-%d %H:%M:%S} UTC"
        raise Permanent(ErrorCode.INVALID_PARAMETER, reason)
    if not step:
        raise Permanent(ErrorCode.INVALID_PARAMETER, "--replay-step: a step of time takes more than nothing, as 60s or 1d")
    asked = Question(loaded, begin, end, tenant, before, step, prices)
    console = Console(stderr=True)
    columns = (TextColumn("folding"), BarColumn(), MofNCompleteColumn(), TextColumn("events"), TimeRemainingColumn())
    with reach.store(settings()) as client, Progress(*columns, console=console, transient=True, disable=as_json) as bar:
        task = bar.add_task("", total=None)
        answer = backtest(client, settings(), asked, lambda count, all_of: bar.update(task, completed=count, total=all_of))
    if as_json:
        typer.echo(show.as_json(told(asked, answer)))
    else:
        print_answer(show.console(), asked, answer)


def told(asked: "Question", answer: "Answer") -> dict[str, Any]:
    """What `--json` prints."""
    return {
        "from": asked.since,
        "to": asked.until,
        "rules_version": asked.rules.version,
        "events": answer.events,
        "warm_up_from": max(filter(None, (asked.since - asked.warm_up, answer.kept_since))),
        "rules": [msgspec.to_builtins(total) for total in answer.totals],
        "groups": [
            {
                "tenant": one.tenant,
                "rule": one.rule,
                "group": one.group,
                "both": _windows(one.both),
                "only_then": _windows(one.then),
                "only_now": _windows(one.now),
            }
            for one in answer.compared
        ],
        "then": [msgspec.to_builtins(one) for one in answer.then],
        "now": [msgspec.to_builtins(one) for one in answer.now],
        "cost_then": answer.cost_then,
        "cost_now": answer.cost_now,
    }


def print_answer(console: Console, asked: "Question", answer: "Answer") -> None:
    rows: list[list[show.Cell]] = []
    for one in answer.compared:
        group = " ".join(f"{name}={value}" for name, value in one.group.items())
        whose = [one.rule, *([one.tenant] if not asked.tenant else []), group]
        rows.append([*whose, str(one.fired), str(one.fires), *(_some(side) for side in (one.both, one.then, one.now))])
    head = ["rule", *(["tenant"] if not asked.tenant else []), "group", "fired", "would fire", "both", "only then", "only now"]
    if rows:
        show.print_table(console, head, rows)
        console.print()
    numbers = [[one.rule, *map(str, (one.fired, one.fires, one.both, one.then, one.now))] for one in answer.totals]
    show.print_table(console, ["in total", "fired", "would fire", "both", "only then", "only now"], numbers)
    if answer.cost_then is not None and answer.cost_now is not None:
        before, after = show.text(answer.cost_then), show.text(answer.cost_now)
        console.print(
            f"cost of decisions begun in that time: {before} USD as priced then, {after} USD by {asked.prices_file}",
            soft_wrap=True,
        )
    span = f"{asked.since:%Y-%m-%d %H:%M} to {asked.until:%Y-%m-%d %H:%M} UTC"
    console.print(f"[dim]{span}, {answer.events:,} events, rules {asked.rules.version}; {HINT}[/]", highlight=False)
    if asked.rules.asked:
        names = ", ".join(one.name for one in asked.rules.asked)
        console.print(f"[dim]not run here, since they ask the store as it is now: {names}[/]", highlight=False)
    if answer.kept_since is not None:
        kept = f"{answer.kept_since:%Y-%m-%d %H:%M}"
        console.print(
            f"[dim]nothing is kept from before {kept} UTC: what looks back further has less to go by[/]", highlight=False
        )


def _windows(told: Sequence[AlertTransition]) -> list[dict[str, Any]]:
    return [
        {"from": one.window_from, "to": one.window_to, "at": one.at, "value": one.value, "threshold": one.threshold}
        for one in told
    ]


def _some(told: Sequence[AlertTransition]) -> str:
    times = [f"{one.window_from or one.at:%m-%d %H:%M}" for one in told]
    return ", ".join(times[:SHOWN]) + (f" and {len(times) - SHOWN} more" if len(times) > SHOWN else "") or "-"
