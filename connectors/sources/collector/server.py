"""The process: way out first (Kafka), then the ways in; at the end in reverse."""

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from waterline.connectors.sources.collector.app import Collector
from waterline.connectors.sources.collector.doors import Doors
from waterline.connectors.sources.collector.keys import Keys
from waterline.connectors.sources.collector.publish import Publisher
from waterline.connectors.sources.collector.redact import cleaner
from waterline.schemas.clients import kafka_config
from waterline.schemas.settings import Settings

TICK_S = 1.0


class Server(uvicorn.Server):
    """Signals are the process's business, not one server's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def instance() -> str:
    """This process among all there ever were: host, process, boot."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


async def serve(settings: Settings) -> None:
    keys = Keys(Path(settings.collector_keys) if settings.collector_keys else settings.data_dir / "keys.json")
    keys.load()
    doors = Doors(keys, settings, cleaner)
    publisher = Publisher(
        dict(kafka_config(settings)),
        instance(),
        settings.partitions,
        frame_events=settings.frame_events,
        frame_bytes=settings.frame_bytes,
        linger_s=settings.collector_linger_ms / 1000,
        deadline_s=settings.collector_deadline_s,
        queue_bytes=settings.collector_queue_bytes,
    )
    collector = Collector(settings, doors, publisher)
    config = uvicorn.Config(
        collector,
        host=settings.collector_host,
        port=settings.collector_port,
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="warning",
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=30,
    )
    server = Server(config)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    task = asyncio.create_task(server.serve())
    ticker = asyncio.create_task(_tick(publisher))
    await asyncio.wait([task, asyncio.create_task(stop.wait())], return_when=asyncio.FIRST_COMPLETED)
    ticker.cancel()
    server.should_exit = True
    await task
    await publisher.close(settings.collector_deadline_s)


async def _tick(publisher: Publisher) -> None:
    while True:
        publisher.tick()
        await asyncio.sleep(TICK_S)


__all__ = ["AdminClient", "KafkaException", "serve", "shutil"]
