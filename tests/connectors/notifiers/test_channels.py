"""Each channel under the contract, and what only it does."""

import json
import socket
import threading
import time
from contextlib import closing
from typing import Any

import pytest

from tests.connectors.notifiers.world import BEGAN, transition
from tests.contracts.notifier import TIMEOUT_S, NotifierContract, always
from waterline.connectors.notifiers.blocks import BLOCKS, clip, message
from waterline.connectors.notifiers.contract import Channel, Notice, Refused, Unavailable
from waterline.connectors.notifiers.pagerduty import PagerDuty, dedup_key
from waterline.connectors.notifiers.receiver import Message, Receiver
from waterline.connectors.notifiers.slack import SlackBot, SlackWebhook
from waterline.connectors.notifiers.webhook import SIGNATURE, TIMESTAMP, Webhook, verify
from waterline.schemas.alerts import AlertState, Severity

JSON = {"Content-Type": "application/json"}


class TestSlackWebhook(NotifierContract):
    def make(self, url: str) -> Channel:
        return SlackWebhook(f"{url}/slack", TIMEOUT_S)

    def test_what_mrkdwn_reads_is_escaped(self, channel: Channel, receiver: Receiver) -> None:
        self.send(channel, transition(1, summary="<!channel> & <https://evil.example|click>", group={"agent": "<@U1>"}))
        sent = json.dumps([block for block in receiver.accepted[0].body["blocks"] if block["type"] != "header"])
        assert "<!channel>" not in sent
        assert "<@U1>" not in sent
        assert "&lt;!channel&gt; &amp; " in sent
        assert "<!channel>" not in receiver.accepted[0].body["text"]

    def test_decisions_are_linked_when_it_is_known_where_to(self, receiver: Receiver) -> None:
        with closing(SlackWebhook(f"{receiver.url}/slack", 1, "https://wl.example/{tenant}/{decision}")) as channel:
            self.send(channel, transition(1, tenant="a b", decisions=["x/1|>"]))
        assert "<https://wl.example/a%20b/x%2F1%7C%3E|x/1|&gt;>" in self.shown(receiver.accepted[0])

    @pytest.mark.parametrize("count", [2, 47, 500])
    def test_a_storm_is_one_message_with_a_count(self, channel: Channel, receiver: Receiver, count: int) -> None:
        alerts = [transition(1, f"agent-{number}") for number in range(count)]
        assert not channel.send(Notice(alerts, "note")).each
        (told,) = receiver.accepted
        assert told.body["text"].startswith(f"{count} alerts ({count} firing)")
        assert len(told.body["blocks"]) <= BLOCKS


class TestSlackBot(NotifierContract):
    refusals = ((400, b"bad"), (403, b"no"), (404, b"none"))

    def make(self, url: str) -> Channel:
        return SlackBot("xoxb-1", "C1", f"{url}/api/", TIMEOUT_S)

    @pytest.mark.parametrize(
        ("code", "passes"), [("channel_not_found", False), ("invalid_auth", False), ("internal_error", True)]
    )
    def test_a_200_that_is_none(self, channel: Channel, receiver: Receiver, code: str, passes: bool) -> None:
        receiver.behave = always((200, JSON, json.dumps({"ok": False, "error": code}).encode()))
        with pytest.raises(Unavailable if passes else Refused) as told:
            self.send(channel)
        assert told.value.reason == code

    def test_an_end_edits_the_message_of_the_beginning(self, channel: Channel, receiver: Receiver) -> None:
        opened = channel.send(Notice([transition(1)]))
        closed = channel.send(Notice([transition(2)], opening=opened.name))
        first, second = receiver.accepted
        assert [first.path, second.path] == ["/api/chat.postMessage", "/api/chat.update"]
        assert (first.headers["Authorization"], second.body["ts"]) == ("Bearer xoxb-1", opened.name.partition("/")[2])
        assert closed.name == opened.name

    def test_a_message_that_is_gone_is_written_anew(self, channel: Channel, receiver: Receiver) -> None:
        def gone(message: Message) -> Any:
            if message.path.endswith("update"):
                return 200, JSON, b'{"ok": false, "error": "message_not_found"}'
            return None

        receiver.behave = gone
        assert channel.send(Notice([transition(2)], opening="C1/1.2")).name
        assert [told.path for told in receiver.messages] == ["/api/chat.update", "/api/chat.postMessage"]


