"""What must be there before the first process starts: the declared topics and the tables."""

import subprocess
import sys
from collections.abc import Callable

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from waterline.schemas.clients import kafka_config
from waterline.schemas.settings import Settings
from waterline.stack import addresses, topics
from waterline.stack.parts import MIGRATE

MIGRATE_S = 120.0
EXTERNAL_S = 10.0


class ProvisionError(Exception):
    """Kafka does not answer, a topic is not as declared, or a migration failed. The message says which."""


def make_topics(settings: Settings, report: Callable[[str], None], *, own: bool) -> None:
    """Creates the declared topics that are missing.

    On a broker of our own a configuration that differs is set; on another it is only reported, since it may be meant.
    Raises ProvisionError, always for another number of partitions.
    """
    admin = AdminClient({**kafka_config(settings), "log_level": 0})
    try:
        admin.list_topics(timeout=EXTERNAL_S)
        if own:
            for difference in topics.ensure(admin, settings.partitions, settings.replication_factor):
                report(f"kafka: set {difference.topic} {difference.name} from {difference.found} to {difference.declared}")
            return
        for name in topics.create(admin, settings.partitions, settings.replication_factor):
            report(f"kafka: created {name}")
        found = topics.differences(admin, settings.partitions)
    except KafkaException as error:
        raise ProvisionError(f"Kafka at {settings.kafka} does not do what is needed: {error.args[0].str()}") from error
    except topics.TopicError as error:
        raise ProvisionError(str(error)) from error
    if fixed := [difference for difference in found if difference.name == "partitions"]:
        raise ProvisionError("\n".join([*map(str, fixed), topics.PARTITIONS_ADVICE]))
    for difference in found:
        report(f"kafka: {difference}")


def migrate(settings: Settings) -> None:
    """Brings ClickHouse's tables up to date. Raises ProvisionError with what the migration said."""
    environment = addresses.inherited(addresses.environment(settings))
    command = [sys.executable, "-m", MIGRATE]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=MIGRATE_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise ProvisionError(f"the migration of {settings.clickhouse} took more than {MIGRATE_S:.0f} s") from error
    if done.returncode:
        raise ProvisionError(f"the migration of {settings.clickhouse} failed:\n{done.stdout}{done.stderr}")
