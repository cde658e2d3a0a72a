"""Whether the questions of a rules file can be asked of a ClickHouse, without asking them: every name and type in them is
looked up, no row is read."""

import re
import time
from collections.abc import Mapping
from pathlib import Path

from clickhouse_connect.driver.client import Client

from waterline.connectors.stores.clickhouse.client import UNKNOWN_DATABASE, StoreRefused, StoreUnavailable, errors
from waterline.ruler.asker import PATIENCE_S, Span, values_of
from waterline.schemas.errors import Permanent
from waterline.streams import rules_asked
from waterline.streams.steps.moment import SECOND
from waterline.streams.steps.rules import Asked, Rules

USED = re.compile(r"\{(\w+):((?:[^{}']|'[^']*')+)\}")
NUMBER = re.compile(r"(?:Nullable\()?(?:U?Int|Float|Decimal)")
TEXT = re.compile(r"(?:LowCardinality\()?(?:Nullable\()?String")
_COMMENT = re.compile(r"--[^\n]*")
_AT = re.compile(r"\(line (\d+), col \d+\)")
_NAMED = re.compile(r"[`']([^`'\n]+)[`']")
_BEGIN, _SCOPE = "DB::Exception: ", re.compile(r"\.? [Ii]n scope ")
LONGEST = 300


def mistakes(client: Client, rules: Rules, folder: Path) -> list[str]:
    """A line for each question that cannot be asked: file, line, rule and what ClickHouse says. `folder`: where the rules file
    lies. Raises StoreUnavailable when ClickHouse does not answer, or has no database of ours."""
    found = (_mistake(client, asked, rules_asked.path_of(asked.question, folder)) for asked in rules.asked)
    return [one for one in found if one]


def _mistake(client: Client, asked: Asked, path: Path) -> str:
    now = time.time_ns() // 1000
    given = values_of(asked, Span(now - asked.rule.window_s * SECOND, now))
    try:
        columns = _columns(client, asked.sql, given)
        if asked.rows:
            names = {name: "" for name, kind in columns.items() if TEXT.match(kind)}
            _columns(client, asked.rows, given | names | {"tenant": ""})
    except (StoreRefused, StoreUnavailable) as error:
        if isinstance(error, StoreUnavailable) and error.clickhouse_code in (0, UNKNOWN_DATABASE):
            raise
        said = _SCOPE.split(error.reason.rpartition(_BEGIN)[2])[0][:LONGEST]
        return f"{path}, line {_line(path, said)}: rule {asked.name}: {said}"
    except Permanent as error:
        return f"{path}, line 1: rule {asked.name}: {error.reason}"
    for column in ("value", "samples"):
        if not NUMBER.match(columns[column]):
            line = _line(path, f"`{column}`")
            return f"{path}, line {line}: rule {asked.name}: {column} is a {columns[column]}, a number is wanted"
    return ""


def _columns(client: Client, sql: str, given: Mapping[str, str]) -> dict[str, str]:
    """The columns of the answer, with their types."""
    used = {name: given[name] for name, _ in USED.findall(sql) if name in given}
    with errors():
        rows = client.query(
            f"DESCRIBE TABLE (\n{sql}\n)", parameters=used, settings={"max_execution_time": PATIENCE_S}
        ).result_rows
    return {str(row[0]): str(row[1]) for row in rows}


def _line(path: Path, said: str) -> int:
    """Where in the file the mistake is: as ClickHouse says, or where the first name that it names stands, or where the statement
    begins."""
    lines = _COMMENT.sub("", path.read_text("utf-8")).splitlines()
    begin = next((number for number, line in enumerate(lines, 1) if line.strip()), 1)
    if at := _AT.search(said):
        return begin + int(at[1]) - 2
    for name in _NAMED.findall(said):
        word = re.compile(rf"(?<!\w){re.escape(name)}(?!\w)")
        if line := next((number for number, line in enumerate(lines, 1) if word.search(line)), 0):
            return line
    return begin
