"""`waterline migrate`: the declared topics and the tables, on whatever the settings name."""

from contextlib import closing
from typing import Annotated

import typer
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from waterline import reach
from waterline.connectors.stores.clickhouse import migrate as tables_
from waterline.connectors.stores.clickhouse.client import connect
from waterline.connectors.stores.clickhouse.macros import Target
from waterline.schemas.clients import kafka_config
from waterline.schemas.settings import Settings, settings
from waterline.schemas.topics import TOPICS
from waterline.stack import provision


def register(app: typer.Typer) -> None:
    app.command()(migrate)


def migrate(
    topics: Annotated[bool, typer.Option(help="create the topics that are missing and check the others")] = True,
    tables: Annotated[bool, typer.Option(help="bring ClickHouse's tables up to date")] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would be done, and do nothing")] = False,
) -> None:
    """Prepare Kafka and ClickHouse: topics and tables. Harmless when all is there; `waterline up` does it too."""
    config = settings()
    try:
        if topics:
            reach.kafka(config)
        if tables:
            reach.listens(config, reach.CLICKHOUSE)
        if dry_run:
            missing = missing_topics(config) if topics else []
            pending = pending_tables(config) if tables else []
            typer.echo("\n".join([*missing, *pending]) or "nothing to do")
            return
        if topics:
            provision.make_topics(config, typer.echo, own=False)
            typer.echo(f"topics at {config.kafka}: as declared")
        if tables:
            provision.migrate(config)
            typer.echo(f"tables at {config.clickhouse}: up to date")
    except (provision.ProvisionError, tables_.MigrationRefused) as error:
        typer.echo(f"migrate: {error}", err=True)
        raise typer.Exit(1) from error


def missing_topics(config: Settings) -> list[str]:
    """Raises ProvisionError when Kafka does not answer."""
    try:
        present = AdminClient({**kafka_config(config), "log_level": 0}).list_topics(timeout=provision.EXTERNAL_S).topics
    except KafkaException as error:
        raise provision.ProvisionError(f"Kafka at {config.kafka} does not answer: {error.args[0].str()}") from error
    return [f"would create topic {topic.name}" for topic in TOPICS if topic.name not in present]


def pending_tables(config: Settings) -> list[str]:
    """Raises MigrationRefused when history changed, Transient when ClickHouse does not answer."""
    target = Target(config.clickhouse_database, config.clickhouse_cluster)
    with closing(connect(config, database="default")) as client:
        return [f"would apply {migration.name}" for migration in tables_.outlook(client, target)]
