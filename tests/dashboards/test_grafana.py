"""The dashboard asks what the files ask, and what it asks is answered."""

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import yaml
from clickhouse_connect.driver.client import Client

from tests.sql import seed
from waterline.connectors.stores.clickhouse import migrate, questions
from waterline.connectors.stores.clickhouse.client import connect
from waterline.connectors.stores.clickhouse.macros import Target
from waterline.dashboards import generate
from waterline.schemas.settings import Settings

SHOWN = json.loads(generate.FILE.read_text())
PROVISIONING = generate.FILE.parent / "provisioning"


@pytest.fixture(scope="module")
def reader(clickhouse_url: str) -> Iterator[Client]:
    target = Target("test_dashboards")
    with closing(connect(Settings(clickhouse=clickhouse_url), database="default")) as client:
        migrate.apply(client, target)
        with closing(seed.Store(clickhouse_url, target.database)) as store:
            seed.fill(store)
        with closing(connect(Settings(clickhouse=clickhouse_url, clickhouse_database=target.database))) as reader:
            yield reader
        client.command(f"DROP DATABASE {target.database}")


def as_grafana_sends_it(sql: str) -> str:
    """With the data source's macros and the variable's format applied."""
    begin, end = (f"toDateTime({int(seed.at(second).timestamp())})" for second in (-86400, 86400))
    return sql.replace("$__fromTime", begin).replace("$__toTime", end).replace("${tenant:sqlstring}", "'acme'")


def test_the_dashboard_is_what_the_files_make_it() -> None:
    assert generate.FILE.read_text() == generate.written(), "run python -m waterline.dashboards.generate"


def test_every_panel_file_is_shown() -> None:
    files = {path.stem for path in questions.PANELS.glob("*.sql")}
    assert {panel.file for panel in generate.PANELS} == files


@pytest.mark.parametrize("panel", SHOWN["panels"], ids=lambda panel: panel["title"])
def test_a_panel_is_answered(reader: Client, panel: dict[str, Any]) -> None:
    (target,) = panel["targets"]
    sql = as_grafana_sends_it(target["rawSql"])
    assert "$" not in sql
    assert "{" not in sql
    assert len(reader.query(sql).result_rows) == 1


def test_provisioning_names_the_same_data_source() -> None:
    (source,) = yaml.safe_load((PROVISIONING / "datasources" / "waterline.yaml").read_text())["datasources"]
    assert {"type": source["type"], "uid": source["uid"]} == generate.SOURCE
    assert source["jsonData"]["traces"]["defaultTable"] == "otel_traces"
