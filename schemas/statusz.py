"""What a process answers at /statusz, as JSON: the files it works by, and what is wrong although it works.

A file that is refused while a process runs changes nothing: the process goes on by what it took before. Here it says so.
"""

from collections.abc import Callable
from datetime import datetime

from msgspec import Struct


class Followed(Struct, frozen=True, kw_only=True):
    """`what`: rules or routes. `version`, a hash, is of what is in force `since`, by the clock of the process; `file` is empty
    for what comes along. `mistakes`: why the file as it is now is not in force, each with its name and the line; `refused_since`:
    when that began. Empty and None while it is."""

    what: str
    file: str
    version: str
    since: datetime
    mistakes: tuple[str, ...] = ()
    refused_since: datetime | None = None


class Unanswered(Struct, frozen=True, kw_only=True):
    """A rule whose question is not answered."""

    rule: str
    since: datetime
    reason: str


class Statusz(Struct, frozen=True, kw_only=True):
    followed: tuple[Followed, ...] = ()
    unanswered: tuple[Unanswered, ...] = ()


Tells = Callable[[], Statusz]
