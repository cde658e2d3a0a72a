"""The rules file, followed while a worker runs: a changed one takes the place of the rules in force; one with a mistake, or one
that cannot be read, changes nothing, and it is said so."""

import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import structlog
from msgspec.structs import replace

from waterline.schemas.errors import ErrorCode, Permanent
from waterline.schemas.statusz import Followed
from waterline.schemas.yaml_lines import LARGEST
from waterline.streams.rules_file import checked, parse
from waterline.streams.steps.rules import RuleBook, Rules

LOOK_S = 1.0
"""how often the file is read; a change is taken when it is found twice, so that no file is taken while it is being written"""


class Numbers(Protocol):
    """Metrics by their names."""

    def __getitem__(self, name: str) -> Any: ...


class RulesFeed:
    """A companion of the worker (see `Companion`). Rules change between two batches, at the latest three looks after the file."""

    what = "rules"
    topics: Sequence[str] = ()

    def __init__(self, path: Path, meters: Numbers, look_s: float = LOOK_S, process: str = "streams") -> None:
        """Raises `Permanent` with every mistake of the file: a worker does not start without rules."""
        self.path, self.look_s = path, look_s
        self._judged = self._before = self._read()
        if isinstance(self._judged, str):
            raise Permanent(ErrorCode.INVALID_PARAMETER, self._judged)
        self.book = RuleBook(checked(self._judged, path))
        self.followed = followed(self.book.now, path)
        self._unreadable = meters[f"{process}_rules_unreadable"]
        self._reloads = meters[f"{process}_rules_reloads_total"]
        self._log = structlog.get_logger(process)
        self._never = threading.Event()

    def catch_up(self) -> None:
        """Nothing: the file was read when this was made."""

    def listen(self) -> Rules | None:
        """Rules that are to take the place of those in force."""
        self._never.wait(self.look_s)
        content = self._read()
        settled, self._before = content == self._before, content
        if not settled or content == self._judged:
            return None
        self._judged = content
        return self._judge(content)

    def take(self, news: Rules | None) -> None:
        if news is not None:
            count, before = len(news.rules) + len(news.apart) + len(news.asked), self.book.now.version
            self._log.info("rules taken", file=str(self.path), version=news.version, before=before, rules=count)
            self.book.now = news
            self.followed = followed(news, self.path)
            self._reloads.labels("taken").inc()

    def _judge(self, content: bytes | str) -> Rules | None:
        rules, wrong = self.book.now, [content] if isinstance(content, str) else []
        if isinstance(content, bytes):
            rules, mistakes = parse(content, self.path.parent)
            wrong = [f"{self.path}, line {one.line}: {one.what}" for one in mistakes]
        self._unreadable.set(bool(wrong))
        since = (self.followed.refused_since or datetime.now(UTC)) if wrong else None
        self.followed = replace(self.followed, mistakes=tuple(wrong), refused_since=since)
        if wrong:
            self._reloads.labels("refused").inc()
            self._log.error(
                "rules refused", file=str(self.path), in_force=self.book.now.version, mistakes=len(wrong), reasons=wrong
            )
            return None
        return rules if rules.version != self.book.now.version else None

    def _read(self) -> bytes | str:
        """The file's bytes, up to one more than are allowed; or why there are none."""
        try:
            with self.path.open("rb") as file:
                return file.read(LARGEST + 1)
        except OSError as error:
            return f"{self.path}: {error.strerror}"


def followed(rules: Rules, path: Path | None = None) -> Followed:
    """Rules that are in force from now on; those that come along when there is no file."""
    return Followed(what="rules", file=str(path or ""), version=rules.version, since=datetime.now(UTC))
