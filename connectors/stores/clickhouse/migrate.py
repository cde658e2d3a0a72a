"""Brings the database to the newest migration of sql/migrations: forward only, each file once, each recorded with its checksum.

A file that was applied may not change; what must change goes into a new file. Every statement may be repeated, so a run
that died in the middle of a file, and two runs at once, do no harm.

What applied files made must be there. A view that is gone is made again; a table that is gone took its rows with it, which
only Kafka has: to make it anew in silence would be to hide that.
"""

import hashlib
import re
import sys
from collections.abc import Container, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from clickhouse_connect.driver.client import Client

from waterline.connectors.stores.clickhouse.client import connect, errors
from waterline.connectors.stores.clickhouse.macros import Target, render
from waterline.schemas.errors import WaterlineError
from waterline.schemas.settings import settings

FOLDER = Path(__file__).parents[3] / "sql" / "migrations"
FILE = re.compile(r"(\d{4})_\w+\.sql")
MADE = re.compile(r"(CREATE|DROP)(?: OR REPLACE)? (TABLE|VIEW)(?: IF (?:NOT )?EXISTS)? \w+\.(\w+)")
SELF_FILLING = frozenset({"topic_offsets", "schema_migrations"})
"""Tables of which nothing is missed: they are filled again by who writes them."""
HEADER = re.compile(r"-- Why: .+?^-- Blocking: (?:yes|no)\b", re.MULTILINE | re.DOTALL)


class MigrationRefused(Exception):
    """The files and the database do not agree, or a file breaks the rules. Nothing was applied."""


@dataclass(frozen=True, slots=True)
class Migration:
    number: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


def load(folder: Path = FOLDER) -> list[Migration]:
    """The migration files in order. Raises MigrationRefused for a wrong name, a hole in the numbers or no header."""
    found: list[Migration] = []
    for path in sorted(folder.glob("*.sql")):
        matched = FILE.fullmatch(path.name)
        if not matched:
            raise MigrationRefused(f"{path.name}: a migration is named 0001_what_it_is_about.sql")
        migration = Migration(int(matched.group(1)), path.name, path.read_text())
        if migration.number != len(found) + 1:
            raise MigrationRefused(f"{path.name}: the next number is {len(found) + 1:04d}")
        if not HEADER.match(migration.text):
            raise MigrationRefused(f"{path.name}: begins with '-- Why: ...' and says '-- Blocking: yes' or '-- Blocking: no'")
        found.append(migration)
    if not found:
        raise MigrationRefused(f"there is no migration in {folder}")
    return found


def pending(files: list[Migration], applied: dict[int, tuple[str, str]]) -> list[Migration]:
    """The files not yet applied. `applied` is number -> (name, checksum). Raises MigrationRefused if history changed."""
    known = {migration.number: migration for migration in files}
    for number, (name, checksum) in sorted(applied.items()):
        if number not in known:
            raise MigrationRefused(f"{name} was applied to this database, but this version does not have it; upgrade Waterline")
        if known[number].checksum != checksum:
            raise MigrationRefused(
                f"{known[number].name} changed after it was applied (as {name}, checksum {checksum[:12]}, now"
                f" {known[number].checksum[:12]}). Restore the file and put the change into a new migration."
            )
    return [migration for migration in files if migration.number not in applied]


def read_applied(client: Client, target: Target) -> dict[int, tuple[str, str]]:
    """number -> (name, checksum), empty on a database that was never migrated. Reads only."""
    parameters = {"database": target.database}
    exists = client.query(
        "SELECT 1 FROM system.tables WHERE database = {database:String} AND name = 'schema_migrations'", parameters=parameters
    )
    if not exists.result_rows:
        return {}
    rows = client.query(
        "SELECT number, argMin(name, applied_at), argMin(checksum, applied_at)"
        f" FROM {target.database}.schema_migrations GROUP BY number"
    )
    return {int(number): (str(name), str(checksum)) for number, name, checksum in rows.result_rows}


