"""Settings, databases and temporary tables: what stays, and what must not."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.connectors.stores.clickhouse.front.process import Front

SETTING = "SELECT getSetting('max_threads'), getSetting('max_block_size'), currentDatabase()"


def ask(client: httpx.Client, query: str, method: str = "POST", **params: str | int) -> str:
    answer = client.request(method, "/", params={"query": query, **params})
    assert answer.status_code == 200, answer.text
    return answer.text


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["GET", "POST"]),
            st.fixed_dictionaries({}, optional={"max_threads": st.integers(1, 9), "max_block_size": st.integers(1, 99)}),
            st.sampled_from(["", "default", "system"]),
            st.sampled_from(["", "SET max_threads = 8", "USE system", "CREATE TEMPORARY TABLE leak (a UInt8)", "SELECT nope"]),
        ),
        max_size=12,
    )
)
@hypothesis_settings(max_examples=25, deadline=None)
def test_nothing_leaks_into_the_next_request(front: Front, requests: list[Any]) -> None:
    with front.client() as client:
        plain = ask(client, SETTING)
        threads, block, _ = plain.split()
        for method, settings, database, statement in requests:
            if statement:
                client.post("/", content=statement, params=settings)
            got = ask(client, SETTING, method, **settings, **({"database": database} if database else {}))
            wanted = [
                str(settings.get("max_threads", threads)),
                str(settings.get("max_block_size", block)),
                database or "default",
            ]
            assert got.split() == wanted
        assert ask(client, SETTING) == plain
        assert client.post("/", content="SELECT * FROM leak").headers["X-ClickHouse-Exception-Code"] == "60"


def test_readonly_in_a_request_does_not_stay(http_client: httpx.Client, table: str) -> None:
    for _ in range(3):
        assert http_client.post("/", content=f"INSERT INTO {table} VALUES (1, '')", params={"readonly": 1}).status_code != 200
    ask(http_client, "SELECT 1", readonly=2)
    assert http_client.post("/", content=f"INSERT INTO {table} VALUES (1, '')").status_code == 200


@pytest.mark.parametrize("name", ["nonsense", "max_threads'; DROP", "a b", "1", "max_threads = 1, max_block_size"])
def test_an_unknown_setting_is_refused(http_client: httpx.Client, name: str) -> None:
    answer = http_client.post("/", content="SELECT 1", params={name: "1"})
    assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (404, "115")


def test_a_setting_with_quotes_is_a_value(http_client: httpx.Client) -> None:
    hostile = "', readonly = '2"
    assert ask(http_client, "SELECT getSetting('format_csv_null_representation')", format_csv_null_representation=hostile) == (
        hostile.replace("'", "\\'") + "\n"
    )


def test_a_session_keeps_settings_tables_and_database(http_client: httpx.Client) -> None:
    mine: dict[str, Any] = {"session_id": "keep", "session_timeout": 30}
    ask(http_client, "CREATE TEMPORARY TABLE kept (a UInt8)", **mine)
    ask(http_client, "INSERT INTO kept VALUES (1), (2)", **mine)
    ask(http_client, "SET max_threads = 3", **mine)
    ask(http_client, "USE system", **mine)
    assert ask(http_client, "SELECT count() FROM kept", **mine) == "2\n"
    for _ in range(2):
        assert ask(http_client, SETTING, **mine).split()[0::2] == ["3", "system"]
        assert ask(http_client, SETTING, **mine, max_threads=5, database="default").split()[0::2] == ["5", "default"]
    assert http_client.post("/", content="SELECT 1", params={**mine, "nonsense": 1}).status_code == 404
    assert ask(http_client, SETTING, **mine).split()[0::2] == ["3", "system"]
    assert http_client.post("/", content="SELECT count() FROM kept").status_code == 404


def test_a_session_serves_one_request_at_a_time(front: Front) -> None:
    def hold() -> httpx.Response:
        with front.client() as client:
            return client.post("/", content="SELECT sleep(1.5)", params={"session_id": "one"})

    with front.client() as client, ThreadPoolExecutor() as threads:
        holding = threads.submit(hold)
        while ask(client, "SELECT count() FROM system.processes WHERE query LIKE 'SELECT sleep%'") != "1\n":
            assert not holding.done()
        answer = client.post("/", content="SELECT 1", params={"session_id": "one"})
        assert answer.headers["X-ClickHouse-Exception-Code"] == "373"
        assert holding.result().status_code == 200
        assert client.post("/", content="SELECT 1", params={"session_id": "one"}).text == "1\n"


def test_a_session_that_must_exist(http_client: httpx.Client) -> None:
    answer = http_client.post("/", content="SELECT 1", params={"session_id": "never", "session_check": 1})
    assert answer.headers["X-ClickHouse-Exception-Code"] == "372"
