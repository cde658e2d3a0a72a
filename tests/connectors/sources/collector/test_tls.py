"""TLS on both ports, and client certificates where a CA for them is set."""

import shutil
import ssl
import subprocess
from pathlib import Path

import grpc
import httpx
import pytest

from tests.connectors.sources.collector.conftest import Running, Start
from tests.connectors.sources.collector.test_grpc import TRACES
from tests.connectors.sources.collector.test_http import request_protobuf

KEY_ARGUMENTS = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-addext")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A server's and a client's certificate, each its own CA."""
    if not shutil.which("openssl"):
        pytest.skip("not run: there is no openssl to make certificates with")
    home = tmp_path_factory.mktemp("tls")
    for name in ("server", "client"):
        command = ["openssl", "req", "-x509", *KEY_ARGUMENTS, "subjectAltName=IP:127.0.0.1", "-subj", f"/CN={name}"]
        files = ["-keyout", str(home / f"{name}.key"), "-out", str(home / f"{name}.pem")]
        subprocess.run([*command, *files], check=True, capture_output=True)
    return home


@pytest.fixture(scope="module")
def secure(start: Start, certificates: Path) -> Running:
    return start(
        collector_tls_certificate=certificates / "server.pem",
        collector_tls_key=certificates / "server.key",
        collector_tls_clients=certificates / "client.pem",
    )


def context(certificates: Path, client: bool) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=str(certificates / "server.pem"))
    if client:
        made.load_cert_chain(certificates / "client.pem", certificates / "client.key")
    return made


def test_http(secure: Running, certificates: Path) -> None:
    url = secure.url.replace("http:", "https:") + "/v1/traces"
    body, headers = request_protobuf().SerializeToString(), {"content-type": "application/x-protobuf"}
    with httpx.Client(verify=context(certificates, client=True), trust_env=False) as known:
        assert known.post(url, content=body, headers=headers).status_code == 200
    with httpx.Client(verify=context(certificates, client=False), trust_env=False) as stranger:
        with pytest.raises(httpx.TransportError):
            stranger.post(url, content=body, headers=headers)


def test_grpc(secure: Running, certificates: Path) -> None:
    server, key, chain = ((certificates / name).read_bytes() for name in ("server.pem", "client.key", "client.pem"))
    body = request_protobuf().SerializeToString()
    with grpc.secure_channel(secure.grpc, grpc.ssl_channel_credentials(server, key, chain)) as known:
        assert known.unary_unary(TRACES)(body, timeout=15) == b""
    with (
        grpc.secure_channel(secure.grpc, grpc.ssl_channel_credentials(server)) as stranger,
        pytest.raises(grpc.RpcError) as caught,
    ):
        stranger.unary_unary(TRACES)(body, timeout=5)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
