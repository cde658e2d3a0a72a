"""The HTTP interface, as curl and other plain clients use it."""

import base64
import gzip
import json
import shutil
import struct
import subprocess
import zlib
from typing import Any

import httpx
import lz4.frame  # type: ignore[import-untyped]
import pytest
import zstandard

from tests.connectors.stores.clickhouse.front.process import Front, NewFront
from waterline.connectors.stores.clickhouse.front import codecs


def ask(client: httpx.Client, body: str, **params: str | int) -> str:
    answer = client.post("/", content=body, params=params)
    assert answer.status_code == 200, answer.text
    return answer.text


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl(front: Front, table: str) -> None:
    def curl(*arguments: str, data: bytes = b"") -> str:
        command = ["curl", "--silent", "--show-error", "--fail-with-body", *arguments]
        return subprocess.run(command, input=data, capture_output=True, timeout=30, check=False).stdout.decode()

    assert curl(f"{front.url}/ping") == "Ok.\n"
    assert curl(front.url) == "Ok.\n"
    assert curl(f"{front.url}/?query=SELECT%201") == "1\n"
    assert curl(front.url, "-d", "SELECT 1 AS a FORMAT JSONEachRow") == '{"a":1}\n'
    assert curl(front.url, "--data-binary", "@-", data=f"INSERT INTO {table} FORMAT CSV\n1,a\n2,b\n".encode()) == ""
    query = f"{front.url}/?query=INSERT%20INTO%20{table}%20FORMAT%20JSONEachRow"
    chunked = ("-H", "Transfer-Encoding: chunked", "--data-binary", "@-")
    assert curl(query, *chunked, data=b'{"n":3,"s":"c"}\n') == ""
    assert curl(front.url, "-d", f"INSERT INTO {table} VALUES (4, 'd'), (2 + 3, upper('e'))") == ""
    assert (
        curl("--compressed", f"{front.url}/?query=SELECT%20*%20FROM%20{table}%20ORDER%20BY%20n")
        == "1\ta\n2\tb\n3\tc\n4\td\n5\tE\n"
    )
    assert curl("-I", f"{front.url}/?query=SELECT%201").startswith("HTTP/1.1 200 OK")
    assert curl(f"{front.url}/replicas_status") == "Ok.\n"
    assert curl(front.url, "-d", "SELEC").startswith("Code: 62. DB::Exception: Syntax error")


def test_the_query_may_be_in_the_url_in_the_body_or_in_both(http_client: httpx.Client) -> None:
    assert http_client.get("/", params={"query": "SELECT 1"}).text == "1\n"
    assert ask(http_client, "SELECT 1") == "1\n"
    assert ask(http_client, "+ 1", query="SELECT 1") == "2\n"


def test_headers_tell_what_was_done(http_client: httpx.Client, table: str) -> None:
    answer = http_client.post("/", content="SELECT number FROM numbers(5) FORMAT JSONCompact", params={"query_id": "mine"})
    assert answer.headers["X-ClickHouse-Query-Id"] == "mine"
    assert answer.headers["X-ClickHouse-Format"] == "JSONCompact"
    assert answer.headers["X-ClickHouse-Timezone"]
    assert answer.headers["X-ClickHouse-Server-Display-Name"]
    assert answer.headers["Content-Type"] == "application/json; charset=UTF-8"
    summary = json.loads(answer.headers["X-ClickHouse-Summary"])
    assert (summary["read_rows"], summary["result_rows"]) == ("5", "5")
    inserted = http_client.post("/", content=f"INSERT INTO {table} SELECT number, '' FROM numbers(7)")
    assert json.loads(inserted.headers["X-ClickHouse-Summary"])["written_rows"] == "7"


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"params": {"default_format": "CSV"}}, b'1,"a"\n'),
        ({"headers": {"X-ClickHouse-Format": "JSONCompactEachRow"}}, b'[1, "a"]\n'),
        ({"params": {"default_format": "JSONEachRow", "query": "SELECT 1, 'a' FORMAT TSV"}}, b"1\ta\n"),
    ],
)
def test_the_format_of_the_statement_wins_over_the_default(
    http_client: httpx.Client, given: dict[str, Any], wanted: bytes
) -> None:
    body = None if "query" in given.get("params", {}) else "SELECT 1, 'a'"
    assert http_client.post("/", content=body, **given).content == wanted


