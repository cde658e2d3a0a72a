"""Requests as multipart/form-data: parameters too long for a URL as fields, tables sent along with a query as files."""

import re
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from waterline.connectors.stores.clickhouse.front.errors import Code, refuse
from waterline.connectors.stores.clickhouse.front.link import Link, Stats, identifier
from waterline.connectors.stores.clickhouse.front.statement import Input, Insert

KIND = "multipart/form-data"
BOUNDARY = re.compile(r'boundary="?([^";]+)"?', re.IGNORECASE)
NAME = re.compile(rb'[;\s]name="((?:[^"\\]|\\.)*)"', re.IGNORECASE)
FILE = re.compile(rb"[;\s]filename\*?=", re.IGNORECASE)
DISPOSITION = re.compile(rb"^content-disposition:[^\r\n]*", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Table:
    """A temporary table that lives for one query. `structure` is that of CREATE TABLE, without parentheses."""

    name: str
    structure: str
    form: str
    data: bytes


def parse(content_type: str, body: bytes) -> tuple[dict[str, str], dict[str, bytes]]:
    """Fields and files, by name."""
    boundary = BOUNDARY.search(content_type)
    if not boundary:
        raise refuse(Code.INCORRECT_DATA, "The form has no boundary")
    fields: dict[str, str] = {}
    files: dict[str, bytes] = {}
    for part in (b"\r\n" + body).split(b"\r\n--" + boundary[1].encode("latin-1"))[1:]:
        if part.startswith(b"--"):
            return fields, files
        head, _, data = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        disposition = DISPOSITION.search(head)
        name = NAME.search(disposition[0]) if disposition else None
        if not disposition or not name:
            raise refuse(Code.INCORRECT_DATA, "A part of the form has no name")
        if FILE.search(disposition[0]):
            files[name[1].decode()] = data
        else:
            fields[name[1].decode()] = data.decode("utf-8", "surrogateescape")
    raise refuse(Code.INCORRECT_DATA, "The form ends in the middle")


def tables(files: dict[str, bytes], settings: dict[str, str]) -> list[Table]:
    """The files as tables; their descriptions (`<name>_structure`, `_types`, `_format`) are taken out of `settings`."""
    out = []
    for name, data in files.items():
        structure, types = settings.pop(f"{name}_structure", ""), settings.pop(f"{name}_types", "")
        if types and not structure:
            structure = ", ".join(f"_{at} {kind}" for at, kind in enumerate(types.split(","), 1))
        if not structure:
            raise refuse(Code.INCORRECT_DATA, f"Neither {name}_structure nor {name}_types describes the table {name}")
        out.append(Table(name, structure, settings.pop(f"{name}_format", "TabSeparated"), data))
    return out


def create(link: Link, table: Table) -> None:
    link.run(f"CREATE TEMPORARY TABLE {identifier(table.name)} ({table.structure})".encode())


def fill(link: Link, table: Table, pieces: Iterable[bytes] = ()) -> None:
    """With `pieces` instead of its own data, when there are any."""
    link.insert(Insert(f"INSERT INTO {identifier(table.name)}".encode(), table.form, 0), pieces or (table.data,))


def drop(link: Link, table: Table) -> None:
    link.run(f"DROP TEMPORARY TABLE {identifier(table.name)}".encode())


def insert_over_input(link: Link, insert: Insert, call: Input, pieces: Iterable[bytes], params: Mapping[str, str]) -> Stats:
    """INSERT ... SELECT ... FROM input('structure'): the data go into a temporary table that takes the function's place."""
    table = Table(f"input_{uuid.uuid4().hex}", call.structure, insert.format, b"")
    text = insert.head[: call.start] + identifier(table.name).encode() + insert.head[call.end :]
    create(link, table)
    try:
        fill(link, table, pieces)
        return link.run(text, params=params)[1]
    finally:
        drop(link, table)
