"""TLS to ClickHouse is a matter of settings: shown through a proxy that ends TLS in front of a real one."""

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from waterline.connectors.stores.clickhouse import client as store
from waterline.schemas.settings import Settings

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="not run: no openssl to make a certificate with")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key beside it."""
    path = tmp_path_factory.mktemp("tls") / "cert.pem"
    request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*request, *names, "-keyout", path.with_suffix(".key"), "-out", path], check=True, capture_output=True)
    return path


@pytest.fixture
def tls_url(certificate: Path, clickhouse_url: str) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    behind = urlsplit(clickhouse_url)
    door = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                line, _ = door.accept()
            except OSError:
                return
            threading.Thread(target=carry, args=(line,), daemon=True).start()

    def carry(line: socket.socket) -> None:
        """One request and its answer at a time; the clients keep to that."""
        try:
            with (
                context.wrap_socket(line, server_side=True) as near,
                socket.create_connection((behind.hostname, behind.port)) as far,
            ):
                threading.Thread(target=relay, args=(far, near), daemon=True).start()
                relay(near, far)
        except OSError:
            line.close()  # a client that did not like the certificate

    def relay(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"https://127.0.0.1:{door.getsockname()[1]}"
    door.shutdown(socket.SHUT_RDWR)
    door.close()
    thread.join()


def test_both_clients_with_the_right_authority(tls_url: str, certificate: Path) -> None:
    config = Settings(clickhouse=tls_url, clickhouse_ssl_ca=str(certificate), clickhouse_database="default")
    client = store.connect(config)
    client.command("CREATE TABLE IF NOT EXISTS tls_rows (n UInt64) ENGINE = Memory")
    inserter = store.Inserter(config)
    assert inserter.insert("tls_rows", [b'{"n":1}\n']) == 1
    assert client.command("SELECT sum(n) FROM tls_rows") == 1
    client.command("DROP TABLE tls_rows")
    inserter.close()
    client.close()


def test_an_unknown_authority_is_not_trusted(tls_url: str) -> None:
    config = Settings(clickhouse=tls_url, clickhouse_database="default")
    for call in (lambda: store.Inserter(config).insert("t", [b""]), lambda: store.connect(config)):
        with pytest.raises(store.StoreUnavailable):
            call()