def made(files: Iterable[Migration], target: Target) -> dict[str, str]:
    """Name -> TABLE or VIEW: what stands in the database after these files."""
    stands: dict[str, str] = {}
    for migration in files:
        for statement in render(migration.text, target):
            if found := MADE.match(statement):
                verb, kind, name = found.groups()
                if verb == "CREATE":
                    stands[name] = kind
                else:
                    stands.pop(name, None)
    return stands


def present(client: Client, target: Target) -> frozenset[str]:
    """The tables and views of the database; none when there is no database."""
    query = "SELECT name FROM system.tables WHERE database = {database:String}"
    rows = client.query(query, parameters={"database": target.database}).result_rows
    return frozenset(str(row[0]) for row in rows)


def gone(client: Client, target: Target, folder: Path = FOLDER) -> dict[str, str]:
    """Name -> TABLE or VIEW of what applied files made and is not there. Raises what `client.errors` raises."""
    with errors():
        applied = read_applied(client, target)
        there = present(client, target)
    stands = made([migration for migration in load(folder) if migration.number in applied], target)
    return {name: kind for name, kind in stands.items() if name not in there}


def lost(missing: Mapping[str, str]) -> list[str]:
    """Those of `gone` that took rows with them."""
    return sorted(name for name, kind in missing.items() if kind == "TABLE" and name.removesuffix("_local") not in SELF_FILLING)


def refusal(target: Target, tables: Sequence[str]) -> str:
    """What to say about tables that are lost."""
    named = ", ".join(f"{target.database}.{name}" for name in tables)
    return (
        f"{named}: made once and gone, with all that was stored there. Kafka still has its part of it: stop the sink"
        " (`waterline up --only kafka,front,streams,collector` starts the rest) and run `waterline refill`,"
        " which makes the tables anew and has the sink fill them again"
    )


def outlook(client: Client, target: Target, folder: Path = FOLDER, anew: Container[str] = ()) -> list[Migration]:
    """What `apply` would do. Raises MigrationRefused as it would, or what `client.errors` raises."""
    with errors():
        todo = pending(load(folder), read_applied(client, target))
    if unexpected := [name for name in lost(gone(client, target, folder)) if name.removesuffix("_local") not in anew]:
        raise MigrationRefused(refusal(target, unexpected))
    return todo


def apply(client: Client, target: Target, folder: Path = FOLDER, anew: Container[str] = ()) -> list[Migration]:
    """Apply what is pending and return it; make again what is gone, of tables only those that are to be made `anew`.

    Raises MigrationRefused before anything is touched if history changed or another table is lost.
    """
    todo = outlook(client, target, folder, anew)
    with errors():
        if gone(client, target, folder):
            for migration in load(folder):
                if migration not in todo:
                    _run(client, target, migration)
        for migration in todo:
            _run(client, target, migration)
            client.command(
                f"INSERT INTO {target.database}.schema_migrations (number, name, checksum)"
                " SELECT {number:UInt32}, {name:String}, {checksum:String}",
                parameters={"number": migration.number, "name": migration.name, "checksum": migration.checksum},
                settings={"distributed_foreground_insert": 1},  # on a cluster the next reader must see it
            )
    return todo


def _run(client: Client, target: Target, migration: Migration) -> None:
    for statement in render(migration.text, target):
        client.command(statement)


def main(arguments: list[str]) -> int:
    """`python -m waterline.connectors.stores.clickhouse.migrate [--dry-run]`; the exit code, 1 with the reason on stderr."""
    config, dry = settings(), "--dry-run" in arguments
    try:
        target = Target(config.clickhouse_database, config.clickhouse_cluster)
        with closing(connect(config, database="default")) as client:
            missing = gone(client, target)
            done = outlook(client, target) if dry else apply(client, target)
    except (MigrationRefused, WaterlineError, ValueError) as error:
        print(f"migrate: {error}", file=sys.stderr)
        return 1
    told = [f"{'would make' if dry else 'made'} {name} again, which was gone" for name in missing]
    told += [f"{'would apply' if dry else 'applied'} {migration.name}" for migration in done]
    print("\n".join(told) or f"{target.database}: nothing to do")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
