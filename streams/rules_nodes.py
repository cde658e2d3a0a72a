"""A YAML file as nodes that know their lines, and mappings of a closed list of fields. What is wrong is collected, not raised, so
that a file's mistakes are all told at once."""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import yaml
from msgspec import Struct
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from waterline.streams.rules_words import close, lasting, seconds

LARGEST = 128 * 1024
T = TypeVar("T")


class Mistake(Struct, frozen=True, order=True):
    """`what` says what is wrong and what to write instead."""

    line: int
    what: str


class Unreadable(Exception):
    """No node can be made of the file, so this is all that can be said of it."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.mistake = Mistake(line, what)


def compose(text: bytes) -> Node | None:
    """The file's root; None when nothing is in it. Raises Unreadable."""
    if len(text) > LARGEST:
        raise Unreadable(1, f"the file has {len(text):,} bytes, {LARGEST:,} are the most: is it a rules file?")
    try:
        decoded = text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable(text[: error.start].count(b"\n") + 1, "this is no UTF-8 text; save the file as UTF-8") from error
    try:
        return yaml.compose(decoded, yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = decoded.splitlines()[mark.line][mark.column :] if mark and mark.line < len(decoded.splitlines()) else ""
        tab = "; indent with spaces, not with tabs" if at.startswith("\t") else ""
        raise Unreadable(mark.line + 1 if mark else 1, f"this is not YAML: {error.problem or error.context}{tab}") from error
    except yaml.reader.ReaderError as error:
        line = decoded[: error.position].count("\n") + 1
        raise Unreadable(line, "this is not YAML: there is a character that no text has") from error
    except RecursionError as error:
        raise Unreadable(1, "this is nested far deeper than any rules file is") from error


def line_of(node: Node) -> int:
    return int(node.start_mark.line) + 1


def kind_of(node: Node) -> str:
    """For messages."""
    return "a list" if isinstance(node, SequenceNode) else "a mapping" if isinstance(node, MappingNode) else repr(node.value)


def entries(node: Node) -> list[tuple[Node, Node]]:
    """Keys and values of a mapping, in the file's order."""
    return [(key, value) for key, value in node.value] if isinstance(node, MappingNode) else []


def items(node: Node) -> list[Node]:
    return list(node.value) if isinstance(node, SequenceNode) else []


class Fields:
    """One mapping of the file. `name` is how messages call it; `allowed` its fields, `also` what others call some of them."""

    def __init__(
        self, node: Node, name: str, found: list[Mistake], allowed: Iterable[str], also: Mapping[str, str] | None = None
    ) -> None:
        self.name, self.line, self.found = name, line_of(node), found
        self.values: dict[str, Node] = {}
        self.lines: dict[str, int] = {}
        self.allowed = list(allowed)
        self.guessed: set[str] = set()
        self._take(entries(node), also or {})

    def _take(self, pairs: list[tuple[Node, Node]], also: Mapping[str, str]) -> None:
        given = {key.value for key, _ in pairs if isinstance(key, ScalarNode)}
        for key, value in pairs:
            name = key.value if isinstance(key, ScalarNode) else kind_of(key)
            if name not in self.allowed:
                guess = close(str(name), [one for one in self.allowed if one not in given], also)
                self.guessed.add(guess)
                hint = f"; is {guess} meant?" if guess else f"; there are {', '.join(self.allowed)}"
                self.wrong(line_of(key), f"there is no field {name}{hint}")
            elif name in self.values:
                self.wrong(line_of(key), f"{name} is given twice; line {self.lines[name]} has it too")
            else:
                self.values[name], self.lines[name] = value, line_of(key)

    def wrong(self, line: int, what: str) -> None:
        self.found.append(Mistake(line, f"{self.name}: {what}"))

    def at(self, field: str, what: str) -> None:
        self.wrong(self.lines.get(field, self.line), f"{field}: {what}")

    def missing(self, field: str, example: str) -> None:
        """Unless another field was probably meant to be it."""
        if field not in self.values and field not in self.guessed:
            self.wrong(self.line, f"{field} is missing; write for instance {field}: {example}")

    def text(self, field: str) -> str | None:
        """None when it is not there or no single value."""
        node = self.values.get(field)
        if node is None:
            return None
        if not isinstance(node, ScalarNode):
            self.at(field, f"one value is wanted, this is {kind_of(node)}")
            return None
        if not node.value:
            self.at(field, "has no value")
            return None
        return str(node.value)

    def read(self, field: str, read: Callable[[str], T]) -> T | None:
        """What `read` makes of the text; None when it is not there, or raises ValueError."""
        text = self.text(field)
        if text is None:
            return None
        try:
            return read(text)
        except ValueError as error:
            self.at(field, str(error))
            return None

    def unique(self, field: str, read: Callable[[str], str], lines: dict[str, int]) -> str | None:
        """As `read`, of a name that no other has. `lines`: where those before it are."""
        name = self.read(field, read)
        if name is not None and (line := lines.setdefault(name, self.lines[field])) != self.lines[field]:
            self.at(field, f"line {line} has a {field} of this name already; give each its own, alerts are told apart by it")
        return name

    def windows(self, field: str, length: int | None, more: int) -> int | None:
        """A time as a number of windows of `length` seconds, and `more`."""
        time = self.read(field, seconds)
        if time is None or not length:
            return None
        if time % length or (not time and not more):
            nearest = lasting(max(1, round(time / length)) * length)
            self.at(field, f"{self.text(field)} is no multiple of {lasting(length)}, by which windows end; write {nearest}")
        return time // length + more

    def texts(self, field: str) -> list[str] | None:
        """A list of single values."""
        node = self.values.get(field)
        if node is None:
            return None
        if not isinstance(node, SequenceNode) or not all(isinstance(one, ScalarNode) for one in node.value):
            self.at(field, f"a list is wanted, such as {field}: [{node.value if isinstance(node, ScalarNode) else 'agent'}]")
            return None
        return [str(one.value) for one in node.value]
