"""Jars from Maven Central, pinned by coordinate and sha256, kept in a cache that checkouts share."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

KAFKA_JARS = Path(__file__).with_name("kafka-jars.txt")
MAVEN_CENTRAL = "https://repo.maven.apache.org/maven2"
ATTEMPTS = 3

Progress = Callable[[int, int, str], None]
"""Called after each download with: jars at hand, jars in all, name of the last one."""


class JarError(Exception):
    """A jar is not at hand and could not be fetched, or is not what the list says. The message says what to do."""


@dataclass(frozen=True, slots=True)
class Jar:
    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def path(self) -> Path:
        """Where it lies below the cache's `maven` folder: the layout of a Maven repository."""
        return Path(*self.group.split("."), self.artifact, self.version, f"{self.artifact}-{self.version}.jar")

    def __str__(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"


def read_list(path: Path = KAFKA_JARS) -> tuple[Jar, ...]:
    """The pinned list: a line is `group:artifact:version sha256`; `#` begins a comment."""
    lines = (line.split("#")[0].split() for line in path.read_text().splitlines())
    return tuple(_jar(*line) for line in lines if line)


def _jar(coordinate: str, sha256: str) -> Jar:
    group, artifact, version = coordinate.split(":")
    return Jar(group, artifact, version, sha256)


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def at_hand(jar: Jar, cache: Path) -> bool:
    """Whether the cache holds the jar with exactly the pinned content."""
    path = cache / "maven" / jar.path
    return path.is_file() and digest(path) == jar.sha256


def resolve(jars: Sequence[Jar], cache: Path, progress: Progress | None = None, repository: str = MAVEN_CENTRAL) -> list[Path]:
    """Paths of all jars, in order. Needs the network only for those that the cache lacks.

    Raises JarError with the reason when one cannot be had.
    """
    missing = [jar for jar in jars if not at_hand(jar, cache)]
    if missing:
        _fetch_all(missing, len(jars), cache, progress, repository)
    return [cache / "maven" / jar.path for jar in jars]


def _fetch_all(missing: Sequence[Jar], total: int, cache: Path, progress: Progress | None, repository: str) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="download-", dir=cache))
    done = total - len(missing)
    try:
        with ThreadPoolExecutor(min(8, len(missing))) as pool:
            futures = {pool.submit(_fetch, jar, cache, scratch, repository): jar for jar in missing}
            try:
                for future in as_completed(futures):
                    future.result()
                    done += 1
                    if progress:
                        progress(done, total, str(futures[future]))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _fetch(jar: Jar, cache: Path, scratch: Path, repository: str) -> None:
    """Downloads to `scratch` on the cache's own file system, so that the rename into place is atomic."""
    import requests  # these two take longer to import than most commands take
    from jgo.maven import MavenContext

    reason = ""
    for attempt in range(ATTEMPTS):
        context = MavenContext(repo_cache=scratch / str(attempt), remote_repos={"repository": repository}, timeout=60)
        try:
            found = context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
        except (requests.RequestException, OSError, RuntimeError) as error:
            reason = f"{type(error).__name__}: {error}"
            continue
        got = digest(found)
        if got == jar.sha256:
            place = cache / "maven" / jar.path
            place.parent.mkdir(parents=True, exist_ok=True)
            os.replace(found, place)
            return
        reason = f"its sha256 is {got}, the list says {jar.sha256}"
    raise JarError(
        f"cannot fetch {jar} from {repository}: {reason}\n"
        f"Connect this machine to the network once, or copy {cache} from a machine where `waterline up` has run."
    )
