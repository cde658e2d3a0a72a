"""`waterline refill`: tables that ClickHouse lost, filled again from Kafka."""

from contextlib import closing
from typing import Annotated

import typer
from confluent_kafka.admin import AdminClient

from waterline import reach
from waterline.connectors.stores.clickhouse.client import connect
from waterline.connectors.stores.clickhouse.ledger import RANGES
from waterline.connectors.stores.clickhouse.macros import Target
from waterline.connectors.stores.clickhouse.migrate import MigrationRefused
from waterline.proof import Kafka, positions
from waterline.refill import NAMES, Refill, look, run, wait_until_empty
from waterline.schemas.clients import kafka_config
from waterline.schemas.settings import settings
from waterline.schemas.topics import STORED

GRACE_S = 2.0
LANES_SHOWN = 24


def register(app: typer.Typer) -> None:
    app.command()(refill)


def refill(
    tables: Annotated[list[str] | None, typer.Argument(help=f"{', '.join(NAMES)}, or all; without: what is lost")] = None,
    drop_older: Annotated[
        bool, typer.Option("--drop-older", help="also drop rows that Kafka keeps no more: they do not come back")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would be done, and do nothing")] = False,
) -> None:
    """Make lost tables anew and have the sink read again what Kafka still keeps of them. The sink must be stopped."""
    config = settings()
    reach.kafka(config)
    reach.listens(config, reach.CLICKHOUSE)
    target = Target(config.clickhouse_database, config.clickhouse_cluster)
    wanted = NAMES if tables == ["all"] else tuple(tables or ())
    with closing(Kafka(config)) as kafka, closing(connect(config, database="default")) as client:
        found = look(client, target, kafka.held(), positions(kafka.admin), wanted)
        if found.empty:
            typer.echo("nothing is lost: every table is there, and the ledger knows all that the sink has read")
            return
        typer.echo("\n".join(tell(found)))
        if found.older and not drop_older:
            typer.echo("nothing was done. If those rows may go: --drop-older", err=True)
            raise typer.Exit(1)
        if dry_run:
            return
        admin = AdminClient({**kafka_config(config), "log_level": 0})
        wait_until_empty(admin, config.sink_session_s + GRACE_S)
        try:
            run(client, admin, target, found)
        except MigrationRefused as error:
            typer.echo(f"refill: {error}", err=True)
            raise typer.Exit(1) from error
    typer.echo("made anew. Now start the sink; `waterline verify completeness --wait 600` says when all is there")


def tell(found: Refill) -> list[str]:
    """What will be read again, and what will not come back."""
    lines = []
    for topic in found.topics:
        lanes = [held for (name, _), held in found.kept.items() if name == topic.name]
        count = sum(end - begin for begin, end in lanes)
        more = "; compacted: of each key the newest record" if topic.compacted else ""
        lines.append(f"{topic.table}: from {topic.name}, {len(lanes)} partitions, {count:,} offsets{more}")
    if found.ledger:
        kept = [topic.table for topic in STORED if topic not in found.topics]
        lines.append(f"{RANGES}: written again from all topics" + (f"; rows stay in {', '.join(kept)}" if kept else ""))
    named = [f"{topic}/{partition} offsets {first}-{last}" for (topic, partition), (first, last) in sorted(found.gone.items())]
    if named:
        lines.append("Kafka keeps no more, so this does not come back:")
        lines += [f"  {line}" for line in named[:LANES_SHOWN]]
        lines += [f"  and {len(named) - LANES_SHOWN} partitions more"] if len(named) > LANES_SHOWN else []
    lines += [f"{table} still has {rows:,} rows that Kafka keeps no more" for table, rows in found.older.items()]
    return lines
