"""`waterline rules`, `rules check`, `rules defaults`: what alerts are made by, in the file and in the processes that run."""

from pathlib import Path
from typing import Annotated, NoReturn

import typer
from msgspec import to_builtins

from waterline import show
from waterline.schemas.errors import Permanent, Transient
from waterline.schemas.settings import Settings, settings
from waterline.schemas.statusz import Followed
from waterline.streams.steps.rules import Rules

JUDGE = ("streams", "ruler")
"""the parts that work by rules"""

rules = typer.Typer(help="What to be told of: the rules and budgets that alerts are made by.")


def register(app: typer.Typer) -> None:
    app.add_typer(rules, name="rules")


@rules.callback(invoke_without_command=True)
def in_force(context: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="for machines")] = False) -> None:
    """Show the rules of WATERLINE_RULES_FILE, or the default ones; and whether the stack that runs works by them."""
    from waterline.streams import rules_file

    if context.invoked_subcommand:
        return
    config = settings()
    running, named = _running(config), config.rules_file
    try:
        found = rules_file.load(Path(named).expanduser()) if named else rules_file.default()
    except Permanent:
        for line in _in_force("", running):
            typer.echo(line, err=True)
        raise
    _show(found, named or "the default rules", as_json, running)


@rules.command()
def check(
    file: Annotated[Path, typer.Argument(help="a rules file")],
    as_json: Annotated[bool, typer.Option("--json", help="for machines")] = False,
) -> None:
    """Tell every mistake of a rules file, and what to write instead; exit 1 when there is one. Its questions are tried at the
    ClickHouse that the settings name, or the stack that runs."""
    from waterline.streams import rules_file

    try:
        found = rules_file.load(file)
    except Permanent as error:
        _refuse(error.reason.splitlines(), "a worker would not take this file", as_json)
    lines, untried = _tried(found, file)
    if lines:
        _refuse(lines, "these rules would never be judged", as_json)
    count = len(found.rules) + len(found.apart) + len(found.asked)
    left_out = _left_out(found)
    if as_json:
        counts = {"rules": count, "budgets": len(found.budgets), "canaries": len(found.canaries)}
        counts |= {"baselines": len(found.baselines)}
        more = {"defaults_left_out": left_out, "questions_not_tried": untried}
        typer.echo(show.as_json({"ok": True, "version": found.version} | counts | more))
        return
    canaries = f" and {_count(len(found.canaries), 'canary plan')}" if found.canaries else ""
    counted = f"{_count(count, 'rule')} and {_count(len(found.budgets), 'budget')}{canaries}"
    typer.echo(f"{file}: {counted}, no mistake; version {found.version}")
    for line in (_lost(left_out), untried):
        if line:
            typer.echo(line)


@rules.command()
def defaults() -> None:
    """Print the default rules file, to start one's own from."""
    from waterline.streams import rules_file

    typer.echo(rules_file.DEFAULT.read_text("utf-8"), nl=False)


def _refuse(lines: list[str], what: str, as_json: bool) -> NoReturn:
    if as_json:
        typer.echo(show.as_json({"ok": False, "mistakes": lines}))
    else:
        typer.echo("\n".join(lines), err=True)
        typer.echo(f"{_count(len(lines), 'mistake')}; {what}", err=True)
    raise typer.Exit(1)


def _tried(found: Rules, file: Path) -> tuple[list[str], str]:
    """The questions that cannot be asked, a line each; and why they were not tried, if so."""
    from waterline import reach
    from waterline.ruler import trial

    if not found.asked:
        return [], ""
    try:
        with reach.store(settings()) as client:
            return trial.mistakes(client, found, file.parent), ""
    except Transient as error:
        return [], f"{_count(len(found.asked), 'question')} not tried: {error.reason}"


def _left_out(found: Rules) -> list[str]:
    """Default rules that a file has no rule of the name of: it takes the place of all of them."""
    from waterline.streams import rules_file
    from waterline.streams.rules_page import all_of

    named = {rule.name for rule in all_of(found)}
    return [rule.name for rule in all_of(rules_file.default()) if rule.name not in named]


def _lost(left_out: list[str]) -> str:
    from waterline.streams import rules_file
    from waterline.streams.rules_page import all_of

    count = len(all_of(rules_file.default()))
    verb = "is" if len(left_out) == 1 else "are"
    return f"{len(left_out)} of the {count} default rules {verb} not in this file: {', '.join(left_out)}" if left_out else ""


def _running(config: Settings) -> dict[str, Followed]:
    """The rules by which the parts of the stack work that runs on the data directory; of parts that answer."""
    from waterline.stack import health, state

    running = state.running(config.data_dir)
    told = {part.name: health.statusz(part.ready_url) for part in (running.parts if running else []) if part.name in JUDGE}
    return {name: one for name, said in told.items() if said for one in said.followed if one.what == "rules"}


def _in_force(version: str, running: dict[str, Followed]) -> list[str]:
    """What is to be said of parts that run beside a file of this version."""
    same = [name for name, one in running.items() if one.version == version]
    lines = [f"in force in {' and '.join(same)}"] if same else []
    for name, one in running.items():
        if one.version != version:
            taken = f"version {one.version} of {one.file or 'the default rules'}, taken {one.since:%Y-%m-%d %H:%M:%S} UTC"
            refused = f"; the file is refused since {one.refused_since:%Y-%m-%d %H:%M:%S} UTC" if one.refused_since else ""
            lines.append(f"{name} works by other rules: {taken}{refused}")
    return lines


def _show(found: Rules, where: str, as_json: bool, running: dict[str, Followed]) -> None:
    from waterline.streams.rules_page import all_of, baseline_sentence, budget_sentence, canary_sentence, fields_of, sentence

    every = all_of(found)
    if as_json:
        told = [fields_of(rule) for rule in every]
        budgets = [{"budget": budget.name, "limit": budget_sentence(budget)} for budget in found.budgets]
        canaries = [{"canary": plan.name, "plan": canary_sentence(plan)} for plan in found.canaries]
        everything: dict[str, object] = {
            "from": where,
            "version": found.version,
            "rules": told,
            "budgets": budgets,
            "canaries": canaries,
        }
        everything["baselines"] = [baseline_sentence(pin) for pin in found.baselines]
        everything["defaults_left_out"] = _left_out(found)
        in_force = {name: to_builtins(one) for name, one in running.items()}
        typer.echo(show.as_json(everything | {"in_force": in_force}))
        return
    console = show.console()
    rows = [[rule.name, rule.severity.value, sentence(rule), rule.meaning] for rule in every]
    if rows:
        show.print_table(console, ["rule", "severity", "fires when", "meaning"], rows)
    if found.budgets:
        console.print()
        limits = [[budget.name, budget.severity.value, budget_sentence(budget)] for budget in found.budgets]
        show.print_table(console, ["budget", "severity", "limit"], limits)
    if found.canaries:
        console.print()
        show.print_table(console, ["canary", "plan"], [[plan.name, canary_sentence(plan)] for plan in found.canaries])
    if found.baselines:
        console.print()
        show.print_table(console, ["drift is told of"], [[baseline_sentence(pin)] for pin in found.baselines])
    counts = f"{_count(len(every), 'rule')}, {_count(len(found.budgets), 'budget')}"
    console.print(f"[dim]{counts}; from {where}, version {found.version}[/]", highlight=False)
    for line in (_lost(_left_out(found)), *_in_force(found.version, running)):
        if line:
            console.print(line, highlight=False, markup=False, soft_wrap=True)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
