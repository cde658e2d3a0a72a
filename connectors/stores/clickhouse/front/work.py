"""What a thread of a lane does with a statement, and what comes of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from waterline.connectors.stores.clickhouse.front import forms, statement
from waterline.connectors.stores.clickhouse.front.errors import Code, refuse
from waterline.connectors.stores.clickhouse.front.link import Link, Stats
from waterline.connectors.stores.clickhouse.front.request import Request


@dataclass(slots=True)
class Done:
    """What a statement came to. `data` is its answer when that was not streamed; traceless: the session is as it was before."""

    form: str = ""
    data: bytes = b""
    stats: Stats = field(default_factory=Stats)
    traceless: bool = False


@dataclass(slots=True)
class Running:
    """The tag of the connection a statement runs on; empty until it has one."""

    tag: str = ""


Work = Callable[[Link], Done]


def answers_rows(link: Link, request: Request, text: bytes) -> bool:
    """Whether the statement answers rows and changes nothing. Raises Refusal for what HTTP does not allow."""
    kind = link.kind(text)
    if kind.statements > 1:
        raise refuse(Code.SYNTAX_ERROR, "Syntax error (Multi-statements are not allowed)")
    if request.method != "POST" and kind.statements and not (kind.reads or kind.controls):
        reason = "Cannot execute query in readonly mode. For queries over HTTP, method GET implies readonly. "
        raise refuse(Code.READONLY, reason + "You should use method POST for modifying queries.")
    return kind.reads


def execute(link: Link, request: Request, text: bytes) -> Done:
    """Anything whose answer is short: DDL, SET, INSERT SELECT; also what does not parse, for the engine's own words."""
    answers_rows(link, request, text)
    cut = statement.output(text)
    if cut.into_outfile:
        raise refuse(Code.INTO_OUTFILE_NOT_ALLOWED, "INTO OUTFILE is not allowed")
    data, stats = link.run(text, request.default_format, request.params)
    link.settle(text)
    return Done((cut.format or request.default_format) if data else "", data, stats)


def beside(tables: Sequence[forms.Table], work: Work) -> Work:
    """The same work with these temporary tables around it."""

    def with_tables(link: Link) -> Done:
        made: list[forms.Table] = []
        try:
            for table in tables:
                forms.create(link, table)
                made.append(table)
                forms.fill(link, table)
            done = work(link)
        finally:
            for table in made:
                forms.drop(link, table)
        done.traceless = False
        return done

    return with_tables if tables else work
