"""Mappings of a rules file: a closed list of fields, and what is said of each that is wrong."""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from yaml.nodes import Node, ScalarNode, SequenceNode

from waterline.schemas.yaml_lines import Mistake, close, entries, items, kind_of, line_of, named
from waterline.streams.rules_words import lasting, seconds

T = TypeVar("T")


class Fields:
    """One mapping of the file. `name` is how messages call it; `allowed` its fields, `also` what others call some of them."""

    def __init__(
        self, node: Node, name: str, found: list[Mistake], allowed: Iterable[str], also: Mapping[str, str] | None = None
    ) -> None:
        self.name, self.line, self.found = name, line_of(node), found
        self.allowed = list(allowed)
        self.guessed: set[str] = set()
        given = {key.value for key, _ in entries(node) if isinstance(key, ScalarNode)}
        self._not_given, self._also = [one for one in self.allowed if one not in given], also or {}
        fields = named(node, self.allowed, self._unknown, self._twice)
        self.values = {field: value for field, (_, value) in fields.items()}
        self.lines = {field: line for field, (line, _) in fields.items()}

    def _unknown(self, line: int, field: str) -> None:
        guess = close(field, self._not_given, self._also)
        self.guessed.add(guess)
        hint = f"; is {guess} meant?" if guess else f"; there are {', '.join(self.allowed)}"
        self.wrong(line, f"there is no field {field}{hint}")

    def _twice(self, line: int, field: str, first: int) -> None:
        self.wrong(line, f"{field} is given twice; line {first} has it too")

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


def listed(
    node: Node | None,
    section: str,
    one: str,
    found: list[Mistake],
    allowed: Mapping[str, str],
    also: Mapping[str, str],
    read: Callable[[Fields], T | None],
) -> list[T]:
    """What is read from each mapping of a list, without those that have a mistake. The first `allowed` field begins one."""
    begin, made = next(iter(allowed)), []
    if node is not None and not items(node) and node.value:
        what = f"{section}: a list is wanted, each beginning with `- {begin}:`; this is {kind_of(node)[:40]}"
        found.append(Mistake(line_of(node), what))
    for number, item in enumerate(items(node) if node is not None else [], 1):
        before, called = len(found), f"{one} number {number}"
        if not entries(item):
            found.append(Mistake(line_of(item), f"{called}: fields such as `{begin}:` are wanted, this is {kind_of(item)[:40]}"))
        elif (value := read(Fields(item, called, found, allowed, also))) is not None and len(found) == before:
            made.append(value)
    return made
