"""The routes file while a process runs: a change takes effect within a second, a mistake changes nothing."""

from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import structlog
from msgspec.structs import replace

from waterline.connectors.notifiers.routes import Routes
from waterline.connectors.notifiers.routes_file import read
from waterline.schemas.errors import Permanent
from waterline.schemas.statusz import Followed

log = structlog.get_logger()


class Watched:
    """The file, looked at again when it changes. Raises Permanent when it is wrong at the start."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.routes = read(path)
        self._seen = self._stamp()
        self.followed = self._follow()

    def changed(self, use: Callable[[Routes], None]) -> bool | None:
        """None = nothing new. What is wrong is logged, and what was in force stays."""
        stamp = self._stamp()
        if stamp == self._seen:
            return None
        self._seen = stamp
        try:
            routes = read(self._path)
            use(routes)
        except Permanent as error:
            log.warning("the routes file is wrong, the routes before stay in force", reason=error.reason)
            since = self.followed.refused_since or datetime.now(UTC)
            self.followed = replace(self.followed, mistakes=tuple(error.reason.splitlines()), refused_since=since)
            return False
        self.routes = routes
        self.followed = self._follow()
        log.info("routes read anew", file=str(self._path))
        return True

    def _follow(self) -> Followed:
        """The version is of what the routes say, not of how the file is laid out."""
        version = sha256(repr(self.routes).encode()).hexdigest()[:12]
        return Followed(what="routes", file=str(self._path), version=version, since=datetime.now(UTC))

    def _stamp(self) -> tuple[int, int, int]:
        try:
            found = self._path.stat()
        except OSError:
            return (0, 0, 0)
        return (found.st_mtime_ns, found.st_size, found.st_ino)
