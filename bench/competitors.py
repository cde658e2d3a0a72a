"""Arize Phoenix and MLflow as their documentation starts them, on SQLite, in an environment of their own.

They share no dependency with us; `bench/competitors.lock` pins them and `.waterline/bench-venv` holds them.
"""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
from msgspec import Struct

VENV = Path(".waterline/bench-venv")
LOCK = Path(__file__).with_name("competitors.lock")


class Contender(Struct):
    """Something that takes OTLP/HTTP at `url`; `count()` says how many spans a query would find now."""

    name: str
    version: str
    url: str
    headers: dict[str, str]
    database: Path
    pid: int

    def count(self) -> int:
        with sqlite3.connect(f"file:{self.database}?mode=ro", uri=True) as connection:
            return int(connection.execute("SELECT count(*) FROM spans").fetchone()[0])

    def rest(self) -> None:
        """Nothing is waited for that it may still do."""

    def cpu_by_part(self) -> dict[str, float]:
        """CPU-seconds of the process and its children so far."""
        root = psutil.Process(self.pid)
        times = [process.cpu_times() for process in (root, *root.children(recursive=True))]
        return {self.name: sum(t.user + t.system for t in times)}


def install(venv: Path = VENV, lock: Path = LOCK, holds: str = "Phoenix and MLflow") -> Path:
    """The environment's bin folder, made on first use (about a minute and 1.5 GB for Phoenix and MLflow)."""
    ready = venv / ".installed"
    if not ready.exists() or ready.read_text() != lock.read_text():
        print(f"setting up {venv} with {holds}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([venv / "bin/pip", "install", "--quiet", "--require-hashes", "-r", lock], check=True)
        ready.write_text(lock.read_text())
    return (venv / "bin").absolute()


@contextmanager
def phoenix(directory: Path, port: int) -> Iterator[Contender]:
    env = {
        "PHOENIX_WORKING_DIR": str(directory),
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(port + 1),
    }
    command = [str(install() / "phoenix"), "serve"]
    with _process(command, directory, env, f"http://127.0.0.1:{port}/healthz") as pid:
        url = f"http://127.0.0.1:{port}/v1/traces"
        yield Contender("Phoenix (SQLite)", _version("arize-phoenix"), url, {}, directory / "phoenix.db", pid)


@contextmanager
def mlflow(directory: Path, port: int) -> Iterator[Contender]:
    database = directory / "mlflow.db"
    options = ["--backend-store-uri", f"sqlite:///{database}", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command = [str(install() / "mlflow"), "server", *options]
    with _process(command, directory, {}, f"http://127.0.0.1:{port}/health") as pid:
        url = f"http://127.0.0.1:{port}/v1/traces"
        yield Contender("MLflow (SQLite)", _version("mlflow"), url, {"x-mlflow-experiment-id": "0"}, database, pid)


@contextmanager
def _process(command: list[str], directory: Path, env: dict[str, str], health: str) -> Iterator[int]:
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "server.log").open("wb") as log:
        child = subprocess.Popen(
            command, cwd=directory, env={**os.environ, **env}, stdout=log, stderr=log, start_new_session=True
        )
        try:
            _wait(child, health, directory / "server.log")
            yield child.pid
        finally:
            os.killpg(child.pid, signal.SIGTERM)
            try:
                child.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()


def _wait(child: "subprocess.Popen[bytes]", health: str, log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise RuntimeError(f"{child.args!r} ended with {child.returncode}: {log.read_text()[-2000:]}")
        try:
            if httpx.get(health, timeout=2).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise RuntimeError(f"{health} did not answer in 120 s: {log.read_text()[-2000:]}")


def _version(package: str) -> str:
    pinned = [line.split("==")[1].split()[0] for line in LOCK.read_text().splitlines() if line.startswith(f"{package}==")]
    return pinned[0]
