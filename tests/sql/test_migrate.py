"""Migrations: from zero, twice, recorded, refused when history changed, and the same files rendered for a cluster."""

import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from waterline.connectors.stores.clickhouse import migrate
from waterline.connectors.stores.clickhouse.macros import Target, UnknownMacro, render
from waterline.connectors.stores.clickhouse.migrate import Migration, MigrationRefused

FILES = migrate.load()
CLUSTER = Target("waterline", "c1")


@pytest.fixture
def empty(engine: Client) -> Iterator[Target]:
    target = Target(f"test_{uuid.uuid4().hex[:12]}")
    yield target
    engine.command(f"DROP DATABASE IF EXISTS {target.database}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the migrations that a test may change."""
    return Path(shutil.copytree(migrate.FOLDER, tmp_path / "migrations"))


def test_from_zero_and_again(engine: Client, empty: Target) -> None:
    assert migrate.read_applied(engine, empty) == {}
    assert migrate.apply(engine, empty) == FILES
    applied = migrate.read_applied(engine, empty)
    assert applied == {file.number: (file.name, file.checksum) for file in FILES}
    assert migrate.apply(engine, empty) == []


def test_a_run_that_died_in_the_middle_is_finished(engine: Client, empty: Target) -> None:
    for statement in render(FILES[0].text, empty) + render(FILES[1].text, empty):
        engine.command(statement)
    assert migrate.apply(engine, empty) == FILES


def test_a_changed_old_file_is_refused_before_anything_is_touched(engine: Client, empty: Target, folder: Path) -> None:
    migrate.apply(engine, empty, folder)
    old = folder / FILES[1].name
    old.write_text(old.read_text() + "\n")
    (folder / f"{len(FILES) + 1:04d}_more.sql").write_text(
        "-- Why: more.\n-- Blocking: no.\nCREATE TABLE {table:more} (a Int8) ENGINE = Log;"
    )
    with pytest.raises(MigrationRefused, match=r"0002_events\.sql changed after it was applied .* new migration"):
        migrate.apply(engine, empty, folder)
    assert len(migrate.read_applied(engine, empty)) == len(FILES)


def test_a_database_from_the_future_is_refused() -> None:
    future = {len(FILES) + 1: ("9999_future.sql", "x")}
    with pytest.raises(MigrationRefused, match=r"9999_future\.sql .* upgrade Waterline"):
        migrate.pending(FILES, future)


def test_a_view_that_is_gone_is_made_again(engine: Client, empty: Target) -> None:
    migrate.apply(engine, empty)
    for statement in ("DROP VIEW {}.completeness", "DROP VIEW {}.decisions", "DROP TABLE {}.topic_offsets"):
        engine.command(statement.format(empty.database))
    assert migrate.gone(engine, empty) == {"completeness": "VIEW", "decisions": "VIEW", "topic_offsets": "TABLE"}
    assert migrate.apply(engine, empty) == []
    assert migrate.gone(engine, empty) == {}
    assert engine.query(f"SELECT count() FROM {empty.database}.completeness").first_row == (0,)


def test_a_table_that_is_gone_is_not_made_again_in_silence(engine: Client, empty: Target) -> None:
    migrate.apply(engine, empty)
    engine.command(f"DROP TABLE {empty.database}.events SYNC")
    for refused in (migrate.outlook, migrate.apply):
        with pytest.raises(MigrationRefused, match=rf"{empty.database}\.events: made once and gone, .* `waterline refill`"):
            refused(engine, empty)
    assert "events" in migrate.gone(engine, empty)
    migrate.apply(engine, empty, anew={"events"})
    assert migrate.gone(engine, empty) == {}


def test_the_tables_are_known_by_what_the_files_make(engine: Client, empty: Target) -> None:
    migrate.apply(engine, empty)
    assert set(migrate.made(FILES, empty)) == migrate.present(engine, empty)
    both = migrate.made(FILES, CLUSTER)
    assert {"events", "events_local", "ranges_local", "decisions"} <= set(both)
    assert "decisions_local" not in both


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("0099_hole.sql", "-- Why: x.\n-- Blocking: no.\n", "the next number is"),
        ("next.sql", "-- Why: x.\n-- Blocking: no.\n", "is named 0001_what"),
        (f"{len(FILES) + 1:04d}_silent.sql", "SELECT 1;", "begins with '-- Why"),
    ],
)
def test_a_file_that_breaks_the_rules_is_refused(folder: Path, name: str, text: str, complaint: str) -> None:
    (folder / name).write_text(text)
    with pytest.raises(MigrationRefused, match=complaint):
        migrate.load(folder)


def test_an_unknown_macro_is_refused() -> None:
    with pytest.raises(UnknownMacro, match=r"\{on_clutser\}"):
        render("CREATE TABLE {table:a} {on_clutser} (b Int8);", CLUSTER)


def test_names_that_are_not_names_are_refused() -> None:
    with pytest.raises(ValueError, match="not a name"):
        Target("a; DROP DATABASE b")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_shape_on_a_single_node(file: Migration) -> None:
    for statement in render(file.text, Target("waterline")):
        assert not re.search(r"Replicated|Distributed|ON CLUSTER|_local", statement)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_shape_on_a_cluster(file: Migration) -> None:
    """Each table is replicated on its shard, asked through a Distributed one, and made on every node."""
    statements = render(file.text, CLUSTER)
    tables = [found.group(1) for one in statements if (found := re.search(r"TABLE IF NOT EXISTS waterline\.(\w+)_local ON", one))]
    for table in tables:
        local, front = (
            next(one for one in statements if re.search(rf"CREATE TABLE IF NOT EXISTS waterline\.{name} ON CLUSTER c1", one))
            for name in (f"{table}_local", table)
        )
        assert "ENGINE = ReplicatedMergeTree" in local
        assert f"AS waterline.{table}_local" in front
        assert re.search(rf"Distributed\(c1, waterline, {table}_local, (\w+)\)", front)
        shard = re.search(r", (\w+)\)$", front)
        assert shard
        assert re.search(rf"^\s+{shard.group(1)}\s+UInt", local, re.MULTILINE), "the sharding key is a column"
        assert "non_replicated" not in local
    for statement in statements:
        assert "ON CLUSTER c1" in statement


def test_a_column_is_added_to_the_shards_first_and_then_to_what_is_asked() -> None:
    text = "ALTER TABLE {both:events} {on_cluster} ADD COLUMN IF NOT EXISTS region LowCardinality(String) AFTER environment;"
    assert [statement.split(" ADD")[0] for statement in render(text, CLUSTER)] == [
        "ALTER TABLE waterline.events_local ON CLUSTER c1",
        "ALTER TABLE waterline.events ON CLUSTER c1",
    ]
    assert len(render(text, Target("waterline"))) == 1
