"""The process: way out first (Kafka), then the ways in; at the end in reverse, and nothing accepted is left behind."""

import asyncio
import contextlib
import os
import re
import secrets
import signal
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import structlog
import uvicorn

from waterline.connectors.sources.collector import grpc_door, health
from waterline.connectors.sources.collector.app import Collector
from waterline.connectors.sources.collector.doors import Doors
from waterline.connectors.sources.collector.keys import Keys
from waterline.connectors.sources.collector.limits import Limits
from waterline.connectors.sources.collector.meters import Meters
from waterline.connectors.sources.collector.publish import Publisher
from waterline.connectors.sources.collector.room import Room
from waterline.schemas.clients import kafka_config
from waterline.schemas.settings import Settings

TICK_S = 1.0
BACKLOG = 2048

log = structlog.get_logger()


class PortTaken(Exception):
    """A port could not be bound. The message names it."""


class Server(uvicorn.Server):
    """Signals are the process's business, not one server's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def instance() -> str:
    """This process among all there ever were: host, process, boot."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


def key_path(settings: Settings) -> Path:
    return Path(settings.collector_keys) if settings.collector_keys else settings.data_dir / "keys.json"


async def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT. Raises NotSafe, KeyFileError or PortTaken before anything is served."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    keys, meters = Keys(key_path(settings)), Meters()
    keys.load()
    doors = Doors(keys, settings)
    door = bind(settings.collector_host, settings.collector_port, "collector_port")
    probe = bind(settings.health_host, settings.collector_metrics_port, "collector_metrics_port")
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
    room = Room(settings, publisher)
    limits = Limits(settings)
    collector = Collector(settings, doors, publisher, room, meters, limits)
    _gauges(meters, collector)
    http, probes = _http(collector, settings), _probes(health.app(room.reasons, meters))
    rpc, port = _grpc(collector, settings)
    await room.look()
    beat = asyncio.create_task(_beat(publisher, doors, room, meters))
    serving = [asyncio.create_task(http.serve([door])), asyncio.create_task(probes.serve([probe]))]
    await rpc.start()
    log.info("collector serves", http=door.getsockname()[1], grpc=port, producer=publisher.name, keys=len(keys.content.keys))
    ended = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait([*serving, beat, ended], return_when=asyncio.FIRST_COMPLETED)
    log.info("collector ends")
    beat.cancel()
    http.should_exit = True
    publisher.flush()
    await rpc.stop(settings.collector_deadline_s)
    await asyncio.gather(serving[0], return_exceptions=True)
    await asyncio.to_thread(limits.close)
    left = await publisher.close(settings.collector_deadline_s)
    probes.should_exit = True
    await asyncio.gather(*serving, return_exceptions=True)
    log.info("collector ended", unconfirmed_frames=left)
    for task in done - {ended}:
        task.result()


async def _beat(publisher: Publisher, doors: Doors, room: Room, meters: Meters) -> None:
    """Each second: ticks, keys that changed, and whether there is room."""
    told: str | None = None
    while True:
        publisher.tick()
        _reload(doors)
        for tenant, redactor in doors.redactors.items():
            for kind, number in redactor.counts.items():
                meters.count("collector_redactions_total", tenant, kind, by=number)
            redactor.counts.clear()
        await room.look()
        reasons = "; ".join(room.reasons())
        now = re.sub(r"\d+", "", reasons)
        if now != told and (now or told):
            log.warning("collector is not ready", why=reasons) if now else log.info("collector is ready")
        told = now
        await asyncio.sleep(TICK_S)


def _reload(doors: Doors) -> None:
    before = doors.keys.problem
    if doors.reload():
        log.info("API keys were read again", keys=len(doors.keys.content.keys))
    elif doors.keys.problem and doors.keys.problem != before:
        log.error("the key file cannot be read; the keys read before stay in force", why=doors.keys.problem)


def _gauges(meters: Meters, collector: Collector) -> None:
    publisher, room, doors = collector.publisher, collector.room, collector.doors
    meters.gauges = {
        "collector_queued_bytes": lambda: publisher.queued,
        "collector_in_flight": lambda: publisher.in_flight,
        "collector_stalled_seconds": publisher.stalled_s,
        "collector_held_bytes": lambda: collector.held,
        "collector_free_bytes": lambda: room.free,
        "collector_keys_unreadable": lambda: bool(doors.keys.problem),
    }
    publisher.count = meters.count


def bind(host: str, port: int, setting: str) -> socket.socket:
    """A listening socket. Raises PortTaken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
    except OSError as error:
        made.close()
        raise PortTaken(
            f"cannot listen on {host}:{port}: {error.strerror}; WATERLINE_{setting.upper()} chooses another"
        ) from error
    made.listen(BACKLOG)
    made.setblocking(False)
    return made


def _http(collector: Collector, settings: Settings) -> Server:
    tls: dict[str, Any] = {}
    if settings.collector_tls_certificate:
        tls = {"ssl_certfile": settings.collector_tls_certificate, "ssl_keyfile": settings.collector_tls_key or None}
        if settings.collector_tls_clients:
            tls |= {"ssl_ca_certs": settings.collector_tls_clients, "ssl_cert_reqs": ssl.CERT_REQUIRED}
    return _server(collector, timeout_graceful_shutdown=int(settings.collector_deadline_s) + 1, **tls)


def _probes(app: Any) -> Server:
    return _server(app)


def _server(app: Any, **more: Any) -> Server:
    config = uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        **more,
    )
    return Server(config)


def _grpc(collector: Collector, settings: Settings) -> tuple[Any, int]:
    host = f"[{settings.collector_host}]" if ":" in settings.collector_host else settings.collector_host
    credentials = None
    if settings.collector_tls_certificate:
        chain = Path(settings.collector_tls_certificate).read_bytes()
        key = Path(settings.collector_tls_key or settings.collector_tls_certificate).read_bytes()
        clients = Path(settings.collector_tls_clients).read_bytes() if settings.collector_tls_clients else None
        credentials = grpc.ssl_server_credentials([(key, chain)], clients, bool(clients))
    try:
        return grpc_door.server(collector, f"{host}:{settings.collector_grpc_port}", credentials)
    except RuntimeError as error:
        reason = f"cannot listen on {host}:{settings.collector_grpc_port}; WATERLINE_COLLECTOR_GRPC_PORT chooses another"
        raise PortTaken(reason) from error
