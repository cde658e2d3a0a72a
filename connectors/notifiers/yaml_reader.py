"""Questions to a value of the routes file: one that it does not answer is a mistake, with its line and what was meant."""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from typing import TypeVar

from yaml import nodes

from waterline.schemas.yaml_lines import Mistake, close, items, kind_of, line_of, named

DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
Answer = TypeVar("Answer")
VARIABLE = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)")


class Node:
    """A value of the file. A question that it does not answer is a mistake, and gets the default."""

    def __init__(self, found: list[Mistake], node: nodes.Node, path: str = "") -> None:
        self.found, self.node, self.path = found, node, path

    def wrong(self, what: str, line: int = 0) -> None:
        """Once, however often the same is asked."""
        told = Mistake(line or line_of(self.node), f"{self.path}: {what}" if self.path else what)
        if told not in self.found:
            self.found.append(told)

    def inner(self, name: str, node: nodes.Node) -> "Node":
        return Node(self.found, node, f"{self.path}.{name}" if self.path else name)

    @property
    def scalar(self) -> str | None:
        return str(self.node.value) if isinstance(self.node, nodes.ScalarNode) else None

    @property
    def null(self) -> bool:
        return isinstance(self.node, nodes.ScalarNode) and self.node.tag == "tag:yaml.org,2002:null"

    @property
    def shown(self) -> str:
        """For a message."""
        return "nothing" if self.null else kind_of(self.node)

    def mapping(self, known: Iterable[str] | None = None, required: Iterable[str] = ()) -> dict[str, "Node"]:
        """By name; with `known` no others are allowed."""
        if not isinstance(self.node, nodes.MappingNode):
            if not self.null:
                self.wrong(f"a mapping (name: value) is wanted, this is {self.shown}")
            return {}
        names = None if known is None else list(known)

        def unknown(line: int, name: str) -> None:
            self.inner(name, self.node).wrong(f"no such field, {meant(name, names or ())}", line)

        def twice(line: int, name: str, first: int) -> None:
            self.inner(name, self.node).wrong(f"is there already, in line {first}; only one can be meant", line)

        found = {name: self.inner(name, value) for name, (_, value) in named(self.node, names, unknown, twice).items()}
        for name in required:
            if name not in found:
                self.wrong(f"{name!r} is missing")
        return found

    def items(self) -> list["Node"]:
        if not isinstance(self.node, nodes.SequenceNode) and not self.null:
            self.wrong(f"a list is wanted, this is {self.shown}")
        return [Node(self.found, one, f"{self.path}[{number}]") for number, one in enumerate(items(self.node), 1)]

    def text(self, default: str = "") -> str:
        if self.scalar is None or self.null or not self.scalar.strip():
            self.wrong(f"text is wanted, this is {self.shown}")
            return default
        return self.scalar

    def words(self) -> tuple[str, ...]:
        """One text, or a list of them."""
        if isinstance(self.node, nodes.SequenceNode):
            if not self.node.value:
                self.wrong("the list is empty")
            return tuple(one.text() for one in self.items())
        return (self.text(),)

    def flag(self) -> bool:
        if self.scalar not in ("true", "false"):
            self.wrong(f"true or false is wanted, this is {self.shown}")
        return self.scalar == "true"

    def number(self, least: float, most: float, default: float) -> float:
        try:
            value = float(self.scalar or "")
        except ValueError:
            value = float("nan")
        if not least <= value <= most:
            self.wrong(f"a number from {least:g} to {most:g} is wanted, this is {self.shown}")
            return default
        return value

    def duration(self, least_s: float, most_s: float, default: float) -> float:
        """Seconds of a text such as 30s, 5m, 2h, 1d."""
        match = DURATION.fullmatch(self.scalar or "")
        if not match:
            self.wrong(f"a duration such as 30s, 5m or 2h is wanted, this is {self.shown}")
            return default
        seconds = float(match[1]) * SECONDS[match[2]]
        if not least_s <= seconds <= most_s:
            self.wrong(f"from {least_s:g}s to {most_s:g}s is possible, this is {self.shown}")
            return default
        return seconds

    def moment(self) -> datetime | None:
        try:
            found = datetime.fromisoformat(self.scalar or "")
        except ValueError:
            self.wrong(f"a time such as 2026-01-31T22:00:00Z is wanted, this is {self.shown}")
            return None
        if found.tzinfo is None and type(found) is not date:
            self.wrong(f"a time zone is missing: {self.scalar}Z is UTC")
            return None
        return found.astimezone(UTC)

    def variable(self) -> str:
        """The variable's name in `env:NAME`. What is written there instead is not repeated in the message."""
        match = VARIABLE.fullmatch(self.scalar or "")
        if not match:
            self.wrong("a secret does not stand in this file: put it into an environment variable and write env:NAME")
            return "UNSET"
        return match[1]


def meant(name: str, names: Iterable[str]) -> str:
    """The end of a message about a name that is none."""
    known = list(names)
    found = close(name, known)
    return f"is {found!r} meant?" if found else f"there are {', '.join(known) or 'none'}"


def ask(found: Mapping[str, "Node"], name: str, question: Callable[["Node"], Answer], default: Answer) -> Answer:
    """The answer of a field that may be left out."""
    return question(found[name]) if name in found else default
