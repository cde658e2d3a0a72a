"""Questions: files of SQL that say in words what they answer. One file, one question, named by it.

The head of a file is read here, so that the command line, the dashboards and the documentation ask alike:

    -- What do decisions cost?                      the question; the rest of the head are notes
    -- number: 3                                    of the mission's question, and a letter for those beside it
    -- param tenant: String = default               name, ClickHouse type, default (none = required)
    --     whose decisions                          what it means
    -- unit realized_cost: USD                      of a column

Parameters travel apart from the text, `{tenant:String}` in ClickHouse's own way, so no value can become SQL.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from clickhouse_connect.driver.client import Client

from waterline.connectors.stores.clickhouse.client import errors
from waterline.connectors.stores.clickhouse.values import read_value
from waterline.schemas.errors import ErrorCode, Permanent

SQL = Path(__file__).parents[3] / "sql"
FOLDER = SQL / "forensics"
PANELS = SQL / "panels"
PARAM = re.compile(r"param (?P<name>\w+): (?P<type>[^=]+?)(?: =(?P<default>.*))?")
UNIT = re.compile(r"unit (?P<column>\w+): (?P<unit>.+)")
NUMBER = re.compile(r"number: (?P<number>\d+[a-z]?)")
USED = re.compile(r"\{(\w+):((?:[^{}']|'[^']*')+)\}")


@dataclass(frozen=True, slots=True)
class Parameter:
    """`default` is text as a person would give it; None = it must be given."""

    name: str
    type: str
    default: str | None
    help: str

    def read(self, text: str) -> str:
        """The text as ClickHouse reads it. Raises Permanent(INVALID_PARAMETER)."""
        try:
            return read_value(self.type, text)
        except ValueError as error:
            raise Permanent(ErrorCode.INVALID_PARAMETER, f"{self.name}: {error}") from error


@dataclass(frozen=True, slots=True)
class Question:
    name: str
    number: str
    words: str
    notes: str
    parameters: tuple[Parameter, ...]
    units: Mapping[str, str]
    sql: str

    def bind(self, given: Mapping[str, str]) -> dict[str, str]:
        """A value for every parameter. Raises Permanent(INVALID_PARAMETER) naming the one that is wrong."""
        known = [parameter.name for parameter in self.parameters]
        for name in given:
            if name not in known:
                raise Permanent(ErrorCode.INVALID_PARAMETER, f"{self.name} has no parameter {name!r}; it has {', '.join(known)}")
        bound: dict[str, str] = {}
        for parameter in self.parameters:
            text = given.get(parameter.name, parameter.default)
            if text is None:
                reason = f"{self.name} needs {parameter.name} ({parameter.type}): {parameter.help}"
                raise Permanent(ErrorCode.INVALID_PARAMETER, reason)
            bound[parameter.name] = parameter.read(text)
        return bound


@dataclass(frozen=True, slots=True)
class Answer:
    """`rows` have the keys of `columns`; money is Decimal, time is datetime in UTC."""

    question: Question
    parameters: dict[str, str]
    columns: list[str]
    rows: list[dict[str, Any]] = field(default_factory=list)


def ask(client: Client, question: Question, given: Mapping[str, str] | None = None, cluster: bool = False) -> Answer:
    """Run a question in the client's database. Raises Permanent(INVALID_PARAMETER), or what `client.errors` raises."""
    parameters = question.bind(given or {})
    # on a cluster a join of two distributed tables is sent to the shards with the right side already gathered
    settings = {"distributed_product_mode": "global"} if cluster else {}
    with errors():
        result = client.query(question.sql, parameters=parameters, settings=settings)
    columns = list(result.column_names)
    return Answer(question, parameters, columns, [dict(zip(columns, row, strict=True)) for row in result.result_rows])


def find(name: str, questions: list[Question]) -> Question:
    """By name, number or a name's beginning. Raises Permanent(NOT_FOUND) with the names that are near."""
    words = name.strip().lower().rstrip("?")
    wanted = re.sub(r"\W+", "_", words.removesuffix(".sql"))
    for question in questions:
        if wanted in (question.name, question.number) or words == question.words.lower().rstrip("?"):
            return question
    begun = [question for question in questions if wanted and question.name.startswith(wanted)]
    if len(begun) == 1:
        return begun[0]
    near = [question.name for question in begun] or _near(wanted, questions)
    hint = f"did you mean {', '.join(near)}?" if near else "`waterline questions` lists them"
    raise Permanent(ErrorCode.NOT_FOUND, f"there is no question {name!r}; {hint}")


def _near(wanted: str, questions: list[Question]) -> list[str]:
    """Names that are spelled alike, else those whose question shares a word of some length."""
    if close := get_close_matches(wanted, [question.name for question in questions], 3, 0.5):
        return close
    words = {word for word in wanted.split("_") if len(word) > 3}
    return [question.name for question in questions if words & set(re.findall(r"\w+", question.words.lower()))][:3]


def panel(name: str) -> Question:
    """A file of sql/panels, which dashboards show. Raises Permanent(NOT_FOUND)."""
    return find(name, load(PANELS))


@cache
def load(folder: Path = FOLDER) -> list[Question]:
    """All questions, by number. Raises ValueError, naming the file, when a head and its SQL do not agree."""
    found = [read(path) for path in folder.glob("*.sql")]
    numbers = [question.number for question in found if question.number]
    for number in numbers:
        if numbers.count(number) > 1:
            raise ValueError(f"two questions have the number {number}")
    return sorted(found, key=lambda one: (int(one.number.rstrip("abcdefghijklmnopqrstuvwxyz") or 0), one.number, one.name))


def read(path: Path) -> Question:
    """One file. Raises ValueError."""
    text = path.read_text()
    lines = text.splitlines()
    size = next((at for at, line in enumerate(lines) if not line.startswith("--")), len(lines))
    head = [line[2:].removeprefix(" ").rstrip() for line in lines[:size]]
    words, number = (head or [""])[0], ""
    parameters: list[Parameter] = []
    units: dict[str, str] = {}
    notes: list[str] = []
    for line in head[1:]:
        if line.startswith("    ") and parameters and not notes:
            last = parameters.pop()
            parameters.append(Parameter(last.name, last.type, last.default, f"{last.help} {line.strip()}".strip()))
        elif told := PARAM.fullmatch(line):
            default = told["default"]
            parameters.append(Parameter(told["name"], told["type"], None if default is None else default.strip(), ""))
        elif told := UNIT.fullmatch(line):
            units[told["column"]] = told["unit"]
        elif told := NUMBER.fullmatch(line):
            number = told["number"]
        else:
            notes.append(line)
    question = Question(path.stem, number, words, "\n".join(notes).strip(), tuple(parameters), units, text)
    _check(path, question)
    return question


def _check(path: Path, question: Question) -> None:
    declared = {(one.name, one.type) for one in question.parameters}
    used = set(USED.findall(question.sql))
    if not question.words.endswith("?"):
        raise ValueError(f"{path.name}: the first line asks the question: -- What ...?")
    if declared != used:
        odd = ", ".join(f"{name}: {kind}" for name, kind in sorted(declared ^ used))
        raise ValueError(f"{path.name}: parameters are declared in the head and used in the SQL, alike; not so: {odd}")
    for one in question.parameters:
        if not one.help:
            raise ValueError(f"{path.name}: parameter {one.name} does not say what it means")
        if one.default is not None:
            one.read(one.default)
