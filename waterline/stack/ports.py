"""Free ports on loopback, outside the range the kernel hands out to clients.

A port from that range can be lost while its server restarts: to another client, or to a client that tries to connect to the
very port and is given it as its own.
"""

import random
import socket
from collections.abc import Container

RANGE = range(20_000, 32_000)
TRIES = 1_000


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def pick(host: str = "127.0.0.1", but: Container[int] = ()) -> int:
    """A port that is free now and not in `but`. Raises OSError when there is none."""
    for port in random.SystemRandom().sample(RANGE, TRIES):
        if port not in but and is_free(port, host):
            return port
    raise OSError(f"no free port among {TRIES} tried between {RANGE.start} and {RANGE.stop}")
