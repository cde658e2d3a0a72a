"""`waterline keys` beside a running collector: a key that was printed is taken, one that was revoked is not made new."""

import os
import subprocess
import sys
from pathlib import Path

import httpx

from waterline.stack import Stack


def waterline(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WATERLINE_")}
    command = [sys.executable, "-m", "waterline", "keys", *arguments, "--data-dir", str(home)]
    return subprocess.run(command, env=clean, capture_output=True, text=True, timeout=60, check=False)


def test_a_key_is_in_force_when_it_is_made(jars: None, tmp_path: Path) -> None:
    key = ""
    with Stack(tmp_path, ("kafka", "collector"), free_ports=True) as stack:
        for command in ("create", "rotate"):
            made = waterline(tmp_path, command, key.split("_")[1] if key else "acme")
            key = made.stdout.strip()
            headers = {"Authorization": f"Bearer {key}"}
            assert httpx.post(f"{stack.collector_url}/v1/events", json=[], headers=headers).status_code == 200, made.stderr
            assert f"in force at {stack.collector_url}" in made.stderr
        elsewhere = waterline(tmp_path, "create", "acme", "--file", str(tmp_path / "other.json")).stderr
    assert f"a collector that reads {tmp_path / 'other.json'} takes it within about a second" in elsewhere


def test_a_revoked_key_is_not_rotated(tmp_path: Path) -> None:
    identity = waterline(tmp_path, "create", "acme").stdout.split("_")[1]
    assert waterline(tmp_path, "revoke", identity).returncode == 0
    refused = waterline(tmp_path, "rotate", identity)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert f"key {identity} was revoked at " in refused.stderr
    assert "`waterline keys create acme` makes a new one" in refused.stderr
    assert waterline(tmp_path, "list").stdout.count("acme") == 1
