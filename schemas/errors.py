"""Two families of error, by behaviour, and the closed list of codes that a dead letter or an answer may carry.

    WaterlineError
      Permanent   the same input always fails: answer the sender, or bury the record
      Transient   it may succeed later: answer 503 with Retry-After, or wait and try the same thing again

Anything else that is raised is a bug: it is counted as `ErrorCode.BUG` and never swallowed.
"""

from enum import StrEnum


class ErrorCode(StrEnum):
    """Every code a user can meet, one line of meaning each (the attribute `meaning`)."""

    meaning: str

    def __new__(cls, value: str, meaning: str = "") -> "ErrorCode":
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    INVALID_JSON = "invalid_json", "the bytes are not JSON"
    INVALID_PROTOBUF = "invalid_protobuf", "the bytes are not the OTLP protobuf message the route takes"
    INVALID_ENCODING = "invalid_encoding", "gzip is broken, or the text is not UTF-8"
    INVALID_EVENT = "invalid_event", "a field is missing, has the wrong type or is out of range"
    INVALID_FRAME = "invalid_frame", "the frame's headers and lines disagree"
    UNSUPPORTED_MEDIA = "unsupported_media", "the content type or encoding is not one the route takes"
    TOO_LARGE = "too_large", "the body, the record or one event is over its limit"
    UNAUTHENTICATED = "unauthenticated", "no API key, an unknown one or a revoked one"
    FORBIDDEN = "forbidden", "the credential does not cover this tenant or action"
    NOT_FOUND = "not_found", "there is no such route, question, decision or dead letter"
    INVALID_PARAMETER = "invalid_parameter", "a parameter is missing, unknown or has the wrong type"
    QUOTA_EXCEEDED = "quota_exceeded", "the tenant's events/s or bytes/s are used up"
    KAFKA_UNAVAILABLE = "kafka_unavailable", "the broker did not confirm in time"
    STORE_UNAVAILABLE = "store_unavailable", "ClickHouse did not answer or refused for a reason that may pass"
    STORE_REFUSED = "store_refused", "ClickHouse refused the row as data"
    DISK_FULL = "disk_full", "free space is under the mark"
    OVERLOADED = "overloaded", "a queue is over its mark"
    UNLINKED = "unlinked", "no decision was ever linked to the business id the event names"
    BUG = "bug", "the code failed in a way it does not know"


class WaterlineError(Exception):
    """Base of both families. `reason` tells a person what to do; `code` is for machines."""

    def __init__(self, code: ErrorCode, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason


class Permanent(WaterlineError):
    """The same input always fails."""


class Transient(WaterlineError):
    """It may succeed later; `retry_after` is in seconds."""

    def __init__(self, code: ErrorCode, reason: str, retry_after: float = 1.0) -> None:
        super().__init__(code, reason)
        self.retry_after = retry_after
