"""YAML files that people write, as nodes that know their lines, for readers that tell all mistakes of a file at once. The
sentences about what a file may say are its reader's own."""

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches

import yaml
from msgspec import Struct
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

LARGEST = 128 * 1024


class Mistake(Struct, frozen=True, order=True):
    """`what` says what is wrong and what to write instead."""

    line: int
    what: str


class Unreadable(Exception):
    """No node can be made of the file, so this is all that can be said of it."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.mistake = Mistake(line, what)


def compose(text: bytes, kind: str, unlike: str = "this is not YAML") -> Node | None:
    """The file's root; None when nothing is in it. `kind` of file, and how to say that it is no YAML, are for messages. Raises
    Unreadable."""
    if len(text) > LARGEST:
        raise Unreadable(1, f"the file has {len(text):,} bytes, {LARGEST:,} are the most: is it a {kind} file?")
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
        raise Unreadable(mark.line + 1 if mark else 1, f"{unlike}: {error.problem or error.context}{tab}") from error
    except yaml.reader.ReaderError as error:
        line = decoded[: error.position].count("\n") + 1
        raise Unreadable(line, f"{unlike}: there is a character that no text has") from error
    except RecursionError as error:
        raise Unreadable(1, f"this is nested far deeper than any {kind} file is") from error


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


def named(
    node: Node, known: Iterable[str] | None, unknown: Callable[[int, str], None], twice: Callable[[int, str, int], None]
) -> dict[str, tuple[int, Node]]:
    """The fields of a mapping: the line of the name, and the value. A name that is not among the `known` (None = all are) is told
    as (line, name), one that is given again as (line, name, line of the first), and left out."""
    found: dict[str, tuple[int, Node]] = {}
    for key, value in entries(node):
        name = str(key.value) if isinstance(key, ScalarNode) else kind_of(key)
        if known is not None and name not in known:
            unknown(line_of(key), name)
        elif name in found:
            twice(line_of(key), name, found[name][0])
        else:
            found[name] = line_of(key), value
    return found


def close(word: str, known: Iterable[str], also: Mapping[str, str] | None = None) -> str:
    """The known word that is probably meant; empty when none is near. `also`: other words for some."""
    words = {**(also or {}), **{name: name for name in known}}
    found = get_close_matches(word.lower().replace("-", "_"), words, 1, 0.7)
    return words[found[0]] if found else ""