@pytest.mark.parametrize("form", ["JSON", "Parquet", "Arrow", "CSVWithNames", "RowBinaryWithNamesAndTypes", "XML", "Pretty"])
def test_a_document_is_one_document_however_long(http_client: httpx.Client, form: str) -> None:
    """Formats with a head and a foot, over several blocks and more than the buffer."""
    query = "SELECT number AS n, toString(number) AS s FROM numbers(300000) SETTINGS max_block_size = 10000"
    if form == "Pretty":
        query += ", output_format_pretty_max_rows = 1000000"
    answer = http_client.post("/", content=query, params={"default_format": form})
    assert answer.status_code == 200
    if form == "JSON":
        assert len(answer.json()["data"]) == answer.json()["rows"] == 300_000
    if form == "CSVWithNames":
        assert answer.text.startswith('"n","s"\n0,"0"\n')
        assert answer.text.count('"n"') == 1
    if form == "Parquet":
        assert answer.content[:4] == answer.content[-4:] == b"PAR1"


def test_parameters_are_values(http_client: httpx.Client, table: str) -> None:
    assert ask(http_client, "SELECT {x:String}, {y:UInt8} + 1, {z:Array(String)}", param_x="it's", param_y=2, param_z="['a']")
    assert (
        ask(http_client, "SELECT {x:String}", param_x="a\\tb\\\\c'; SELECT 2", default_format="RawBLOB") == "a\tb\\c'; SELECT 2"
    )
    missing = http_client.post("/", content="SELECT {x:String}")
    assert missing.headers["X-ClickHouse-Exception-Code"] == "456"
    assert ask(http_client, "INSERT INTO {t:Identifier} FORMAT CSV\n1,a\n", param_t=table) == ""
    assert http_client.post("/", content="INSERT INTO {t:Identifier} FORMAT CSV\n1,a\n").status_code != 200
    assert ask(http_client, f"SELECT count() FROM {table}") == "1\n"


@pytest.mark.parametrize(("form", "count"), [("Native", 3), ("RowBinary", 3), ("Parquet", 3), ("ArrowStream", 3), ("Avro", 3)])
def test_bodies_with_any_bytes(http_client: httpx.Client, table: str, form: str, count: int) -> None:
    query = "SELECT number AS n, unhex('000D0A00FF27') AS s FROM numbers(3)"
    data = http_client.post("/", content=f"{query} FORMAT {form}").content
    answer = http_client.post("/", content=data, params={"query": f"INSERT INTO {table} FORMAT {form}"})
    assert answer.status_code == 200, answer.text
    answer = http_client.post("/", content=f"INSERT INTO {table} FORMAT {form}\n".encode() + data)
    assert answer.status_code == 200, answer.text
    assert ask(http_client, f"SELECT count() FROM {table} WHERE hex(s) = '000D0A00FF27'") == f"{2 * count}\n"


def test_a_large_body_is_streamed_into_the_engine(http_client: httpx.Client, table: str) -> None:
    """More than is held, in chunks without a length."""
    row, rows, pieces = struct.pack("<QB", 7, 100) + b"x" * 100, 1000, 500
    query = f"INSERT INTO {table} FORMAT RowBinary"
    answer = http_client.post("/", content=(row * rows for _ in range(pieces)), params={"query": query})
    assert answer.status_code == 200, answer.text
    assert ask(http_client, f"SELECT count(), uniqExact(s) FROM {table}") == f"{rows * pieces}\t1\n"


