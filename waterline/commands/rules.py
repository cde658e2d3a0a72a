"""`waterline rules`, `rules check`, `rules defaults`: what alerts are made by."""

from pathlib import Path
from typing import Annotated

import typer

from waterline import show
from waterline.schemas.errors import Permanent
from waterline.schemas.settings import settings
from waterline.streams.steps.rules import Rules

rules = typer.Typer(help="What to be told of: the rules and budgets that alerts are made by.")


def register(app: typer.Typer) -> None:
    app.add_typer(rules, name="rules")


@rules.callback(invoke_without_command=True)
def in_force(context: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="for machines")] = False) -> None:
    """Show the rules in force: those of WATERLINE_RULES_FILE, or the default ones."""
    from waterline.streams import rules_file

    if context.invoked_subcommand:
        return
    named = settings().rules_file
    found = rules_file.load(Path(named).expanduser()) if named else rules_file.default()
    _show(found, named or "the default rules", as_json)


@rules.command()
def check(
    file: Annotated[Path, typer.Argument(help="a rules file")],
    as_json: Annotated[bool, typer.Option("--json", help="for machines")] = False,
) -> None:
    """Tell every mistake of a rules file, and what to write instead; exit 1 when there is one."""
    from waterline.streams import rules_file

    try:
        found = rules_file.load(file)
    except Permanent as error:
        lines = error.reason.splitlines()
        if as_json:
            typer.echo(show.as_json({"ok": False, "mistakes": lines}))
        else:
            typer.echo("\n".join(lines), err=True)
            typer.echo(f"{_count(len(lines), 'mistake')}; a worker would not take this file", err=True)
        raise typer.Exit(1) from error
    count = len(found.rules) + len(found.apart) + len(found.asked)
    if as_json:
        counts = {"rules": count, "budgets": len(found.budgets), "canaries": len(found.canaries)}
        counts |= {"baselines": len(found.baselines)}
        typer.echo(show.as_json({"ok": True, "version": found.version} | counts))
    else:
        canaries = f" and {_count(len(found.canaries), 'canary plan')}" if found.canaries else ""
        counted = f"{_count(count, 'rule')} and {_count(len(found.budgets), 'budget')}{canaries}"
        typer.echo(f"{file}: {counted}, no mistake; version {found.version}")


@rules.command()
def defaults() -> None:
    """Print the default rules file, to start one's own from."""
    from waterline.streams import rules_file

    typer.echo(rules_file.DEFAULT.read_text("utf-8"), nl=False)


def _show(found: Rules, where: str, as_json: bool) -> None:
    from waterline.streams.rules_page import all_of, baseline_sentence, budget_sentence, canary_sentence, fields_of, sentence

    every = all_of(found)
    if as_json:
        told = [fields_of(rule) for rule in every]
        budgets = [{"budget": budget.name, "limit": budget_sentence(budget)} for budget in found.budgets]
        canaries = [{"canary": plan.name, "plan": canary_sentence(plan)} for plan in found.canaries]
        everything = {"from": where, "version": found.version, "rules": told, "budgets": budgets, "canaries": canaries}
        everything["baselines"] = [baseline_sentence(pin) for pin in found.baselines]
        typer.echo(show.as_json(everything))
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


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
