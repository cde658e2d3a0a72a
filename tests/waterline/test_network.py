"""The tests' own guard: no Python socket leaves this machine unless a test asks for it."""

import socket
import sys

import pytest

OUTSIDE = ("192.0.2.1", 9)  # TEST-NET-1: nobody is there


def test_a_connection_to_the_outside_is_refused() -> None:
    with socket.socket() as client, pytest.raises(PermissionError, match="reached for"):
        client.connect(OUTSIDE)
    with socket.socket(type=socket.SOCK_DGRAM) as client, pytest.raises(PermissionError):
        client.sendto(b"x", OUTSIDE)


def test_loopback_is_open() -> None:
    with socket.socket() as client, pytest.raises(ConnectionRefusedError):
        client.connect(("127.0.0.1", 1))


@pytest.mark.network
def test_the_marker_opens_it() -> None:
    sys.audit("socket.connect", None, OUTSIDE)