class TestPagerDuty(NotifierContract):
    ok = 202

    def make(self, url: str) -> Channel:
        return PagerDuty("R" * 32, f"{url}/v2/enqueue", timeout_s=TIMEOUT_S)

    def test_trigger_acknowledge_resolve_are_of_one_incident(self, receiver: Receiver) -> None:
        with closing(PagerDuty("R" * 32, f"{receiver.url}/v2/enqueue")) as channel:
            channel.send(Notice([transition(1)]))
            channel.acknowledge(transition(1))
            channel.send(Notice([transition(2, state=AlertState.NO_DATA)]))
        told = [(message.body["event_action"], message.body["dedup_key"]) for message in receiver.accepted]
        assert told == [(action, dedup_key(transition(9))) for action in ("trigger", "acknowledge", "resolve")]

    def test_the_key_is_of_tenant_rule_and_group_alone(self) -> None:
        assert dedup_key(transition(1)) == dedup_key(transition(8, severity=Severity.INFO))
        other = [transition(1, tenant="b"), transition(1, rule="b"), transition(1, agent="b"), transition(1)]
        assert len({dedup_key(alert) for alert in other}) == 4
        assert len(dedup_key(transition(1))) == 64

    def test_what_is_too_long_says_so(self, channel: Channel, receiver: Receiver) -> None:
        self.send(channel, transition(1, summary="s" * 5000, sql="q" * 600_000))
        payload = receiver.accepted[0].body["payload"]
        assert len(payload["summary"]) <= 1024
        assert payload["custom_details"]["sql"].endswith("(cut)")
        assert len(json.dumps(payload["custom_details"])) <= 512_000

    @pytest.mark.parametrize("severity", Severity)
    def test_severities(self, channel: Channel, receiver: Receiver, severity: Severity) -> None:
        self.send(channel, transition(1, severity=severity))
        assert receiver.accepted[0].body["payload"]["severity"] == severity.value


