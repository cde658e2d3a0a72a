"""`waterline notify`: what a person sees who wires a channel up."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from waterline.connectors.notifiers.receiver import Receiver
from waterline.stack import ports

ROUTES = """
channels:
  ops: {kind: slack, webhook: env:OPS}
  pager: {kind: pagerduty, routing_key: env:KEY, url: "URL/v2/enqueue"}
  hook: {kind: webhook, url: "URL/hook", secret: env:SECRET}
fallback: pager
routes:
  - {name: money, match: {rule: "budget_*", group: {agent: refunds, tool: null}}, channels: [pager, ops]}
  - {name: rest, match: {tenant: acme}, channels: hook}
silences:
  - {match: {tenant: acme}, from: 2020-01-01T00:00:00Z, until: 2999-01-01T00:00:00Z, reason: quiet}
"""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver(secret="s3cret") as made:
        yield made


@pytest.fixture
def file(tmp_path: Path, receiver: Receiver) -> Path:
    path = tmp_path / "routes.yaml"
    path.write_text(ROUTES.replace("URL", receiver.url))
    return path


def notify(*arguments: str, code: int = 0, **environment: str) -> str:
    command = [sys.executable, "-m", "waterline", "notify", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment | {"COLUMNS": "200"})
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_test_alert_goes_through_each_channel_of_a_route(file: Path, receiver: Receiver) -> None:
    said = notify("test", "money", "--file", str(file), KEY="R" * 32, OPS=f"{receiver.url}/slack")
    lines = [line.split(" in ")[0] for line in said.splitlines()]
    assert lines == [
        "ok   pager: fires: answered 202",
        "ok   pager: acknowledged: answered 202",
        "ok   pager: resolved: answered 202",
        "ok   ops: fires: answered 200",
        "ok   ops: resolved: answered 200",
    ]
    assert "nothing is wrong" in receiver.accepted[0].text


def test_what_comes_back_is_said_with_what_to_do(file: Path, receiver: Receiver) -> None:
    receiver.behave = lambda _: (403, {}, b"action_prohibited")
    said = notify("test", "ops", code=1, OPS=f"{receiver.url}/slack", WATERLINE_ROUTES_FILE=str(file))
    assert "FAIL ops: fires: answered 403" in said
    assert "action_prohibited" in said
    assert "the credential is known and may not do this; the notifier would not try again" in said
    said = notify("test", "ops", "--file", str(file), code=1, OPS="http://127.0.0.1:1/")
    assert "no answer" in said
    assert "would try again until it is taken" in said


def test_a_signature_can_be_tried(file: Path, receiver: Receiver) -> None:
    notify("test", "hook", "--file", str(file), SECRET="s3cret")
    assert [message.genuine for message in receiver.accepted] == [True, True]


def test_a_secret_that_is_missing_and_a_name_that_is_none(file: Path) -> None:
    assert "channel ops: set OPS in the environment" in notify("test", "ops", "--file", str(file), code=1)
    assert "there is no channel and no route 'op'; there are ops, pager, hook, money, rest" in notify(
        "test", "op", "--file", str(file), code=1
    )
    assert "WATERLINE_ROUTES_FILE or --file names it" in notify("test", "op", code=1)


def test_routes_are_shown(file: Path) -> None:
    said = notify("routes", "--file", str(file), KEY="k")
    for words in ("OPS not set here", "fallback", "rule budget_*, agent refunds, no tool", "silenced now until 2999", "quiet"):
        assert words in said
    assert "KEY not set here" not in said
    assert "money: pager, ops" in notify("routes", "--rule", "budget_day", "--group", "agent=refunds", "--file", str(file))
    assert "silenced until 2999-01-01" in notify("routes", "--tenant", "acme", "--file", str(file))
    assert "no route matches" in notify("routes", "--tenant", "other", "--file", str(file))


def test_mistakes_are_shown(file: Path) -> None:
    file.write_text("channels: {}\nroutes: []\nfalback: x\n")
    assert f"waterline: {file}:3: falback: no such field, is 'fallback' meant?" in notify("routes", "--file", str(file), code=1)


def test_a_receiver_on_this_machine_prints_what_comes(tmp_path: Path) -> None:
    port = ports.pick()
    with (tmp_path / "out").open("w") as out:
        command = [sys.executable, "-m", "waterline", "notify", "receive", "--port", str(port)]
        process = subprocess.Popen(command, stdout=out, stderr=out, env=os.environ | {"PYTHONUNBUFFERED": "1"})
    try:
        deadline = time.monotonic() + 20
        while "listening" not in (tmp_path / "out").read_text():
            assert time.monotonic() < deadline
            assert process.poll() is None, (tmp_path / "out").read_text()
            time.sleep(0.02)
        answer = httpx.post(f"http://127.0.0.1:{port}/slack", json={"text": "hello [there]", "blocks": []})
        assert answer.text == "ok"
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait(10)
    assert "hello [there]" in (tmp_path / "out").read_text()
    assert "1 messages" in (tmp_path / "out").read_text()
