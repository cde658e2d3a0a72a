"""`python -m waterline.connectors.stores.clickhouse.front`: own the data directory and serve it until told to stop."""

import faulthandler
import ipaddress
import logging
import signal
import socket
import sys
from urllib.parse import urlsplit

import structlog
import uvicorn
from setproctitle import setproctitle

from waterline.connectors.stores.clickhouse.front.app import Front
from waterline.connectors.stores.clickhouse.front.engine import Engine
from waterline.connectors.stores.clickhouse.front.request import Credentials
from waterline.schemas.settings import Settings, settings

GRACE_S = 5
"""How long statements at work may go on after SIGTERM before they are told to stop."""
KEEP_ALIVE_S = 30


def address(config: Settings) -> tuple[str, int]:
    """Host and port of the setting `clickhouse`. Exits when the front cannot or must not serve there."""
    url = urlsplit(config.clickhouse)
    host = url.hostname or "127.0.0.1"
    if url.scheme != "http":
        raise SystemExit(f"front: WATERLINE_CLICKHOUSE is {config.clickhouse}; the embedded server speaks plain http only")
    if not config.clickhouse_password and not loopback(host):
        raise SystemExit(f"front: {host} is not loopback; set WATERLINE_CLICKHOUSE_PASSWORD to listen there")
    return host, url.port or 8123


def loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def listen(host: str, port: int) -> socket.socket:
    """Bound before the engine opens, so that a taken port is the first thing said."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    door = socket.socket(family, socket.SOCK_STREAM)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        door.bind((host, port))
    except OSError as error:
        raise SystemExit(f"front: cannot listen on {host}:{port}: {error.strerror}") from error
    return door


def main() -> None:
    faulthandler.enable()
    setproctitle("waterline front")
    config = settings()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, config.log_level.upper())),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))  # uvicorn raises it again when it is done; then the engine is closed
    host, port = address(config)
    door = listen(host, port)
    engine = Engine(config.data_dir.resolve() / "clickhouse")
    try:
        front = Front(engine, Credentials(config.clickhouse_user, config.clickhouse_password), socket.gethostname())
        structlog.get_logger().info("serving", host=host, port=port, directory=str(engine.directory), version=engine.version)
        server = uvicorn.Config(
            front.app(),
            loop="uvloop",
            http="httptools",
            access_log=False,
            log_level="warning",
            server_header=False,
            date_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=GRACE_S,
        )
        uvicorn.Server(server).run(sockets=[door])
    finally:
        engine.close()


if __name__ == "__main__":
    main()
