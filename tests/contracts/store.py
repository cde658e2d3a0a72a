"""What our processes ask of a ClickHouse, whichever it is. A subclass gives the fixture `url`."""

import gzip
import threading
import time
import uuid
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import lz4.frame  # type: ignore[import-untyped]
import pytest
import zstandard
from clickhouse_connect.driver.client import Client

from waterline.connectors.stores.clickhouse import client as store
from waterline.schemas.settings import Settings
from waterline.stack import ports

TABLE = """
CREATE TABLE {db}.rows (n UInt64, text String, label LowCardinality(String), at DateTime64(6, 'UTC'),
    cost Nullable(Decimal(18, 9)), attributes Map(LowCardinality(String), String), measures Map(String, Float64))
ENGINE = MergeTree ORDER BY n SETTINGS non_replicated_deduplication_window = 100
"""
BLOCK: dict[str, str | int] = {
    "async_insert": 0,
    "max_insert_block_size": 1_000_000,
    "min_insert_block_size_rows": 1_000_000,
    "input_format_parallel_parsing": 0,
    "date_time_input_format": "best_effort",
}


def lines(first: int, count: int) -> bytes:
    return b"".join(b'{"n":%d,"text":"t","at":"2026-01-02T03:04:05.123456Z"}\n' % n for n in range(first, first + count))


