"""From a part to the child process that runs it."""

import hashlib
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from waterline.schemas.settings import Settings
from waterline.stack import addresses, jars, kafka, ports
from waterline.stack.parts import Part, port_of
from waterline.stack.process import Child


def log_of(settings: Settings, name: str) -> Path:
    return settings.data_dir / "logs" / f"{name}.log"


def child(part: Part, settings: Settings, special: Mapping[str, str], progress: jars.Progress | None) -> Child:
    """A child that is not started yet. For Kafka this fetches jars and formats storage where that was not done.

    Raises jars.JarError and kafka.KafkaError.
    """
    if part.name == "kafka":
        return _kafka(settings, progress)
    environment = addresses.inherited(addresses.environment(settings)) | _name(part, settings) | dict(special)
    return Child(part.name, [sys.executable, "-m", part.module], log_of(settings, part.name), environment, nice=part.nice)


def _name(part: Part, settings: Settings) -> dict[str, str]:
    """The name under which the group knows the process of this data directory, so that its restart is no rebalance."""
    setting = f"{part.name}_instance"
    if setting not in Settings.model_fields or getattr(settings, setting):
        return {}
    where = hashlib.blake2b(str(settings.data_dir.resolve()).encode(), digest_size=6).hexdigest()
    return {f"WATERLINE_{setting.upper()}": f"{socket.gethostname()}-{where}"}


def _kafka(settings: Settings, progress: jars.Progress | None) -> Child:
    port = port_of(settings, "kafka")
    broker = kafka.Broker(
        home=settings.data_dir / "kafka",
        log=log_of(settings, "kafka"),
        port=port,
        controller_port=ports.pick(but=(port,)),
        classpath=kafka.classpath(settings.cache_dir, progress),
    )
    broker.prepare()
    return Child("kafka", broker.command(), settings.data_dir / "logs" / "kafka.out.log", also=broker.log)
