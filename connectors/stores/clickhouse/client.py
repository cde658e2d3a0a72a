"""The one place where our processes make a ClickHouse client, and where its errors become ours.

`connect` is clickhouse-connect with our settings, for questions and migrations. `Inserter` sends bytes that are already
in an input format: no parsing, no copy. Both tell errors apart by ClickHouse's numeric code alone.
"""

import http.client
import json
import logging
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import IntEnum
from ipaddress import ip_address
from typing import NoReturn
from urllib.parse import SplitResult, urlencode, urlsplit

import clickhouse_connect
import lz4.frame  # type: ignore[import-untyped]
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error as DriverError

from waterline.schemas.errors import ErrorCode, Permanent, Transient
from waterline.schemas.settings import Settings, settings

# the driver logs what it raises; who catches it says it
logging.getLogger("clickhouse_connect").addHandler(logging.NullHandler())

CONNECT_S = 5.0
ANSWER_S = 120.0
UNKNOWN_DATABASE = 81
IDLE_S = 10.0
"""A connection that rested longer is opened anew: the other side may have closed it in the meantime."""


class DataError(IntEnum):
    """Every code of ClickHouse by which a row itself is at fault, so that the same bytes always fail. Any other code may pass."""

    CANNOT_PARSE_TEXT = 6
    SIZE_OF_FIXED_STRING_DOESNT_MATCH = 19
    CANNOT_PARSE_ESCAPE_SEQUENCE = 25
    CANNOT_PARSE_QUOTED_STRING = 26
    CANNOT_PARSE_INPUT_ASSERTION_FAILED = 27
    CANNOT_READ_ALL_DATA = 33
    CANNOT_PARSE_DATE = 38
    CANNOT_PARSE_DATETIME = 41
    ARGUMENT_OUT_OF_BOUND = 69
    CANNOT_CONVERT_TYPE = 70
    CANNOT_PARSE_NUMBER = 72
    INCORRECT_DATA = 117
    TOO_LARGE_ARRAY_SIZE = 128
    CANNOT_READ_ARRAY_FROM_TEXT = 130
    TOO_LARGE_STRING_SIZE = 131
    SIZES_OF_ARRAYS_DONT_MATCH = 190
    VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE = 321
    CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN = 349
    CANNOT_PARSE_UUID = 376
    DECIMAL_OVERFLOW = 407
    CANNOT_PARSE_DOMAIN_VALUE_FROM_STRING = 441
    CANNOT_PARSE_BOOL = 467
    VIOLATED_CONSTRAINT = 469
    CANNOT_READ_MAP_FROM_TEXT = 563
    UNEXPECTED_DATA_AFTER_PARSED_VALUE = 632
    CANNOT_PARSE_IPV4 = 675
    CANNOT_PARSE_IPV6 = 676
    UNKNOWN_ELEMENT_OF_ENUM = 691


DATA_ERRORS = frozenset(int(code) for code in DataError)


class StoreRefused(Permanent):
    """ClickHouse refused the data. `clickhouse_code` is one of DataError."""

    def __init__(self, clickhouse_code: int, reason: str) -> None:
        super().__init__(ErrorCode.STORE_REFUSED, reason)
        self.clickhouse_code = clickhouse_code


class StoreUnavailable(Transient):
    """No answer, or a refusal that may pass. `clickhouse_code` is 0 when ClickHouse did not say one."""

    def __init__(self, clickhouse_code: int, reason: str) -> None:
        super().__init__(ErrorCode.STORE_UNAVAILABLE, reason)
        self.clickhouse_code = clickhouse_code


def refuse(clickhouse_code: int, reason: str) -> NoReturn:
    """Raise what the code means."""
    if clickhouse_code in DATA_ERRORS:
        raise StoreRefused(clickhouse_code, reason)
    raise StoreUnavailable(clickhouse_code, reason)


@contextmanager
def errors() -> Iterator[None]:
    """Around calls of a clickhouse-connect client: its errors leave as StoreRefused or StoreUnavailable."""
    try:
        yield
    except DriverError as error:
        refuse(error.code or 0, " ".join(str(error).split())[:1000])
    except OSError as error:
        refuse(0, f"{type(error).__name__}: {error}")