class StoreContract:
    @pytest.fixture
    def config(self, url: str) -> Iterator[Settings]:
        """Settings of a fresh database with the table `rows`."""
        database = f"contract_{uuid.uuid4().hex[:12]}"
        config = Settings(clickhouse=url, clickhouse_database=database)
        admin = store.connect(config, database="default")
        admin.command(f"CREATE DATABASE {database}")
        admin.command(TABLE.format(db=database))
        yield config
        admin.command(f"DROP DATABASE {database} SYNC")
        admin.close()

    @pytest.fixture
    def client(self, config: Settings) -> Iterator[Client]:
        client = store.connect(config)
        yield client
        client.close()

    @pytest.fixture
    def inserter(self, config: Settings) -> Iterator[store.Inserter]:
        inserter = store.Inserter(config)
        yield inserter
        inserter.close()

    @pytest.fixture
    def http(self, config: Settings) -> Iterator[httpx.Client]:
        headers = {"X-ClickHouse-User": config.clickhouse_user, "X-ClickHouse-Key": config.clickhouse_password}
        with httpx.Client(base_url=config.clickhouse, params={"database": config.clickhouse_database}, headers=headers) as http:
            yield http

    def test_answers_ping(self, http: httpx.Client) -> None:
        assert http.get("/ping").text == "Ok.\n"

    def test_rows_come_back_as_they_went_in(self, client: Client) -> None:
        at = datetime(2026, 1, 2, 3, 4, 5, 123456, UTC)
        rows: list[list[Any]] = [[1, "tab\t'quote'\\ \u00e4\u6f22\0", "l", at, Decimal("0.020000001"), {"k": "v"}, {"m": 0.5}]]
        rows.append([2, "", "", at, None, {}, {}])
        names = ["n", "text", "label", "at", "cost", "attributes", "measures"]
        assert client.insert("rows", rows, column_names=names).written_rows == 2
        assert client.insert("rows", [[3, 4], ["c", "d"]], column_names=["n", "text"], column_oriented=True).written_rows == 2
        got = client.query("SELECT * FROM rows WHERE n < 3 ORDER BY n", query_tz="UTC").result_rows
        assert [list(row) for row in got] == [[*r[:3], r[3].replace(tzinfo=got[0][3].tzinfo), *r[4:]] for r in rows]

    def test_parameters_are_values_and_never_text(self, client: Client) -> None:
        hostile = "'; DROP TABLE rows; -- \t\\ {x:String}"
        query = "SELECT {text:String}, {list:Array(String)}, {at:DateTime64(3)}, {none:Nullable(String)}"
        at = datetime(2026, 1, 2, 3, 4, 5)
        got = client.query(query, parameters={"text": hostile, "list": [hostile, ""], "at": at, "none": None}).result_rows
        assert got == [(hostile, [hostile, ""], at, None)]

    def test_an_answered_insert_is_there(self, client: Client, inserter: store.Inserter) -> None:
        for batch in range(5):
            assert inserter.insert("rows", [lines(batch * 10, 5), lines(batch * 10 + 5, 5)], options=BLOCK) == 10
            assert client.command("SELECT count() FROM rows") == (batch + 1) * 10
        assert str(client.command("SELECT min(at) FROM rows")).startswith("2026-01-02 03:04:05.123456")

    def test_a_batch_is_one_block(self, client: Client, inserter: store.Inserter) -> None:
        inserter.insert("rows", [lines(0, 150_000)], options=BLOCK)
        parts = "SELECT count(), sum(rows) FROM system.parts WHERE database = currentDatabase() AND level = 0 AND active"
        assert client.query(parts).result_rows == [(1, 150_000)]

    def test_a_repeated_token_is_swallowed(self, client: Client, inserter: store.Inserter) -> None:
        token = {"insert_deduplication_token": "rows:topic:0:1-2:v1"}
        for first in (0, 0, 500):
            inserter.insert("rows", [lines(first, 10)], options=BLOCK | token)
        assert client.command("SELECT count() FROM rows") == 10
        inserter.insert("rows", [lines(0, 10)], options=BLOCK | {"insert_deduplication_token": "another"})
        assert client.command("SELECT count() FROM rows") == 20

    def test_a_token_is_the_same_however_the_rows_come_in(self, client: Client, inserter: store.Inserter) -> None:
        table = "rows (n, text) SELECT JSONExtractUInt(line, 'n'), 'x' FROM input('line String')"
        for token, first in (("a", 0), ("b", 1)):
            once: dict[str, str | int] = {"insert_deduplication_token": token, "max_block_size": 1_000_000}
            for plain in (first == 0, first == 1):
                target, form = ("rows", "JSONEachRow") if plain else (table, "LineAsString")
                inserter.insert(target, [lines(0, 1000)], form=form, options=BLOCK | once)
        assert client.command("SELECT count() FROM rows") == 2000
        parts = "SELECT count() FROM system.parts WHERE database = currentDatabase() AND level = 0 AND active"
        assert client.command(parts) == 2

    def test_bad_data_is_refused_whole(self, client: Client, inserter: store.Inserter) -> None:
        for bad in (b'{"n":"x"}\n', b'{"n":1,', b'{"at":"no time"}\n', b'{"cost":"1e99"}\n', b'{"attributes":[1]}\n'):
            with pytest.raises(store.StoreRefused) as caught:
                inserter.insert("rows", [lines(0, 10), bad], options=BLOCK)
            assert caught.value.clickhouse_code in store.DATA_ERRORS
        assert client.command("SELECT count() FROM rows") == 0
        assert inserter.insert("rows", [lines(0, 1)], options=BLOCK) == 1

    def test_what_may_pass_is_not_called_bad_data(self, client: Client, inserter: store.Inserter) -> None:
        with pytest.raises(store.StoreUnavailable) as caught:
            inserter.insert("missing", [lines(0, 1)])
        assert caught.value.clickhouse_code == 60
        with pytest.raises(store.StoreUnavailable) as caught, store.errors():
            client.query("SELECT missing FROM rows")
        assert caught.value.clickhouse_code == 47

    def test_nobody_there_may_pass(self, config: Settings) -> None:
        nowhere = config.model_copy(update={"clickhouse": f"http://127.0.0.1:{ports.pick()}"})
        for call in (lambda: store.Inserter(nowhere).insert("rows", [b""]), lambda: store.connect(nowhere)):
            with pytest.raises(store.StoreUnavailable):
                call()

    def test_an_insert_cut_off_by_its_sender_leaves_nothing(self, client: Client, config: Settings) -> None:
        half = store.Inserter(config)
        connection = half._open()
        path = f"/?database={config.clickhouse_database}&query=INSERT+INTO+rows+FORMAT+JSONEachRow"
        connection.putrequest("POST", path)
        for name, value in {**half.headers, "Content-Length": "10000000"}.items():
            connection.putheader(name, value)
        connection.endheaders(lines(0, 1000))
        connection.close()
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline:
            assert client.command("SELECT count() FROM rows") == 0

    @pytest.mark.parametrize("encoding", ["gzip", "deflate", "lz4", "zstd"])
    def test_bodies_may_be_compressed(self, http: httpx.Client, client: Client, encoding: str) -> None:
        body = compressed(encoding, lines(0, 1000))
        query = "INSERT INTO rows FORMAT JSONEachRow SETTINGS date_time_input_format = 'best_effort'"
        answer = http.post("/", params={"query": query}, content=body, headers={"Content-Encoding": encoding})
        assert answer.status_code == 200, answer.text
        assert client.command("SELECT count() FROM rows") == 1000

    def test_a_setting_holds_for_one_query(self, client: Client) -> None:
        before = client.command("SELECT getSetting('max_threads')")
        assert client.command("SELECT getSetting('max_threads')", settings={"max_threads": 7}) == 7
        for _ in range(40):
            assert client.command("SELECT getSetting('max_threads')") == before

    def test_get_changes_nothing(self, http: httpx.Client) -> None:
        answer = http.get("/", params={"query": "INSERT INTO rows (n) VALUES (1)"})
        assert answer.headers["X-ClickHouse-Exception-Code"] == "164"
        assert http.get("/", params={"query": "SELECT count() FROM rows"}).text == "0\n"

    @pytest.mark.parametrize(
        ("query", "status", "code"),
        [("SELEC 1", 400, 62), ("SELECT nope", 404, 47), ("SELECT 1; SELECT 2", 400, 62), ("SELECT toUInt8('x')", 400, 6)],
    )
    def test_errors_carry_status_code_and_text(self, http: httpx.Client, query: str, status: int, code: int) -> None:
        answer = http.post("/", content=query)
        assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (status, str(code))
        assert answer.text.startswith(f"Code: {code}. DB::Exception: ")

    def test_large_answers_stream(self, client: Client) -> None:
        query = "SELECT number, toString(number) FROM numbers(1000000)"
        with client.query_row_block_stream(query) as blocks:
            assert sum(len(block) for block in blocks) == 1_000_000

    def test_reads_go_on_beside_a_long_read_and_a_long_insert(self, client: Client, config: Settings) -> None:
        stop = threading.Event()

        def read() -> None:
            while not stop.is_set():
                client.command("SELECT sum(sipHash64(number)) FROM numbers(20000000)")

        def write() -> None:
            inserter, first = store.Inserter(config), 0
            while not stop.is_set():
                inserter.insert("rows", [lines(first, 50_000)], options=BLOCK)
                first += 50_000
            inserter.close()

        threads = [threading.Thread(target=work) for work in (read, write)]
        for thread in threads:
            thread.start()
        try:
            slowest = 0.0
            for _ in range(50):
                started = time.perf_counter()
                assert client.command("SELECT 1") == 1
                slowest = max(slowest, time.perf_counter() - started)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert slowest < 1.0


def compressed(encoding: str, data: bytes) -> bytes:
    pack = {
        "gzip": gzip.compress,
        "deflate": zlib.compress,
        "lz4": lz4.frame.compress,
        "zstd": zstandard.ZstdCompressor().compress,
    }
    return bytes(pack[encoding](data))
