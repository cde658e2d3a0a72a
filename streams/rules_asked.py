"""Rules that are a question to ClickHouse: a `.sql` file that is asked of each window of time once the window is over.

rules:
  - rule: refunds_without_a_ticket
    question: refunds.sql         # a file beside this one; or, without .sql, one of the questions that come along
    params: {least: 10}           # values for the file's parameters; left out = their defaults
    every: 5m                     # how often it is asked, and of how much time
    above: 5%                     # in the unit
    unit: "%"                     # of its value: %, ms, s, USD, tokens; left out = a plain number
    at_least: 20                  # samples without which nothing can be said
    clear_at: 90%                 # these as in any other rule
    for: 5m
    hold: 15m
    severity: warning
    runbook: https://...
    meaning: refunds are made for which there is no ticket

The file says what it asks as those of sql/forensics do. It is given {from:DateTime64(6, 'UTC')} and {to:DateTime64(6, 'UTC')},
the window's ends, and answers a row for each group: `value`, `samples`, if it likes `decisions` (up to five keys, as an array),
and further columns of text that name the group, `tenant` among them. {watched:UInt8} is 1 when the window is asked of as it ends,
and 0 when it was over while nobody watched. After a `;` may stand a second statement, which alerts carry as the SQL that shows
what is behind a value: the group's names are its parameters.
"""

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from functools import partial
from pathlib import Path

from yaml.nodes import Node, ScalarNode

from waterline.schemas.yaml_lines import Mistake, entries, kind_of, line_of
from waterline.streams.rules_nodes import Fields
from waterline.streams.rules_words import UNITS, lasting, link, meant, name, seconds, severity, share, threshold, whole
from waterline.streams.steps.rules import Asked, How, Measure, Rule

FOLDER = Path(__file__).resolve().parents[1] / "sql" / "rules"
FIELDS = {
    "rule": "refunds_without_a_ticket",
    "question": "refunds.sql",
    "params": "{least: 10}",
    "every": "5m",
    "above": "5%",
    "unit": '"%"',
    "at_least": "20",
    "clear_at": "90%",
    "for": "5m",
    "hold": "15m",
    "severity": "warning",
    "runbook": "https://...",
    "meaning": "refunds are made for which there is no ticket",
}
REQUIRED = ("rule", "question", "every", "above")
NOT_OF_A_QUESTION = {
    "measure": "the question says what is measured",
    "window": "a question is asked of the time since it was asked last, which `every` says",
    "by": "the columns of the answer say what a group is",
}
ALSO = {
    "name": "rule",
    "alert": "rule",
    "query": "question",
    "sql": "question",
    "file": "question",
    "parameters": "params",
    "interval": "every",
    "threshold": "above",
    "limit": "above",
    "min_samples": "at_least",
    "clear": "clear_at",
    "duration": "for",
    "level": "severity",
    "url": "runbook",
    "description": "meaning",
}
CALLED = {"": "count", "%": "ratio"} | {unit: unit for unit in UNITS if unit not in ("count", "ratio")}
"""a unit as one writes it -> as alerts name it"""
SHORTEST, DAY, MINUTE = 10, 86400, 60
BOUNDS = {"from": "DateTime64(6, 'UTC')", "to": "DateTime64(6, 'UTC')"}
GIVEN = BOUNDS | {"watched": "UInt8"}
"""parameters that whoever asks fills in"""
Pairs = Mapping[str, tuple[int, str | None]]
"""name -> line and value"""
LARGEST = 64 * 1024
_USED = re.compile(r"\{(\w+):((?:[^{}']|'[^']*')+)\}")
_DECLARED = re.compile(r"^-- param (\w+): ([^=\n]+?)(?: =(.*))?$", re.MULTILINE)
_COMMENT = re.compile(r"--[^\n]*")


def is_question(node: Node) -> bool:
    """Whether an item of the rules is meant to be one."""
    return any(isinstance(key, ScalarNode) and key.value in ("question", "query", "sql") for key, _ in entries(node))


def read(node: Node, label: str, found: list[Mistake], lines: dict[str, int], folder: Path) -> Asked | None:
    """None when a mistake is in it. `label` is how messages call it, `folder` where the rules file lies."""
    fields, before = Fields(node, label, found, (*FIELDS, *NOT_OF_A_QUESTION), ALSO), len(found)
    for field, why in NOT_OF_A_QUESTION.items():
        if fields.values.pop(field, None) is not None:
            fields.at(field, f"{why}; leave {field} out")
    for required in REQUIRED:
        fields.missing(required, FIELDS[required])
    told, every, unit = fields.text("question"), fields.read("every", _every), fields.read("unit", _unit) or "count"
    text = None if told is None else _file(fields, told, folder)
    measure = Measure(told or "", "", How.ASKED, unit, "", "samples")
    above = fields.read("above", partial(threshold, measure))
    given = {
        "name": fields.unique("rule", name, lines),
        "measure": told and Path(told).stem,
        "window_s": every,
        "above": above and above[0],
        "by": (),
        "at_least": fields.read("at_least", whole),
        "clear_at": fields.read("clear_at", share),
        "for_windows": fields.windows("for", every, 1),
        "hold_windows": fields.windows("hold", every, 0),
        "severity": fields.read("severity", severity),
        "runbook": fields.read("runbook", link),
        "meaning": fields.text("meaning"),
    }
    pairs = _pairs(fields)
    parameters = () if text is None else _parameters(fields, pairs, told or "", text)
    if len(found) > before or fields.guessed or text is None:
        return None
    rule = Rule(**{field: value for field, value in given.items() if value is not None})  # type: ignore[arg-type]
    sql, _, rows = _COMMENT.sub("", text).partition(";")
    rows = rows.strip().removesuffix(";").strip()
    return Asked(rule=rule, unit=unit, sql=sql.strip(), rows=rows, parameters=parameters, question=told or "")


