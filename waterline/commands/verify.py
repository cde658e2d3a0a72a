"""`waterline verify completeness`: prove that nothing was lost or stored twice, or name where."""

from contextlib import closing
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console

from waterline import reach, show
from waterline.proof import Kafka, Proof, prove
from waterline.schemas.settings import settings

verify = typer.Typer(help="Prove what the store holds.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(verify, name="verify")


@verify.callback()
def _commands() -> None:
    pass


@verify.command()
def completeness(
    wait: Annotated[float, typer.Option(min=0, help="seconds to wait for what is in flight; then it is a problem")] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="for machines")] = False,
) -> None:
    """Compare Kafka's offsets with the ledger and the rows. Exit code 0: proven. 1: each gap is named."""
    console = Console(stderr=True)
    reach.kafka(settings())
    with closing(Kafka(settings())) as kafka, reach.store(settings()) as client:
        with console.status("asking Kafka and the store") as status:
            proof = prove(kafka, client, wait, lambda left: status.update(f"{left:,} offsets in flight"))
    if as_json:
        told = {"proven": proof.holds, "topics": proof.lines, "problems": [asdict(one) for one in proof.problems]}
        told |= {"never_read": proof.never_read, "not_read_yet": sum(proof.in_flight.values())}
        typer.echo(show.as_json(told))
    else:
        show_proof(show.console(), proof)
    if not proof.holds:
        raise typer.Exit(1)


def show_proof(console: Console, proof: Proof) -> None:
    columns = list(proof.lines[0]) if proof.lines else []
    show.print_rows(console, columns, proof.lines, whole=True)
    for problem in proof.problems:
        console.print(f"[red]{problem}[/]", highlight=False)
    console.print(summary(proof), highlight=False)
    if proof.since:
        topics = ", ".join(sorted({topic for topic, _ in proof.since}))
        console.print(f"[dim]from the first offset that Kafka still had when the ledger began: {topics}[/]", highlight=False)


def summary(proof: Proof) -> str:
    """One line. What was not read is neither missing nor there: it is not proven."""
    missing = sum(line["missing"] for line in proof.lines)
    duplicates = sum(line["duplicates"] for line in proof.lines)
    flying = sum(proof.in_flight.values())
    counted = [f"{missing:,} missing", f"{duplicates:,} duplicates"] if proof.lines else []
    counted += [f"{proof.never_read:,} offsets never read"] if proof.never_read else []
    counted += [f"{flying:,} offsets not read yet"] if flying else []
    if not proof.holds:
        count = len(proof.problems)
        verdict = f"[bold red]not proven, {count} problem{'' if count == 1 else 's'}[/]"
    elif flying:
        verdict = "[yellow]proven as far as it is read, not beyond[/]"
    else:
        verdict = "[green]proven[/]"
    return f"{verdict}{': ' if counted else ''}{', '.join(counted)}"
