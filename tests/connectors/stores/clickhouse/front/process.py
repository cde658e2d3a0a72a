"""A front as a process of its own, which may be stopped, killed and started again."""

import http.client
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from waterline.stack import ports
from waterline.stack.process import Child

START_S = 30.0
COMMAND = [sys.executable, "-m", "waterline.connectors.stores.clickhouse.front"]


class Front:
    """`home` is its data directory. It may be stopped, killed and started again on the same port."""

    def __init__(self, home: Path, **environment: str) -> None:
        self.home = home
        self.port = ports.pick()
        self.url = f"http://127.0.0.1:{self.port}"
        settings = {"WATERLINE_CLICKHOUSE": self.url, "WATERLINE_DATA_DIR": str(home)}
        self.child = Child("front", COMMAND, home / "front.log", settings | environment)

    def start(self) -> "Front":
        self.child.start()
        self.child.wait_until(self.answers, time.monotonic() + START_S)
        return self

    def answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=1)
        try:
            connection.request("GET", "/ping")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60, **options)

    @property
    def log(self) -> str:
        return self.child.log.read_text()


NewFront = Callable[..., Front]
