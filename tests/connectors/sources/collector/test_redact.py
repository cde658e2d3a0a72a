"""What is taken out before Kafka, what is left alone, and that no text can make it slow."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.connectors.sources.collector.conftest import Running, Start, Tap
from tests.connectors.sources.collector.test_http import request_json, span_json
from tests.connectors.sources.collector.test_keys import make
from waterline.connectors.sources.collector.keys import Tenant
from waterline.connectors.sources.collector.redact import Redactor, is_card, is_iban

PLAIN = Redactor("acme", Tenant())
SALTED = Redactor("acme", Tenant(salt="3f9a"))

TAKEN = {
    "write to bob.x+a@example.co.uk now": "write to [email] now",
    "card 4111 1111 1111 1111.": "card [card].",
    "4111-1111-1111-1111": "[card]",
    "amex 378282246310005": "amex [card]",
    "pay to GB82 WEST 1234 5698 7654 32": "pay to [iban]",
    "DE89370400440532013000": "[iban]",
    "call +49 (30) 901820 today": "call [phone] today",
    "(415) 555-2671": "[phone]",
    "415-555-2671": "[phone]",
    "sk-proj-abcdefghijklmnopqrstuv": "[secret]",
    "AKIAIOSFODNN7EXAMPLE": "[secret]",
    "token ghp_" + "a1" * 18: "token [secret]",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc-def": "[secret]",
    "Authorization: Bearer abcdefgh12345678": "Authorization: Bearer [secret]",
    '{"password": "hunter22"}': '{"password": "[secret]"}',
    "https://x/y?api_key=abcdefghij&z=1": "https://x/y?api_key=[secret]&z=1",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- end": "[secret] end",
    "wl_0123456789ab_" + "s" * 43: "[secret]",
}
LEFT = [
    "4111 1111 1111 1112",
    "1770131992242000000",
    "2026-11-20T10:00:00.123456Z",
    "550e8400-e29b-41d4-a716-446655440000",
    "4bf92f3577b34da6a3ce929d0e0e4736",
    "chatcmpl-5c99b6514a388e1d41c30dc2",
    "resp_0269f3aed1fd415900698212189ed88190b8bb13919d420b02",
    "gpt-4o-2024-08-06",
    "192.168.100.200",
    "order 12345678 of 3",
    "GB82 WEST 1234 5698 7654 33",
    "the token count is 4096000",
    "claude-opus-4-1@20250805",
    "task sk-1",
]


@pytest.mark.parametrize(("text", "clean"), TAKEN.items())
def test_taken_out(text: str, clean: str) -> None:
    assert PLAIN.clean("note", text) == clean


@pytest.mark.parametrize("text", LEFT)
def test_left_alone(text: str) -> None:
    assert PLAIN.clean("note", text) == text


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "db.password",
        "http.request.header.authorization",
        "authorization",
        "user.apiKey",
        "accessToken",
        "client_secret",
        "x-api-key",
    ],
)
def test_a_key_that_names_a_secret(key: str) -> None:
    assert PLAIN.clean(key, "anything") == "[secret]"


@pytest.mark.parametrize("key", ["gen_ai.token.type", "max_tokens", "waterline.authorization", "keyboard", "pwdless"])
def test_a_key_that_does_not(key: str) -> None:
    assert PLAIN.clean(key, "anything") == "anything"


def test_a_person_stays_one_person_without_being_named() -> None:
    first, second = SALTED.clean("subject", "Bob@Example.com"), SALTED.clean("note", "bob@example.com")
    assert first == second
    assert first.startswith("[email:")
    assert SALTED.clean("subject", "eve@example.com") != first
    assert Redactor("acme", Tenant(salt="other")).clean("subject", "bob@example.com") != first


def test_each_pattern_can_be_switched_off() -> None:
    for kind, text in {
        "email": "a@b.co",
        "phone": "415-555-2671",
        "card": "4111111111111111",
        "iban": "DE89370400440532013000",
    }.items():
        assert Redactor("acme", Tenant(redact={kind: False})).clean("k", text) == text  # type: ignore[dict-item]
    assert Redactor("acme", Tenant(redact={"secret": False})).clean("k", "AKIAIOSFODNN7EXAMPLE") == "AKIAIOSFODNN7EXAMPLE"
    assert Redactor("acme", Tenant(redact={"key_name": False})).clean("password", "short") == "short"


@given(st.text(alphabet="0123456789", min_size=12, max_size=19))
def test_luhn_catches_every_single_wrong_digit(digits: str) -> None:
    if is_card(digits):
        assert not is_card(digits[:-1] + str((int(digits[-1]) + 1) % 10))


def test_iban_checksum() -> None:
    assert is_iban("GB82WEST12345698765432")
    assert not is_iban("GB82WEST12345698765423")


@given(st.text(max_size=300))
def test_cleaning_twice_is_cleaning_once(text: str) -> None:
    once = PLAIN.clean("note", text)
    assert PLAIN.clean("note", once) == once


HOSTILE = [
    "a",
    "eyJ",
    "1 ",
    "+1",
    "sk-",
    "a@",
    "@a.",
    "key ",
    "AB12",
    "4-",
    "(",
    "password:",
    "-----BEGIN PRIVATE KEY-----",
    "Bearer ",
    "DE12 ",
]


@pytest.mark.parametrize("part", HOSTILE)
def test_time_grows_with_length_and_no_faster(part: str) -> None:
    def seconds(length: int) -> float:
        text = part * (length // len(part))
        best = 9.0
        for _ in range(3):
            began = time.process_time()
            Redactor("acme", Tenant()).clean("note", text)
            best = min(best, time.process_time() - began)
        return best

    small, large = seconds(50_000), seconds(800_000)
    assert large < 16 * small * 4 + 0.2, f"{small:.4f} s became {large:.4f} s for 16 times the text"


def test_before_kafka_on_every_way_in(collector: Running, tap: Tap) -> None:
    said = "ask bob@example.com, key AKIAIOSFODNN7EXAMPLE"
    clean = "ask [email], key [secret]"
    span = {**span_json(note=said), "name": said, "status": {"code": 2, "message": said}}
    span["events"] = [{"name": "note", "timeUnixNano": "1", "attributes": [{"key": "said", "value": {"stringValue": said}}]}]
    request = request_json(span)
    request["resourceSpans"][0]["resource"] = {"attributes": [{"key": "host.owner", "value": {"stringValue": said}}]}
    assert collector.post("/v1/traces", request).status_code == 200
    logs = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"timeUnixNano": "1", "body": {"stringValue": said}}]}]}]}
    assert collector.post("/v1/logs", logs).status_code == 200
    event = {
        "ts": "2026-11-20T09:00:00Z",
        "kind": "step",
        "name": said,
        "act_chain": [said],
        "attributes": {"note": said},
        "mood": said,
    }
    assert collector.post("/v1/events", [event]).status_code == 200
    payload = {"id": "r-1", "startTime": 1.0, "end_user": "bob@example.com", "error_str": said, "status": "failure"}
    assert collector.post("/v1/litellm", [payload]).status_code == 200
    came = tap.events(4)
    assert "bob@" not in str(came)
    assert "AKIA" not in str(came)
    spans = next(event for event in came if "trace_id" in event)
    assert (spans["name"], spans["attributes"]["note"], spans["attributes"]["status.message"]) == (clean, clean, clean)
    assert spans["attributes"]["resource.host.owner"] == clean


def test_bodies_are_dropped_unless_the_tenant_asked_for_them(
    start: Start, tap: Tap, kafka: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("bodies") / "keys.json"
    keeps, drops = make(path, "keeps", bodies=True), make(path, "drops")
    own = start(collector_keys=path)
    payloads = Tap(kafka, "agent.payloads")
    body = request_json(span_json(**{"input.value": "my name is Bob, bob@example.com", "output.value": "hello"}))
    for key in (keeps, drops):
        assert own.post("/v1/traces", body, authorization=f"Bearer {key}").status_code == 200
    came = {event["tenant"]: event for event in tap.events(2)}
    assert "Bob" not in str(came)
    assert "payload_ref" not in came["drops"]
    assert own.metric('collector_bodies_dropped_total{tenant="drops"}') == 2
    payloads.read_payloads(2)
    told = {line["name"]: line for line in payloads.payloads}
    assert came["keeps"]["payload_ref"] == told["input.value"]["event_id"] == came["keeps"]["event_id"]
    assert told["input.value"]["tenant"] == "keeps"
    assert told["input.value"]["body"].startswith("my name is Bob, [email:"), "kept, and redacted all the same"
    assert told["output.value"]["body"] == "hello"
    payloads.close()
