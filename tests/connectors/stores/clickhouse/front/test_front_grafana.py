"""Grafana's ClickHouse data source over HTTP: requests of clickhouse-go 2.50.0 with that plugin's options, byte for byte.

`grafana_requests.http` holds what it sent: its greeting, a ping and a query over many types. `grafana_answer.native` is the
answer to the last one that it decoded to the right values.
"""

import gzip
import http.client
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.connectors.stores.clickhouse.front.process import Front
from waterline.connectors.stores.clickhouse.front import native

HERE = Path(__file__).parent
REQUESTS = (HERE / "grafana_requests.http").read_bytes()
ANSWER = (HERE / "grafana_answer.native").read_bytes()


@pytest.fixture
def answers(front: Front) -> Iterator[list[http.client.HTTPResponse]]:
    """Answers to the recorded requests, sent one after the other on one connection."""
    got = []
    with socket.create_connection(("127.0.0.1", front.port), timeout=30) as door:
        for part in REQUESTS.split(b"POST /")[1:]:
            door.sendall(b"POST /" + part)
            got.append(http.client.HTTPResponse(door))
            got[-1].begin()
            got[-1].body = inflated(got[-1])  # type: ignore[attr-defined]
        yield got


def inflated(answer: http.client.HTTPResponse) -> bytes:
    body = answer.read()
    return gzip.decompress(body) if answer.headers["Content-Encoding"] == "gzip" else body


def test_the_recorded_requests_are_answered(answers: list[Any]) -> None:
    assert [answer.status for answer in answers] == [200, 200, 200]
    assert answers[0].body.startswith(native.BLOCK_INFO + b"\x04\x01\x0ddisplayName()\x06String\x00")
    assert answers[1].body == native.BLOCK_INFO + b"\x01\x01\x011\x05UInt8\x00\x01"
    assert answers[2].body == ANSWER


def reframed(data: bytes) -> bytes:
    reading, writing = os.pipe()
    out_reading, out_writing = os.pipe()
    os.write(writing, data)
    os.close(writing)
    native.reframe(reading, out_writing)
    with open(out_reading, "rb") as out:
        return out.read()


def test_frames_are_all_that_is_added(http_client: httpx.Client) -> None:
    """Without frames the answer is shorter by block info and by a byte a column, and nothing else differs."""
    query = REQUESTS.rpartition(b"\r\n\r\n")[2]
    plain = http_client.post("/", content=query, params={"default_format": "Native"}).content
    columns = plain[0]
    assert len(ANSWER) == len(plain) + len(native.BLOCK_INFO) + columns
    assert reframed(plain) == ANSWER


def test_many_blocks_and_long_strings(http_client: httpx.Client) -> None:
    """More than a pipe holds, so that a column is cut anywhere."""
    query = "SELECT toString(number) AS a, repeat('y', number % 300) AS b, [a, b] AS c FROM numbers(100000)"
    framed: dict[str, str | int] = {"client_protocol_version": 54460, "default_format": "Native"}
    got = http_client.post("/", content=query, params=framed).content
    plain = http_client.post("/", content=query, params={"default_format": "Native"}).content
    blocks = got.count(native.BLOCK_INFO)
    assert blocks > 1
    assert len(got) == len(plain) + blocks * (len(native.BLOCK_INFO) + 3)


def test_a_version_without_frames_gets_none(http_client: httpx.Client) -> None:
    answer = http_client.post("/", content="SELECT 1 AS a FORMAT Native", params={"client_protocol_version": 54405})
    assert answer.content == b"\x01\x01\x01a\x05UInt8\x01"


def test_a_type_that_cannot_be_framed_is_refused(http_client: httpx.Client) -> None:
    query = "SELECT CAST(number, 'Variant(UInt64, String)') FROM numbers(3)"
    answer = http_client.post("/", content=query, params={"client_protocol_version": 54460, "default_format": "Native"})
    assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (501, "48")
    assert http_client.post("/", content="SELECT count() FROM system.processes").text == "1\n"


@pytest.mark.parametrize(
    ("inner", "parts"),
    [
        ("a UInt8, b Tuple(c String, d Array(UInt8))", ["a UInt8", "b Tuple(c String, d Array(UInt8))"]),
        ("'a,(' = 1, 'b\\'' = 2", ["'a,(' = 1", "'b\\'' = 2"]),
        ("", []),
    ],
)
def test_arguments_of_types(inner: str, parts: list[str]) -> None:
    assert native.arguments(inner) == parts