class TestWebhook(NotifierContract):
    def make(self, url: str) -> Channel:
        return Webhook("hook", f"{url}/alerts", "s3cret", TIMEOUT_S, "https://wl.example")

    def test_the_body_is_alertmanagers(self, channel: Channel, receiver: Receiver) -> None:
        self.send(channel, transition(1))
        self.send(channel, transition(2))
        fired, ended = (message.body for message in receiver.accepted)
        fields = {"version", "groupKey", "truncatedAlerts", "receiver", "status", "groupLabels", "commonLabels"}
        assert set(fired) == fields | {"commonAnnotations", "externalURL", "alerts"}
        (alert,) = fired["alerts"]
        fields = {"status", "labels", "annotations", "startsAt", "endsAt", "generatorURL", "fingerprint"}
        assert set(alert) == fields
        assert (fired["version"], fired["receiver"], fired["externalURL"]) == ("4", "hook", "https://wl.example")
        labels = {"alertname": "tool_error_rate", "tenant": "acme", "severity": "critical", "agent": "booking"}
        assert alert["labels"] == fired["commonLabels"] == labels
        assert (fired["status"], alert["status"], alert["endsAt"]) == ("firing", "firing", "0001-01-01T00:00:00Z")
        (alert,) = ended["alerts"]
        assert (ended["status"], alert["status"]) == ("resolved", "resolved")
        assert alert["startsAt"] == f"{BEGAN:%Y-%m-%d}T10:01:00Z"
        assert alert["endsAt"] == f"{BEGAN:%Y-%m-%d}T10:02:00Z"
        assert fired["groupKey"] == ended["groupKey"]

    def test_a_storm_has_every_alert_in_it(self, channel: Channel, receiver: Receiver) -> None:
        receipt = channel.send(Notice([transition(1, "a"), transition(2, "a"), transition(1, "b")]))
        assert receipt.each
        (told,) = receiver.accepted
        assert [alert["status"] for alert in told.body["alerts"]] == ["firing", "resolved", "firing"]
        assert told.body["commonLabels"] == {"alertname": "tool_error_rate", "tenant": "acme", "severity": "critical"}

    def test_the_signature_is_of_this_body_and_this_moment(self, channel: Channel, receiver: Receiver) -> None:
        receiver.secret = "s3cret"
        self.send(channel)
        assert receiver.accepted[0].genuine
        receiver.secret = "other"
        self.send(channel)
        assert receiver.accepted[1].genuine is False
        headers = receiver.accepted[0].headers
        assert not verify("s3cret", headers, b"{}", int(headers[TIMESTAMP]))
        assert not verify("s3cret", headers | {SIGNATURE: "v1="}, b"", int(headers[TIMESTAMP]))
        assert not verify("s3cret", headers | {TIMESTAMP: "x"}, b"", 0)

    def test_an_old_copy_is_told_apart(self, channel: Channel, receiver: Receiver) -> None:
        receiver.secret = "s3cret"
        self.send(channel)
        headers, content = receiver.accepted[0].headers, json.dumps(receiver.accepted[0].body, separators=(",", ":")).encode()
        assert verify("s3cret", headers, content, int(headers[TIMESTAMP]))
        assert not verify("s3cret", headers, content, int(headers[TIMESTAMP]) + 301)

    def test_a_copy_has_the_same_key(self, channel: Channel, receiver: Receiver) -> None:
        for alert in (transition(1), transition(1), transition(3), transition(1, "other")):
            self.send(channel, alert)
        found = [message.key for message in receiver.accepted]
        assert found[0] == found[1]
        assert len(set(found)) == 3

    def test_a_redirect_is_not_followed(self, channel: Channel, receiver: Receiver) -> None:
        receiver.behave = always((307, {"Location": f"{receiver.url}/elsewhere"}, b""))
        with pytest.raises(Refused):
            self.send(channel)
        assert len(receiver.messages) == 1

    def test_an_answer_that_never_ends_is_left(self) -> None:
        """Each read is quick; all of them together are not."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            over = threading.Event()

            def drip() -> None:
                connection, _ = server.accept()
                with connection:
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                    while not over.wait(0.1):
                        try:
                            connection.sendall(b"x")
                        except OSError:
                            return

            thread = threading.Thread(target=drip)
            thread.start()
            began = time.monotonic()
            with closing(self.make(f"http://127.0.0.1:{server.getsockname()[1]}")) as mine:
                assert mine.send(Notice([transition(1)])).status == 200
            assert time.monotonic() - began < TIMEOUT_S + 10, "not in hours"
            over.set()
            thread.join()

    def test_many_threads_share_it(self, channel: Channel, receiver: Receiver) -> None:
        threads = [threading.Thread(target=self.send, args=(channel, transition(1, f"a{number}"))) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({message.key for message in receiver.accepted}) == 16


@pytest.mark.parametrize("limit", [20, 150, 2000])
def test_clipped_text_is_within_its_limit_with_its_escapes(limit: int) -> None:
    for text in ("<" * 5000, "a" * 5000, "&a" * limit, "", "<&>"):
        cut = clip(text, limit)
        assert len(cut) <= limit
        assert not cut.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "").count("&")


def test_a_message_is_within_slacks_limits() -> None:
    long = "<&>" * 4000
    alert = transition(
        1, summary=long, group={long[:500]: long}, decisions=[long] * 5, rules_version=long, runbook="https://" + long
    )
    text, blocks = message(Notice([alert], note=long), "https://x/{decision}")
    assert len(text) <= 4000
    for block in blocks:
        assert len(block.get("text", {}).get("text", "")) <= (150 if block["type"] == "header" else 3000)
        assert len(block.get("fields", [])) <= 10
        assert all(len(field["text"]) <= 2000 for field in block.get("fields", []))
