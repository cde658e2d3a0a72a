"""The clients of our own processes: which errors are whose, and what goes over the wire."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from waterline.connectors.stores.clickhouse import client as store
from waterline.schemas.errors import ErrorCode, Permanent, Transient
from waterline.schemas.settings import Settings


class Listener:
    """One answer to everything, and what was asked. A fake server at the socket."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.door = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.door.getsockname()[1]}"
        self.asked: list[bytes] = []
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self) -> None:
        while True:
            try:
                line, _ = self.door.accept()
            except OSError:
                return
            with line:
                request = b""
                while b"\r\n\r\n" not in request or len(request) < self.length(request):
                    data = line.recv(65536)
                    if not data:
                        break
                    request += data
                self.asked.append(request)
                line.sendall(self.answer)

    @staticmethod
    def length(request: bytes) -> int:
        head, _, _ = request.partition(b"\r\n\r\n")
        size = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
        return len(head) + 4 + size


def answer(status: int, code: str = "", body: bytes = b"") -> bytes:
    headers = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n"
    if code:
        headers += f"X-ClickHouse-Exception-Code: {code}\r\n"
    return f"{headers}\r\n".encode() + body


@pytest.fixture
def listener(request: pytest.FixtureRequest) -> Iterator[Listener]:
    listener = Listener(request.param)
    yield listener
    listener.door.shutdown(socket.SHUT_RDWR)
    listener.door.close()
    listener.thread.join()


TEXT_OF_A_DATA_ERROR = b"Code: 27. DB::Exception: Cannot parse input (CANNOT_PARSE_INPUT_ASSERTION_FAILED)"


@pytest.mark.parametrize(
    ("listener", "family", "code"),
    [
        (answer(400, "27", b"any text"), Permanent, 27),
        (answer(500, "407", b""), Permanent, 407),
        (answer(200, "27", b"found after the head was sent"), Permanent, 27),
        (answer(500, "241", b"memory"), Transient, 241),
        (answer(500, "252", b"parts"), Transient, 252),
        (answer(500, "60", TEXT_OF_A_DATA_ERROR), Transient, 60),
        (answer(502, "", TEXT_OF_A_DATA_ERROR), Transient, 0),
        (answer(400, "x", TEXT_OF_A_DATA_ERROR), Transient, 0),
        (b"", Transient, 0),
        (b"not http\r\n\r\n", Transient, 0),
    ],
    indirect=["listener"],
)
def test_the_code_alone_decides_the_family(listener: Listener, family: type[Exception], code: int) -> None:
    inserter = store.Inserter(Settings(clickhouse=listener.url))
    with pytest.raises(family) as caught:
        inserter.insert("t", [b"{}\n"])
    assert isinstance(caught.value, store.StoreRefused | store.StoreUnavailable)
    assert caught.value.clickhouse_code == code
    assert caught.value.code == (ErrorCode.STORE_REFUSED if family is Permanent else ErrorCode.STORE_UNAVAILABLE)
    inserter.close()


@pytest.mark.parametrize("listener", [answer(200)], indirect=True)
def test_a_raw_insert_is_the_bytes_it_was_given(listener: Listener) -> None:
    config = Settings(clickhouse=listener.url, clickhouse_database="d", clickhouse_user="u", clickhouse_password="p")
    inserter = store.Inserter(config)
    token = "events:agent.events:0:1-2:v1"
    pieces = [b'{"a":1}\n', b"\x00\xff"]
    assert inserter.insert("events", pieces, columns=["a", "b"], options={"insert_deduplication_token": token}) == 0
    inserter.close()
    head, _, body = listener.asked[0].partition(b"\r\n\r\n")
    assert body == b"".join(pieces)
    assert head.startswith(
        b"POST /?query=INSERT+INTO+events+%28a%2C+b%29+FORMAT+JSONEachRow&database=d&insert_deduplication_token="
    )
    assert b"X-ClickHouse-User: u" in head
    assert b"X-ClickHouse-Key: p" in head
    assert b"Content-Encoding" not in head


def test_the_data_errors_are_clickhouses_own(clickhouse_url: str) -> None:
    """Each number of the closed list has the name that the engine gives it."""
    client = store.connect(Settings(clickhouse=clickhouse_url), database="default")
    codes = [int(code) for code in store.DataError]
    rows = client.query("SELECT arrayMap(code -> errorCodeToName(code), {codes:Array(Int32)})", parameters={"codes": codes})
    assert rows.result_rows[0][0] == [code.name for code in store.DataError]
    client.close()


def test_an_unreadable_certificate_is_said_at_once(tmp_path: Path) -> None:
    config = Settings(clickhouse="https://127.0.0.1:1", clickhouse_ssl_ca=str(tmp_path / "missing.pem"))
    with pytest.raises(store.StoreUnavailable):
        store.Inserter(config).insert("t", [b""])


def test_an_insert_into_a_cluster_waits_for_the_shard() -> None:
    """Otherwise the rows are in a queue of one node when the sink commits. A single node is not asked for what it has not."""
    for cluster, wanted in (("c1", True), ("", False)):
        inserter = store.Inserter(Settings(clickhouse="http://127.0.0.1:1", clickhouse_cluster=cluster))
        path = inserter.path("db.events", "JSONEachRow", {"insert_deduplication_token": "t"}, ["a"])
        assert ("&distributed_foreground_insert=1&" in path) == wanted
        assert path.endswith("&insert_deduplication_token=t")
