"""`waterline ask` and `waterline questions`: the files of sql/forensics, answered."""

import shlex
from typing import Annotated

import typer
from rich.text import Text

from waterline import reach, show
from waterline.connectors.stores.clickhouse import questions as files
from waterline.connectors.stores.clickhouse.questions import Question
from waterline.schemas.errors import ErrorCode, Permanent
from waterline.schemas.settings import settings


def register(app: typer.Typer) -> None:
    app.command()(ask)
    app.command()(questions)


def ask(
    question: Annotated[list[str], typer.Argument(help="name or number of a question, or its words")],
    param: Annotated[list[str] | None, typer.Option("--param", "-p", help="name=value, as often as needed")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="for machines")] = False,
) -> None:
    """Answer a question by SQL over the store, and say how complete the store is."""
    if stray := [word for word in question if "=" in word]:
        named = " ".join(word for word in question if word not in stray)
        wanted = " ".join(f"--param {shlex.quote(word)}" for word in stray)
        raise Permanent(ErrorCode.INVALID_PARAMETER, f"a parameter is given by --param: waterline ask {named} {wanted}")
    asked = files.find(" ".join(question), files.load())
    given = read_parameters(param or [])
    config = settings()
    asked.bind(given)
    with reach.store(config) as client:
        cluster = bool(config.clickhouse_cluster)
        answer = files.ask(client, asked, given, cluster)
        completeness = files.ask(client, files.panel("completeness"), cluster=cluster).rows[0]
    if as_json:
        told: dict[str, object] = {
            "question": asked.name,
            "number": asked.number,
            "words": asked.words,
            "parameters": answer.parameters,
        }
        told |= {"columns": answer.columns, "units": dict(asked.units), "rows": answer.rows, "completeness": completeness}
        typer.echo(show.as_json(told))
    else:
        show.print_answer(show.console(), answer, completeness)


def read_parameters(given: list[str]) -> dict[str, str]:
    """`name=value` each. Raises Permanent(INVALID_PARAMETER)."""
    pairs: dict[str, str] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals:
            raise Permanent(ErrorCode.INVALID_PARAMETER, f"--param takes name=value, not {one!r}")
        pairs[name.strip()] = value
    return pairs


def questions(as_json: Annotated[bool, typer.Option("--json", help="for machines")] = False) -> None:
    """List the questions, what they take and what they mean."""
    found = files.load()
    if as_json:
        typer.echo(show.as_json([described(one) for one in found]))
        return
    rows: list[list[show.Cell]] = []
    for one in found:
        taken = [Text(p.name, "bold") if p.default is None else Text(f"{p.name}={p.default}") for p in one.parameters]
        rows.append([one.number, one.name, one.words, Text(" ").join(taken)])
    show.print_table(show.console(), ["", "name", "question", "parameters (needed, =default)"], rows)
    typer.echo("\nwaterline ask NAME --param name=value; what each means: waterline questions --json, or the head of its file")


def described(question: Question) -> dict[str, object]:
    return {
        "name": question.name,
        "number": question.number,
        "words": question.words,
        "notes": question.notes,
        "required": [one.name for one in question.parameters if one.default is None],
        "parameters": [
            {"name": one.name, "type": one.type, "default": one.default, "help": one.help} for one in question.parameters
        ],
        "units": dict(question.units),
    }
