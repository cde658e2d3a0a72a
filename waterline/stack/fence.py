"""Starts the broker; one that was killed is put out of the cluster's metadata first.

    python fence.py DATA LOG JAVA... -- CONTROLLER -- BROKER

A killed broker comes back to metadata that still call it the leader of everything. Its transaction coordinator loads from
them, and when its old incarnation is fenced a moment later, the markers that are due have nowhere to go: Kafka 4.3
(TransactionMarkerChannelManager) takes the partitions for deleted and skips them, so that transactions stay open for ever
and nobody reads past them. So a controller runs alone until it has fenced the old incarnation, and the broker proper then
starts from metadata that tell the truth. The broker takes this process's place: same pid.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

LAUNCH = Path(__file__).with_name("launch.py")
METADATA = "__cluster_metadata-0"
CLEAN = ".kafka_cleanshutdown"
ACTIVE = b"Becoming the active controller"
FENCED = b"Fencing broker "
START_S = 30.0
WRITTEN_S = 1.0
"""The controller writes what it has decided after `controller.quorum.append.linger.ms`, 25 ms."""
END_S = 10.0
SESSION_S = 2.0
"""How long an active controller may need to fence, with a session of 0.2 s. One that has nobody to fence needs none."""


def killed(data: Path) -> bool:
    return (data / METADATA).exists() and not (data / CLEAN).exists()


def fence(controller: list[str], log: Path) -> bool:
    """Whether the controller said that it fenced, which it does before that is written."""
    log.unlink(missing_ok=True)
    bound = [sys.executable, "-I", "-S", str(LAUNCH), str(os.getpid()), "-1", "0"] if sys.platform == "linux" else []
    child = subprocess.Popen([*bound, *controller])
    try:
        fenced = _wait(child, log)
        if fenced:
            time.sleep(WRITTEN_S)
        return fenced
    finally:
        child.terminate()
        try:
            child.wait(END_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _wait(child: "subprocess.Popen[bytes]", log: Path) -> bool:
    deadline, active = time.monotonic() + START_S, False
    while time.monotonic() < deadline and child.poll() is None:
        said = log.read_bytes() if log.exists() else b""
        if FENCED in said:
            return True
        if not active and ACTIVE in said:
            active, deadline = True, time.monotonic() + SESSION_S
        time.sleep(0.02)
    return False


def main(arguments: list[str]) -> None:
    data, log, rest = Path(arguments[0]), Path(arguments[1]), arguments[2:]
    first = rest.index("--")
    second = rest.index("--", first + 1)
    java, controller, broker = rest[:first], rest[first + 1 : second], rest[second + 1 :]
    if killed(data):
        began = time.monotonic()
        fenced = fence([*java, f"-Dwaterline.log={log}", *controller], log)
        print(f"the broker was killed; its old incarnation {'is' if fenced else 'was not'} fenced", end=" ")
        print(f"after {time.monotonic() - began:.1f} s", flush=True)
    os.execv(java[0], [*java, *broker])


if __name__ == "__main__":
    main(sys.argv[1:])
