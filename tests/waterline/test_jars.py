"""Jars come once, are what the list says, and are never needed twice from the network."""

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from waterline.stack import jars
from waterline.stack.jars import Jar, JarError

NOWHERE = "http://127.0.0.1:1"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Tests print nothing."""


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A Maven repository over HTTP: its URL and its folder."""
    folder = tmp_path / "remote"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", folder
        server.shutdown()


def publish(folder: Path, name: str, content: bytes) -> Jar:
    jar = Jar("org.example", name, "1.0", hashlib.sha256(content).hexdigest())
    (folder / jar.path).parent.mkdir(parents=True)
    (folder / jar.path).write_bytes(content)
    return jar


def test_fetched_once_then_offline(repository: tuple[str, Path], tmp_path: Path) -> None:
    url, folder = repository
    wanted = [publish(folder, f"jar{number}", bytes([number]) * 100) for number in range(20)]
    seen: list[int] = []
    found = jars.resolve(wanted, tmp_path / "cache", lambda done, total, name: seen.append(done), url)
    assert [path.read_bytes() for path in found] == [bytes([number]) * 100 for number in range(20)]
    assert seen == list(range(1, 21))
    assert jars.resolve(wanted, tmp_path / "cache", None, NOWHERE) == found
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["maven"], "no scratch is left"


def test_a_damaged_jar_is_fetched_again(repository: tuple[str, Path], tmp_path: Path) -> None:
    url, folder = repository
    jar = publish(folder, "jar", b"right")
    (found,) = jars.resolve([jar], tmp_path / "cache", None, url)
    found.write_bytes(b"wrong")
    jars.resolve([jar], tmp_path / "cache", None, url)
    assert found.read_bytes() == b"right"


def test_a_jar_that_is_not_what_the_list_says_is_refused(repository: tuple[str, Path], tmp_path: Path) -> None:
    url, folder = repository
    jar = publish(folder, "jar", b"right")
    (folder / jar.path).write_bytes(b"tampered")
    with pytest.raises(JarError, match="its sha256 is"):
        jars.resolve([jar], tmp_path / "cache", None, url)
    assert not (tmp_path / "cache" / "maven").exists()


def test_without_network_it_says_what_to_do(tmp_path: Path) -> None:
    jar = Jar("org.example", "jar", "1.0", "0" * 64)
    with pytest.raises(JarError, match=r"cannot fetch org\.example:jar:1\.0 from .*\nConnect this machine"):
        jars.resolve([jar], tmp_path / "cache", None, NOWHERE)


def test_the_list_is_pinned_and_has_one_version_of_each() -> None:
    listed = jars.read_list()
    assert len({(jar.group, jar.artifact) for jar in listed}) == len(listed)
    assert all(len(jar.sha256) == 64 for jar in listed)
    assert {jar.version for jar in listed if jar.group == "org.apache.kafka"} == {"4.3.1"}