def path_of(told: str, folder: Path) -> Path:
    """Where a question is that a rules file in `folder` names."""
    return folder / told if told.endswith(".sql") else FOLDER / f"{told}.sql"


def _every(text: str) -> int:
    length = seconds(text)
    if length < SHORTEST:
        raise ValueError(f"{text} is too often for a question; write {lasting(SHORTEST)} or more")
    if length > DAY or DAY % length:
        nearest = min((one for one in range(MINUTE, DAY + 1, MINUTE) if DAY % one == 0), key=lambda one: abs(one - length))
        what = f"a day is no whole number of {lasting(length)}, so windows would begin elsewhere each day"
        raise ValueError(f"{what}; write {lasting(nearest)}")
    return length


def _unit(text: str) -> str:
    if text in CALLED:
        return CALLED[text]
    raise ValueError(f"there is no unit {text[:40]}{meant(text, [one for one in CALLED if one], {'percent': '%', 'usd': 'USD'})}")


def _file(fields: Fields, told: str, folder: Path) -> str | None:
    """The text of the question; None when it is none."""
    path = path_of(told, folder)
    try:
        text = path.read_bytes()[: LARGEST + 1].decode()
    except (OSError, ValueError) as error:
        known = [one.stem for one in sorted(FOLDER.glob("*.sql"))]
        why = error.strerror if isinstance(error, OSError) else "no UTF-8 text"
        what = f"{path}: {why}" if told.endswith(".sql") else f"there is no question {told[:80]}{meant(told, known)}"
        fields.at("question", what)
        return None
    if wrong := _wrong(told, text):
        fields.at("question", wrong)
        return None
    return text


def _wrong(told: str, text: str) -> str:
    """Why a text cannot be asked as a rule; empty when it can."""
    if len(text) > LARGEST:
        return f"{told} has more than {LARGEST:,} characters"
    sql, _, rows = _COMMENT.sub("", text).partition(";")
    used = dict(_USED.findall(sql))
    for bound, kind in BOUNDS.items():
        if bound not in used:
            return f"{told} never uses {{{bound}:{kind}}}, so it cannot be asked of a window"
    for given, kind in GIVEN.items():
        if (other := used.get(given, kind)) != kind:
            return f"{told}: {given} is a {kind}; write {{{given}:{kind}}} for {{{given}:{other}}}"
    for column in ("value", "samples"):
        if not re.search(rf"\bas\s+`?{column}\b", sql, re.IGNORECASE):
            return f"{told} has no column {column}; name one, `... AS {column}`"
    if ";" in rows.rstrip().removesuffix(";"):
        return f"{told} has more than two statements: one that judges, and one that shows what is behind a value"
    return ""


def _parameters(fields: Fields, given: Pairs, told: str, text: str) -> tuple[tuple[str, str], ...]:
    """A value for each parameter of the question that no group and no window gives."""
    declared = {one: (kind.strip(), default and default.strip()) for one, kind, default in _declared(text)}
    used = dict(_USED.findall(_COMMENT.sub("", text).partition(";")[0]))
    for parameter, (line, _) in given.items():
        if parameter not in declared or parameter in GIVEN:
            own = [one for one in declared if one not in GIVEN]
            hint = meant(parameter, own) if own else "; it has none"
            fields.wrong(line, f"params: {told} has no parameter {parameter}{hint}")
    values: dict[str, str] = {}
    for parameter, kind in used.items():
        if parameter in GIVEN:
            continue
        line, value = given.get(parameter, (0, declared.get(parameter, ("", None))[1]))
        if value is None:
            fields.at("question", f"{told} needs {parameter} ({kind}); write params: {{{parameter}: ...}}")
        elif not _fits(kind, value):
            fields.wrong(line or fields.line, f"params: {parameter}: {value!r} is no {kind}")
        else:
            values[parameter] = value
    return tuple(sorted(values.items()))


def _declared(text: str) -> list[tuple[str, str, str | None]]:
    return [(one[1], one[2], one[3]) for one in _DECLARED.finditer(text)]


def _pairs(fields: Fields) -> Pairs:
    node = fields.values.get("params")
    if node is None:
        return {}
    pairs = entries(node)
    if not pairs and node.value:
        fields.at("params", f"names and values are wanted, such as {FIELDS['params']}; this is {kind_of(node)[:40]}")
    found: dict[str, tuple[int, str | None]] = {}
    for key, value in pairs:
        if isinstance(value, ScalarNode):
            found[str(key.value)] = line_of(key), str(value.value)
        else:
            fields.wrong(line_of(key), f"params: {key.value}: one value is wanted, this is {kind_of(value)}")
    return found


def _fits(kind: str, value: str) -> bool:
    """Whether a text is a value of a type, as far as can be said without asking."""
    if kind.startswith("UInt"):
        return value.isascii() and value.isdigit()
    if kind.startswith(("Float", "Decimal", "Int")):
        try:
            return Decimal(value).is_finite()
        except InvalidOperation:
            return False
    return True
