"""Makes a broker's topics what schemas/topics.py declares, and says where they are not."""

from collections.abc import Iterable
from dataclasses import dataclass

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from waterline.schemas.topics import TOPICS, Topic

TIMEOUT_S = 30.0
PARTITIONS_ADVICE = "Set WATERLINE_PARTITIONS to what is there, or use another data directory."


class TopicError(Exception):
    """Topics could not be made, or one exists in a form that cannot be changed in place. The message names it."""


@dataclass(frozen=True, slots=True)
class Difference:
    topic: str
    name: str
    declared: str
    found: str

    def __str__(self) -> str:
        return f"{self.topic}: {self.name} is {self.found}, declared is {self.declared}"


def config_of(topic: Topic) -> dict[str, str]:
    """The broker's configuration of a topic, as declared."""
    return topic.policy | topic.config


def create(admin: AdminClient, partitions: int, replication: int, topics: Iterable[Topic] = TOPICS) -> list[str]:
    """Creates the topics that are missing and returns their names. Two callers at once do no harm."""
    present = admin.list_topics(timeout=TIMEOUT_S).topics
    missing = [
        NewTopic(topic.name, num_partitions=partitions, replication_factor=replication, config=config_of(topic))
        for topic in topics
        if topic.name not in present
    ]
    if not missing:
        return []
    made = []
    for name, future in admin.create_topics(missing, operation_timeout=TIMEOUT_S).items():
        try:
            future.result()
            made.append(name)
        except KafkaException as error:
            if error.args[0].name() != "TOPIC_ALREADY_EXISTS":
                raise TopicError(f"cannot create topic {name}: {error.args[0].str()}") from error
    return made


def differences(admin: AdminClient, partitions: int, topics: Iterable[Topic] = TOPICS) -> list[Difference]:
    """How the topics that exist differ from their declaration, in partitions and in each declared configuration."""
    present = admin.list_topics(timeout=TIMEOUT_S).topics
    known = {topic.name: topic for topic in topics if topic.name in present}
    found = [
        Difference(name, "partitions", str(partitions), str(len(present[name].partitions)))
        for name in known
        if len(present[name].partitions) != partitions
    ]
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in known]
    for resource, future in (admin.describe_configs(resources) if resources else {}).items():
        entries = future.result(TIMEOUT_S)
        for key, declared in config_of(known[resource.name]).items():
            value = entries[key].value if key in entries else ""
            if value != declared:
                found.append(Difference(resource.name, key, declared, str(value)))
    return found


def ensure(admin: AdminClient, partitions: int, replication: int, topics: Iterable[Topic] = TOPICS) -> list[Difference]:
    """Creates what is missing and sets what differs; returns what it had to set.

    Raises TopicError when a topic has another number of partitions: keys would move between partitions, so it is fixed for good.
    """
    topics = tuple(topics)
    create(admin, partitions, replication, topics)
    found = differences(admin, partitions, topics)
    fixed = [difference for difference in found if difference.name == "partitions"]
    if fixed:
        raise TopicError(
            "\n".join(map(str, fixed)) + "\nSet WATERLINE_PARTITIONS to what is there, or use another data directory."
        )
    alter(admin, found)
    return found


def alter(admin: AdminClient, changes: Iterable[Difference]) -> None:
    entries: dict[str, list[ConfigEntry]] = {}
    for change in changes:
        entry = ConfigEntry(change.name, change.declared, incremental_operation=AlterConfigOpType.SET)
        entries.setdefault(change.topic, []).append(entry)
    if not entries:
        return
    resources = [ConfigResource(ResourceType.TOPIC, name, incremental_configs=changed) for name, changed in entries.items()]
    for future in admin.incremental_alter_configs(resources).values():
        future.result(TIMEOUT_S)
