"""A worker's place on this machine: the folder only it writes to, and the name under which the group knows it.

Both outlive the process, so that a restart finds its local copies and its partitions again without a rebalance. Two workers
over one data directory take two slots.
"""

import fcntl
import hashlib
import os
import socket
from dataclasses import dataclass
from pathlib import Path

SLOTS = 256


@dataclass(frozen=True, slots=True)
class Slot:
    folder: Path
    instance: str
    lock: int
    """file descriptor; the kernel frees the slot when the process ends"""


def take(root: Path) -> Slot:
    """The first slot below `root` that no living process holds."""
    for number in range(SLOTS):
        folder = root / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        where = hashlib.blake2b(str(folder.resolve()).encode(), digest_size=6).hexdigest()
        return Slot(folder, f"{socket.gethostname()}-{where}", lock)
    raise SystemExit(f"streams: all {SLOTS} slots below {root} are taken")
