"""The setting health_host decides where a process answers about itself, and where it is asked."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection

import pytest
from prometheus_client import CollectorRegistry

from waterline.connectors.stores.clickhouse.health import Health, Meters
from waterline.schemas.settings import Settings
from waterline.stack.parts import PARTS
from waterline.streams import health as streams

OTHER = "127.0.0.2"
"""An address of this machine that is not the default."""


@contextmanager
def sink(host: str) -> Iterator[int]:
    served = Health(0, lambda: True, list, Meters(), host)
    try:
        yield served.port
    finally:
        served.close()


@contextmanager
def worker(host: str) -> Iterator[int]:
    served = streams.serve(0, list, list, CollectorRegistry(), host)
    try:
        yield int(served.server_address[1])
    finally:
        served.shutdown()
        served.server_close()


def status(host: str, port: int) -> int:
    """What /readyz answers; 0 when nobody listens there."""
    asked = HTTPConnection(host, port, timeout=5)
    try:
        asked.request("GET", "/readyz")
        return asked.getresponse().status
    except ConnectionRefusedError:
        return 0
    finally:
        asked.close()


@pytest.mark.parametrize("serve", [sink, worker])
def test_a_process_answers_on_its_health_host_and_nowhere_else(serve: type) -> None:
    with serve(OTHER) as port:
        assert (status(OTHER, port), status("127.0.0.1", port)) == (200, 0)
    with serve("0.0.0.0") as port:
        assert (status(OTHER, port), status("127.0.0.1", port)) == (200, 200)


@pytest.mark.parametrize("serve", [sink, worker])
def test_a_health_host_may_be_of_ipv6(serve: type) -> None:
    if not socket.has_ipv6 or not _has("::1"):
        pytest.skip("this machine has no ::1")
    with serve("::1") as port:
        assert status("::1", port) == 200


def test_a_host_that_is_not_this_machine_is_named() -> None:
    with pytest.raises(SystemExit, match=r"^streams: cannot listen on 192\.0\.2\.1:0: "):
        streams.serve(0, list, list, CollectorRegistry(), "192.0.2.1")


@pytest.mark.parametrize(
    ("host", "asked"),
    [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::", "127.0.0.1"), (OTHER, OTHER), ("::1", "[::1]")],
)
def test_the_local_stack_asks_where_its_parts_answer(host: str, asked: str) -> None:
    settings = Settings(health_host=host)
    urls = [part.ready_url(settings) for part in PARTS if part.settings[-1].endswith("_metrics_port")]
    assert urls == [f"http://{asked}:{port}/readyz" for port in (9465, 9466, 9467, 9468, 9464)]


def _has(address: str) -> bool:
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
        return True
