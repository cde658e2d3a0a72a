"""Who gets in: keys, their end, their rates; and the command that makes them."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.connectors.sources.collector.conftest import Running, Start, Tap
from waterline.connectors.sources.collector import keys
from waterline.connectors.sources.collector.keys import KeyFileError, Keys, Tenant
from waterline.connectors.sources.collector.quota import Bucket
from waterline.schemas.errors import Permanent

EVENT = {"ts": "2026-11-20T09:00:00Z", "kind": "step"}


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys") / "keys.json"


@pytest.fixture(scope="module")
def guarded(start: Start, key_file: Path) -> Running:
    """A collector that has no default tenant, so that nothing gets in without a key."""
    make(key_file, "acme")
    return start(collector_keys=key_file, collector_default_tenant="")


def make(path: Path, tenant: str, **choices: Any) -> str:
    with keys.edit(path) as content:
        key = keys.create(content, tenant)
        for name, value in choices.items():
            setattr(content.tenants[tenant], name, value)
    return key


def send(to: Running, key: str, path: str = "/v1/events", count: int = 1) -> Any:
    return to.post(path, [EVENT] * count, authorization=f"Bearer {key}")


def until_known(to: Running, key: str, status: int = 200) -> Any:
    """The answer once the collector has read the file again: within seconds, without a restart."""
    deadline = time.monotonic() + 5
    while (answer := send(to, key)).status_code != status:
        assert time.monotonic() < deadline, answer.text
    return answer


def test_a_key_opens_its_tenant_and_no_other(guarded: Running, key_file: Path, tap: Tap) -> None:
    for tenant in ("acme", "globex"):
        until_known(guarded, make(key_file, tenant))
    assert {event["tenant"] for event in tap.events(2)} == {"acme", "globex"}


def test_without_a_key_and_with_a_wrong_one(guarded: Running, key_file: Path) -> None:
    answer = guarded.post("/v1/events", [EVENT])
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.json()["message"].startswith("unauthenticated: an API key is needed")
    known = make(key_file, "acme")
    until_known(guarded, known)
    for wrong in ("", "wl", "wl_x_y", "nope", known[:-1], known + "x", known.replace("wl_", "sk_")):
        answer = guarded.post("/v1/events", [EVENT], authorization=f"Bearer {wrong}" if wrong else "Bearer")
        assert (answer.status_code, answer.json()["error"]) == (401, "unauthenticated"), wrong
    assert guarded.post("/v1/events", [EVENT], authorization=f"Basic {known}").status_code == 401


@pytest.mark.parametrize("form", ["Bearer {}", "bearer {}", "Bearer%20{}", "{}"])
def test_forms_of_the_header_that_exporters_send(guarded: Running, key_file: Path, form: str) -> None:
    key = make(key_file, "acme")
    until_known(guarded, key)
    assert guarded.post("/v1/events", [EVENT], authorization=form.format(key)).status_code == 200


def test_a_revoked_key_is_answered_401_without_a_restart(guarded: Running, key_file: Path) -> None:
    key = make(key_file, "acme")
    until_known(guarded, key)
    with keys.edit(key_file) as content:
        keys.revoke(content, key.split("_")[1])
    answer = until_known(guarded, key, 401)
    assert answer.json()["message"].startswith(f"unauthenticated: the API key {key.split('_')[1]} was revoked at ")


def test_a_broken_key_file_leaves_the_old_keys_in_force(guarded: Running, key_file: Path) -> None:
    key = make(key_file, "acme")
    until_known(guarded, key)
    good = key_file.read_bytes()
    key_file.write_bytes(b"{broken")
    guarded.until(lambda: guarded.metric("collector_keys_unreadable") == 1)
    assert send(guarded, key).status_code == 200
    key_file.write_bytes(good)
    guarded.until(lambda: guarded.metric("collector_keys_unreadable") == 0)


def test_a_rate_that_is_used_up(guarded: Running, key_file: Path) -> None:
    slow, other = make(key_file, "slow", events_per_s=5.0), make(key_file, "acme")
    until_known(guarded, other)
    until_known(guarded, slow)
    assert send(guarded, slow, count=100).status_code == 200, "a request may overdraw a bucket that is not empty"
    answer = send(guarded, slow)
    assert (answer.status_code, answer.json()["error"]) == (429, "quota_exceeded")
    assert 10 <= int(answer.headers["retry-after"]) <= 30
    assert send(guarded, other).status_code == 200, "one tenant does not starve another"
    answer = send(guarded, slow, "/v1/litellm")
    assert (answer.status_code, "retry-after" in answer.headers) == (503, True), "LiteLLM drops what is answered 429"
    assert guarded.metric('collector_refused_total{code="quota_exceeded",tenant="slow"}') >= 2


def test_bytes_are_a_rate_too(guarded: Running, key_file: Path) -> None:
    key = make(key_file, "heavy", bytes_per_s=1000.0)
    until_known(guarded, key)
    while (answer := send(guarded, key, count=20)).status_code == 200:
        pass
    assert answer.status_code == 429


def test_a_bucket_fills_with_time() -> None:
    bucket = Bucket(rate=10, level=10, at=0.0)
    bucket.take(30)
    assert bucket.wait(0.0) == pytest.approx(2.1)
    assert bucket.wait(2.1) == 0.0
    assert bucket.wait(1000.0) == 0.0
    assert bucket.level == 10, "a second's worth at most"


def test_off_loopback_a_key_is_required(start: Start, tmp_path: Path) -> None:
    refused = start(wait=False, collector_host="0.0.0.0", collector_keys=tmp_path / "none.json")
    assert refused.child.wait(20)
    assert refused.child.exit_code == 1
    assert "holds no key" in refused.child.log.read_text()


def test_a_key_file_that_cannot_be_read_stops_the_start(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text('{"keys": [{"id": 7}]}')
    refused = start(wait=False, collector_keys=path)
    assert refused.child.wait(20)
    assert f"collector: {path}: " in refused.child.log.read_text()


def test_keys_are_kept_as_hashes_only(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    key = make(path, "acme")
    text = path.read_text()
    assert key not in text
    assert key.split("_", 2)[2] not in text
    assert path.stat().st_mode & 0o077 == 0
    known = Keys(path)
    known.load()
    assert known.find(key).tenant == "acme"
    with pytest.raises(Permanent):
        known.find(key.swapcase())


def test_unknown_redactions_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(orjson.dumps({"tenants": {"acme": {"redact": {"passport": True}}}}))
    with pytest.raises(KeyFileError, match="redact"):
        keys.read(path)
    assert Tenant().redact == {}


def test_two_edits_at_once_lose_no_key(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    threads = [threading.Thread(target=make, args=(path, f"t{number}")) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {key.tenant for key in keys.read(path).keys} == {f"t{number}" for number in range(8)}


def command(path: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "waterline", "keys", *arguments]
    environment = os.environ | {"WATERLINE_COLLECTOR_KEYS": str(path), "WATERLINE_DATA_DIR": str(path.parent)}
    run = subprocess.run(line, env=environment, capture_output=True, text=True)
    assert run.returncode == code, run.stderr
    return run


def test_the_command(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    created = command(path, "create", "acme", "--note", "booking agents", "--events-per-s", "100")
    key = created.stdout.strip()
    assert f"authorization=Bearer%20{key}" in created.stderr
    (listed,) = orjson.loads(command(path, "list", "--json").stdout)
    assert (listed["tenant"], listed["note"], listed["events_per_s"], "sha256" in listed) == (
        "acme",
        "booking agents",
        100.0,
        False,
    )
    rotated = command(path, "rotate", listed["id"]).stdout.strip()
    old, new = keys.read(path).keys
    assert (bool(old.revoked_at), new.revoked_at, new.note, new.events_per_s) == (True, "", "booking agents", 100.0)
    assert rotated.split("_")[1] == new.id
    command(path, "revoke", new.id)
    assert keys.read(path).keys[1].revoked_at
    assert "revoked" in command(path, "list").stdout
    assert "there is no key 'nope'" in command(path, "revoke", "nope", code=1).stderr
    assert "cannot be a tenant" in command(path, "create", "a/b", code=1).stderr
