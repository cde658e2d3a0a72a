"""A broker that wants TLS and a password gets both from the settings, by aiokafka and by librdkafka alike."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import faust
import pytest

from tests.streams.arena import WAIT_S, Arena
from waterline.schemas.settings import Settings
from waterline.schemas.topics import DEAD_LETTERS
from waterline.stack import kafka, ports, topics
from waterline.stack.process import Child
from waterline.streams.app import credentials

LOGIN = 'org.apache.kafka.common.security.plain.PlainLoginModule required username="broker" password="b" user_streams="secret";'


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[tuple[str, str, Path]]:
    """Bootstrap servers for all, those that want SASL_SSL, and the certificate file."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    request = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    subprocess.run([*request.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
    store = tmp_path / "store.pem"
    store.write_text(key.read_text() + certificate.read_text())
    home, port = tmp_path / "kafka", ports.pick()
    node = kafka.Broker(home, home / "kafka.log", ports.pick(), ports.pick(), kafka.classpath(Settings().cache_dir))
    node.prepare()
    file = home / "server.properties"
    lines = [
        line.replace("CONTROLLER:PLAINTEXT", "CONTROLLER:PLAINTEXT,SECURE:SASL_SSL")
        if line.startswith("listener.security")
        else f"{line},SECURE://127.0.0.1:{port}"
        if line.startswith(("listeners=", "advertised.listeners="))
        else line
        for line in file.read_text().splitlines()
    ]
    mine = {
        "listener.name.secure.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.secure.plain.sasl.jaas.config": LOGIN,
        "listener.name.secure.ssl.keystore.type": "PEM",
        "listener.name.secure.ssl.keystore.location": store,
    }
    file.write_text("\n".join(lines + [f"{name}={value}" for name, value in mine.items()]) + "\n")
    child = Child("kafka", node.command(), home / "kafka.out")
    child.start()
    try:
        child.wait_until(node.answers, time.monotonic() + WAIT_S)
        topics.create(kafka.admin(node.bootstrap), 1, 1, [DEAD_LETTERS])
        yield node.bootstrap, f"127.0.0.1:{port}", certificate
    finally:
        child.kill()


@pytest.mark.skipif(not shutil.which("openssl"), reason="not run: no openssl to make a certificate with")
def test_a_worker_speaks_tls_and_logs_in(secure: tuple[str, str, Path], tmp_path: Path) -> None:
    plain, guarded, certificate = secure
    arena = Arena(plain, tmp_path)
    arena.send(10)
    login = {"kafka_sasl_mechanism": "PLAIN", "kafka_sasl_username": "streams", "kafka_ssl_ca": str(certificate)}
    worker = arena.start(kafka=guarded, kafka_security_protocol="SASL_SSL", kafka_sasl_password="secret", **login)
    arena.wait_applied(worker)
    assert arena.wrongs() == {}
    arena.kill(worker)


def test_every_protocol_has_its_credentials() -> None:
    assert credentials(Settings()) is None
    named: dict[str, Any] = {"kafka_sasl_username": "u", "kafka_sasl_password": "p", "kafka_sasl_mechanism": "SCRAM-SHA-512"}
    scram = credentials(Settings(kafka_security_protocol="SASL_PLAINTEXT", **named))
    assert isinstance(scram, faust.SASLCredentials)
    assert (scram.protocol.value, scram.mechanism.value) == ("SASL_PLAINTEXT", "SCRAM-SHA-512")
    over_tls = credentials(Settings(kafka_security_protocol="SASL_SSL", **named))
    assert over_tls is not None
    assert over_tls.protocol.value == "SASL_SSL"
    tls = credentials(Settings(kafka_security_protocol="SSL"))
    assert tls is not None
    assert tls.protocol.value == "SSL"
