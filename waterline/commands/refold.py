"""`waterline refold`: decisions, costs, alerts and all that the streams tell, folded again from the first event."""

from typing import Annotated

import typer
from confluent_kafka.admin import AdminClient

from waterline import reach
from waterline.refill import wait_until_empty
from waterline.refold import ANEW, look, run
from waterline.schemas.clients import kafka_config
from waterline.schemas.settings import settings
from waterline.streams.worker import GROUP

SESSION_S = 8.0
"""A worker that was stopped stays in its group for six seconds."""


def register(app: typer.Typer) -> None:
    app.command()(refold)


def refold(dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would be done, and do nothing")] = False) -> None:
    """Let the streams fold the whole history again, after a fold was changed. The streams must be stopped."""
    config = settings()
    reach.kafka(config)
    admin = AdminClient({**kafka_config(config), "log_level": 0})
    if not dry_run:
        wait_until_empty(admin, SESSION_S, GROUP, "a streams worker")
    kept = look(config, admin)
    typer.echo(f"{kept.records:,} records of agent.events will be folded again; {kept.links:,} elected business ids stay elected")
    if dry_run:
        return
    run(config, admin, kept)
    names = ", ".join(topic.name for topic in ANEW)
    typer.echo(f"made anew: {names}. Now start the streams: what they tell takes the place of what was told before")
    typer.echo("`waterline ask reconciliation` has no rows when they have caught up")