def test_the_data_of_an_insert_select_are_read_by_input(http_client: httpx.Client, table: str) -> None:
    query = (
        f"INSERT INTO {table} SELECT a * {{by:UInt8}}, 'it''s (' FROM (SELECT a FROM input('a UInt64')) WHERE a > 7 FORMAT CSV"
    )
    answer = http_client.post("/", content="7\n8\n9\n", params={"query": query, "param_by": "2"})
    assert answer.status_code == 200, answer.text
    assert ask(http_client, f"SELECT sum(n), any(s) FROM {table}") == "34\tit\\'s (\n"
    for _ in range(20):  # and the connection is fit for the next one
        broken = http_client.post("/", content="7\nx\n", params={"query": query, "param_by": "2"})
        assert broken.headers["X-ClickHouse-Exception-Code"] == "117", broken.text
    assert ask(http_client, f"SELECT count() FROM {table}") == "2\n"


def test_data_that_nothing_reads_are_refused_and_not_dropped(http_client: httpx.Client, table: str) -> None:
    query = f"INSERT INTO {table} SELECT 1, 'x' FORMAT CSV"
    assert http_client.post("/", content="7\n8\n", params={"query": query}).headers["X-ClickHouse-Exception-Code"] == "62"
    assert ask(http_client, f"INSERT INTO {table} SELECT number, 'x' FROM numbers(2) FORMAT Null") == ""
    assert ask(http_client, f"SELECT sum(n) FROM {table}") == "1\n"


UNPACK = {
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
    "lz4": lz4.frame.decompress,
    "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
}


@pytest.mark.parametrize("count", [3, 400_000])
@pytest.mark.parametrize("name", ["gzip", "deflate", "lz4", "zstd"])
def test_answers_may_be_compressed(front: Front, name: str, count: int) -> None:
    with front.client() as client:
        with client.stream(
            "POST", "/", content=f"SELECT number FROM numbers({count})", headers={"Accept-Encoding": name}
        ) as answer:
            assert answer.headers["Content-Encoding"] == name
            assert UNPACK[name](b"".join(answer.iter_raw())).count(b"\n") == count
        off = client.post("/", content="SELECT 1", params={"enable_http_compression": 0}, headers={"Accept-Encoding": name})
        assert "Content-Encoding" not in off.headers


def test_clickhouses_own_blocks_both_ways(http_client: httpx.Client, table: str) -> None:
    rows = b"".join(b"%d,abc\n" % n for n in range(100_000))
    body = codecs.BlockEncoder().feed(rows)
    answer = http_client.post("/", content=body, params={"decompress": 1, "query": f"INSERT INTO {table} FORMAT CSV"})
    assert answer.status_code == 200, answer.text
    answer = http_client.post("/", content=f"SELECT n FROM {table}", params={"compress": 1})
    blocks = codecs.Blocks()
    assert blocks.feed(answer.content).count(b"\n") == 100_000
    blocks.end()
    broken = http_client.post("/", content=body[:-1], params={"decompress": 1, "query": f"INSERT INTO {table} FORMAT CSV"})
    assert broken.headers["X-ClickHouse-Exception-Code"] == "271"
    assert ask(http_client, f"SELECT count() FROM {table}") == "100000\n"


def test_an_error_in_the_middle_breaks_the_answer_off(http_client: httpx.Client) -> None:
    query = "SELECT throwIf(number = 3000000), number FROM numbers(5000000) SETTINGS max_block_size = 10000"
    got: list[bytes] = []
    with http_client.stream("POST", "/", content=query, params={"enable_http_compression": 0}) as answer:
        assert answer.status_code == 200
        tag = answer.headers["X-ClickHouse-Exception-Tag"].encode()
        with pytest.raises(httpx.RemoteProtocolError):
            got.extend(answer.iter_raw())
    assert b"\r\n__exception__\r\n" + tag + b"\r\nCode: 395. " in b"".join(got)
    held = http_client.post("/", content=query, params={"wait_end_of_query": 1})
    assert (held.status_code, held.headers["X-ClickHouse-Exception-Code"]) == (500, "395")


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health(http_client: httpx.Client, path: str) -> None:
    assert (http_client.get(path).status_code, http_client.get(path).text) == (200, "Ok.\n")


