"""`waterline migrate`: the declared topics and the tables, on whatever the settings name."""

from typing import Annotated

import typer

from waterline.schemas.settings import settings
from waterline.stack import provision


def register(app: typer.Typer) -> None:
    app.command()(migrate)


def migrate(
    topics: Annotated[bool, typer.Option(help="create the topics that are missing and check the others")] = True,
    tables: Annotated[bool, typer.Option(help="bring ClickHouse's tables up to date")] = True,
) -> None:
    """Prepare Kafka and ClickHouse: topics and tables. Harmless when all is there; `waterline up` does it too."""
    try:
        if topics:
            provision.make_topics(settings(), typer.echo, own=False)
            typer.echo(f"topics at {settings().kafka}: as declared")
        if tables:
            provision.migrate(settings())
            typer.echo(f"tables at {settings().clickhouse}: up to date")
    except provision.ProvisionError as error:
        typer.echo(f"migrate: {error}", err=True)
        raise typer.Exit(1) from error
