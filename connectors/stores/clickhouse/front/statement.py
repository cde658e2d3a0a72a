"""Enough of ClickHouse's grammar to find three places in a statement: its FORMAT clause, the end of it, and where the data of
an INSERT begins. What is between them is the engine's business."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

TOKEN = re.compile(
    rb"""
      (?P<skip>   \s++ | --[^\n]*+ | \#[ !][^\n]*+ | /\*.*?(?:\*/|\Z) )
    | (?P<quoted> '(?:[^'\\]++|\\.|'')*+(?:'|\\?\Z) | "(?:[^"\\]++|\\.|"")*+(?:"|\\?\Z) | `(?:[^`\\]++|\\.|``)*+(?:`|\\?\Z)
                | \$(?P<tag>\w*+)\$.*?(?:\$(?P=tag)\$|\Z) )
    | (?P<word>   [A-Za-z_][\w$]*+ )
    | (?P<mark>   [()\[\]{};.] )
    | (?P<plain>  (?: \d[\w.]*+ | [^\s\w'"`$()\[\]{};.\-\#/]++ )++ | . )
    """,
    re.VERBOSE | re.DOTALL,
)
"""What is opened and never closed goes on to the end, and nothing is tried twice: time is in proportion to length."""
CLAUSE_AFTER_FORMAT = (b"SETTINGS", b"INTO")


@dataclass(frozen=True, slots=True)
class Token:
    """`word` is the upper-case spelling of a bare word, a bracket, `;` or `.` itself, and empty for anything else."""

    start: int
    end: int
    word: bytes
    depth: int


@dataclass(frozen=True, slots=True)
class Insert:
    """An INSERT whose data follow it: `head` is the statement without FORMAT, the data begin at `data_at` of the text.

    `selects`: it is INSERT ... SELECT ... FORMAT x, whose data, if there are any, are read by the function input().
    """

    head: bytes
    format: str
    data_at: int
    selects: bool = False


@dataclass(frozen=True, slots=True)
class Output:
    """A statement cut where its FORMAT clause is or would be. `format` is empty when it names none."""

    before: bytes
    format: str
    after: bytes
    into_outfile: bool = False


def tokens(text: bytes) -> Iterator[Token]:
    """Everything but space and comments, lazily: what lies behind the last token asked for may be any bytes."""
    depth = 0
    for found in TOKEN.finditer(text):
        kind = found.lastgroup
        if kind == "skip":
            continue
        word = found[0].upper() if kind in ("word", "mark") else b""
        if word in (b")", b"]", b"}"):
            depth -= 1
        yield Token(found.start(), found.end(), word, depth)
        if word in (b"(", b"[", b"{"):
            depth += 1


def first_word(text: bytes) -> bytes:
    return next((token.word for token in tokens(text) if token.word != b"("), b"")


def insert(text: bytes) -> Insert | None:
    """The parts of an INSERT that brings data; None for any other statement. Only the statement itself is read."""
    stream = tokens(text)
    first = next(stream, None)
    if first is None or first.word != b"INSERT":
        return None
    previous, selects = first, False
    for token in stream:
        is_name = previous.word in (b"INTO", b"TABLE", b"FUNCTION", b".")
        if token.depth or is_name:
            pass
        elif token.word in (b"SELECT", b"WITH"):
            selects = True
        elif token.word == b"INFILE":
            return None
        elif token.word == b"VALUES" and not selects:
            return Insert(text[: token.start], "Values", token.end)
        elif previous.word == b"FORMAT" and token.word.isalnum():
            settings, end = _settings(text, token.end)
            head = text[: previous.start] + settings
            return Insert(head, text[token.start : token.end].decode(), _data_begin(text, end), selects)
        previous = replace(token, word=b"") if is_name and token.word not in (b"TABLE", b"FUNCTION") else token
    return None


@dataclass(frozen=True, slots=True)
class Input:
    """A call of input('structure') in `head`: where it stands, and the structure of what it reads."""

    start: int
    end: int
    structure: str


def input_call(head: bytes) -> Input | None:
    """The table function that reads the data of an INSERT SELECT; None when the statement has none."""
    last = [Token(0, 0, b"", 0)] * 3
    for token in tokens(head):
        name, opened, quoted = last
        if (name.word, opened.word, token.word) == (b"INPUT", b"(", b")") and head[quoted.start : quoted.start + 1] == b"'":
            text = head[quoted.start + 1 : quoted.end - 1].decode("utf-8", "surrogateescape")
            return Input(name.start, token.end, re.sub(r"\\(.)|''", lambda found: found[1] or "'", text))
        last = [opened, quoted, token]
    return None


SETTING = re.compile(rb"\s*(?P<name>\w+)\s*=\s*(?P<value>'[^'\\]*(?:(?:\\.|'')[^'\\]*)*'|[\w.+-]+)\s*(?P<more>,?)", re.DOTALL)
SETTINGS = re.compile(rb"\s+SETTINGS\s", re.IGNORECASE)


def _settings(text: bytes, at: int) -> tuple[bytes, int]:
    """A SETTINGS clause between FORMAT and the data, as the older syntax has it, and where it ends."""
    opened = SETTINGS.match(text, at)
    if not opened:
        return b"", at
    end = opened.end()
    while found := SETTING.match(text, end):
        end = found.end()
        if not found["more"]:
            return text[at : found.end("value")], found.end("value")
    return b"", at


DATA_BEGIN = re.compile(rb"[ \t\f]*;?[ \t\f]*(?:\r?\n)?")


def _data_begin(text: bytes, at: int) -> int:
    """As in ClickHouse: blanks and one line break after the statement do not belong to the data."""
    found = DATA_BEGIN.match(text, at)
    return found.end() if found else at


def output(text: bytes) -> Output:
    """Cut a statement that answers rows at its FORMAT clause. Trailing `;` and comments are dropped."""
    end = cut = 0
    form, after_form, into, previous = b"", 0, False, Token(0, 0, b"", 0)
    for token in tokens(text):
        if token.word == b";":
            continue
        if token.depth == 0:
            into = into or (previous.word == b"INTO" and token.word == b"OUTFILE")
            if previous.word == b"FORMAT" and token.word.isalnum():
                form, cut, after_form = text[token.start : token.end], previous.start, token.end
            elif after_form and previous.end == after_form and token.word not in CLAUSE_AFTER_FORMAT:
                form, after_form = b"", 0  # the word was a name, not the clause
        end, previous = token.end, token
    if not form:
        return Output(text[:end], "", b"", into)
    return Output(text[:cut], form.decode(), text[after_form:end], into)