def test_metrics_count_what_was_done(http_client: httpx.Client, table: str) -> None:
    def metric(name: str) -> float:
        return float(
            next((line.split()[-1] for line in http_client.get("/metrics").text.splitlines() if line.startswith(name)), 0)
        )

    before = {name: metric(name) for name in ('front_refused_total{code="62"}', "front_queries_total")}
    written = metric('front_rows_total{direction="written"}')
    ask(http_client, f"INSERT INTO {table} VALUES (1, 'a'), (2, 'b')")
    http_client.post("/", content="SELEC")
    assert metric('front_rows_total{direction="written"}') == written + 2
    assert {name: metric(name) for name in before} == {
        'front_refused_total{code="62"}': before['front_refused_total{code="62"}'] + 1,
        "front_queries_total": before["front_queries_total"] + 2,
    }


def test_forms_carry_long_parameters_and_tables(http_client: httpx.Client) -> None:
    long = "x" * 100_000
    answer = http_client.post(
        "/",
        params={"ext_structure": "a UInt8, b String", "ext_format": "CSV"},
        data={"query": "SELECT length({p:String}), groupArray(b) FROM ext", "param_p": long},
        files={"ext": ("ext.csv", b'1,"one\r\n--two"\n2,"\x00"\n')},
    )
    assert answer.text == "100000\t['one\\r\\n--two','\\0']\n"
    assert http_client.post("/", content="SELECT * FROM ext").headers["X-ClickHouse-Exception-Code"] == "60"


@pytest.mark.parametrize(
    ("query", "code"),
    [("SELECT 1 INTO OUTFILE '/tmp/x'", "358"), ("SELECT 1; SELECT 2", "62"), ("SELECT 1 FORMAT Nope", "73"), ("", "62")],
)
def test_what_http_does_not_allow(http_client: httpx.Client, query: str, code: str) -> None:
    assert http_client.post("/", content=query).headers["X-ClickHouse-Exception-Code"] == code


def test_other_methods_and_paths(http_client: httpx.Client) -> None:
    assert http_client.put("/").status_code == 405
    assert http_client.get("/nothing").status_code == 404


def test_a_password(new_front: NewFront) -> None:
    front = new_front(WATERLINE_CLICKHOUSE_PASSWORD="secret").start()
    good = {"X-ClickHouse-User": "default", "X-ClickHouse-Key": "secret"}
    basic = "Basic " + base64.b64encode(b"default:secret").decode()
    with front.client() as client:
        none = client.post("/", content="SELECT 1")
        assert (none.status_code, none.headers["X-ClickHouse-Exception-Code"]) == (401, "194")
        for headers in ({"X-ClickHouse-Key": "wrong"}, good | {"X-ClickHouse-User": "other"}, {"Authorization": "Basic !"}):
            refused = client.post("/", content="SELECT 1", headers=headers)
            assert (refused.status_code, refused.headers["X-ClickHouse-Exception-Code"]) == (403, "516")
        for headers in (good, {"Authorization": basic}, {"X-ClickHouse-Key": "secret"}):
            assert client.post("/", content="SELECT 1", headers=headers).text == "1\n"
        assert client.post("/", content="SELECT 1", params={"user": "default", "password": "secret"}).text == "1\n"
        assert client.get("/ping").text == "Ok.\n"
    front.child.stop()


def test_a_long_statement_holds_nobody_up(front: Front) -> None:
    """A megabyte of SQL is looked through; five are refused, and before they are."""
    numbers = ",".join(map(str, range(150_000)))
    with front.client() as client:
        answer = client.post("/", content=f"SELECT length([{numbers}]) FORMAT CSV", params={"max_query_size": 10**7})
        assert answer.text == "150000\n", answer.text[:200]
        refused = client.post("/", content=b"\0" * (5 * 2**20))
        assert (refused.status_code, refused.headers["X-ClickHouse-Exception-Code"]) == (413, "229")