def connect(config: Settings | None = None, *, database: str | None = None, answer_s: float = ANSWER_S) -> Client:
    """A clickhouse-connect client without a session, so that several threads may use it at once.

    `database` replaces the setting, for example `default` before the first migration has made ours.
    """
    config = config or settings()
    url = urlsplit(config.clickhouse)
    with errors():
        return clickhouse_connect.get_client(
            host=url.hostname,
            port=port_of(url),
            interface=url.scheme,
            username=config.clickhouse_user,
            password=config.clickhouse_password,
            database=config.clickhouse_database if database is None else database,
            ca_cert=config.clickhouse_ssl_ca or None,
            compress=not local(url),
            connect_timeout=CONNECT_S,
            send_receive_timeout=answer_s,
            autogenerate_session_id=False,
        )


def port_of(url: SplitResult) -> int:
    return url.port or (8443 if url.scheme == "https" else 8123)


def local(url: SplitResult) -> bool:
    """Whether the server is on this machine, where compressing costs more than it saves."""
    host = url.hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Inserter:
    """Raw inserts over one kept connection. Not for two threads at a time."""

    def __init__(self, config: Settings | None = None) -> None:
        self.config = config or settings()
        self.url = urlsplit(self.config.clickhouse)
        self.compress = not local(self.url)
        self.headers = {"X-ClickHouse-User": self.config.clickhouse_user, "X-ClickHouse-Key": self.config.clickhouse_password}
        self.connection: http.client.HTTPConnection | None = None
        self.used = 0.0

    def insert(
        self,
        table: str,
        pieces: Sequence[bytes],
        *,
        form: str = "JSONEachRow",
        options: Mapping[str, str | int] | None = None,
        columns: Sequence[str] = (),
        deadline_s: float = ANSWER_S,
    ) -> int:
        """Rows written, after ClickHouse has them. `pieces` are sent one after the other, as one body.

        `options` are settings of this insert, such as insert_deduplication_token. Raises StoreRefused or StoreUnavailable;
        after the latter it is unknown whether the rows are there, unless the same token makes a second attempt harmless.
        """
        headers = self.headers | {"Content-Type": "application/octet-stream"}
        if self.compress:
            pieces = (lz4.frame.compress(b"".join(pieces)),)
            headers["Content-Encoding"] = "lz4"
        headers["Content-Length"] = str(sum(map(len, pieces)))
        status, answered, text = self._exchange(self.path(table, form, options or {}, columns), pieces, headers, deadline_s)
        code = answered.get("X-ClickHouse-Exception-Code", "")
        if status != 200 or code:
            refuse(int(code) if code.isdecimal() else 0, f"HTTP {status}: {text[:1000].decode(errors='replace').strip()}")
        return int(json.loads(answered.get("X-ClickHouse-Summary") or "{}").get("written_rows", 0))

    def path(self, table: str, form: str, options: Mapping[str, str | int], columns: Sequence[str]) -> str:
        """What an insert is sent to. On a cluster it is answered when the shard has the rows, not when they are in a queue of the
        node that was asked: a queue that is lost, or sent on late, would break every promise made about tokens."""
        named = f" ({', '.join(columns)})" if columns else ""
        query = {"query": f"INSERT INTO {table}{named} FORMAT {form}", "database": self.config.clickhouse_database}
        shards = {"distributed_foreground_insert": 1} if self.config.clickhouse_cluster else {}
        return f"{self.url.path or '/'}?{urlencode(query | shards | dict(options))}"

    def _exchange(
        self, path: str, pieces: Sequence[bytes], headers: Mapping[str, str], deadline_s: float
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        try:
            connection = self._connected(deadline_s)
            connection.request("POST", path, body=pieces, headers=headers)
            response = connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            refuse(0, f"{type(error).__name__}: {error}")
        self.used = time.monotonic()
        return response.status, response.headers, text

    def _connected(self, deadline_s: float) -> http.client.HTTPConnection:
        if self.connection and time.monotonic() - self.used > IDLE_S:
            self.close()
        if self.connection is None or self.connection.sock is None:
            self.connection = self._open()
            self.connection.connect()
        self.connection.sock.settimeout(deadline_s)
        return self.connection

    def _open(self) -> http.client.HTTPConnection:
        host, port = self.url.hostname or "127.0.0.1", port_of(self.url)
        if self.url.scheme != "https":
            return http.client.HTTPConnection(host, port, timeout=CONNECT_S)
        context = ssl.create_default_context(cafile=self.config.clickhouse_ssl_ca or None)
        return http.client.HTTPSConnection(host, port, timeout=CONNECT_S, context=context)

    def close(self) -> None:
        if self.connection:
            self.connection.close()
            self.connection = None
