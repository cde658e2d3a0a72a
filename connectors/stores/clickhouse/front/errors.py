"""What the front refuses or passes on: ClickHouse's numeric code, its text, and the HTTP status a server gives that code."""

import re
from enum import IntEnum
from http import HTTPStatus

# The engine begins every message with this; it hands over nothing but the message.
PREFIX = re.compile(r"Code: (\d+)\. ")
VERSION = re.compile(r" \(version [\d.]+\)\s*$")


class Code(IntEnum):
    """The codes the front raises itself. Names and numbers are ClickHouse's."""

    CANNOT_PARSE_TEXT = 6
    CHECKSUM_DOESNT_MATCH = 40
    NOT_IMPLEMENTED = 48
    SYNTAX_ERROR = 62
    UNKNOWN_SETTING = 115
    INCORRECT_DATA = 117
    READONLY = 164
    UNKNOWN_USER = 192
    REQUIRED_PASSWORD = 194
    TOO_MANY_SIMULTANEOUS_QUERIES = 202
    QUERY_IS_TOO_LARGE = 229
    CANNOT_DECOMPRESS = 271
    INTO_OUTFILE_NOT_ALLOWED = 358
    SESSION_NOT_FOUND = 372
    SESSION_IS_LOCKED = 373
    INVALID_SESSION_TIMEOUT = 374
    AUTHENTICATION_FAILED = 516
    STD_EXCEPTION = 1001


def _statuses() -> dict[int, int]:
    """As the server's exceptionCodeToHTTPStatus; a code that is not here is 500."""
    groups: dict[HTTPStatus, tuple[int, ...]] = {
        HTTPStatus.UNAUTHORIZED: (194,),
        HTTPStatus.FORBIDDEN: (192, 193, 497, 512, 516),
        HTTPStatus.BAD_REQUEST: (
            *(6, 8, 15, 25, 26, 27, 36, 37, 38, 41, 44, 53, 62, 72),
            *(117, 123, 167, 168, 223, 321, 376, 427, 441, 675, 676),
        ),
        HTTPStatus.NOT_FOUND: (46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 152, 336, 511),
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE: (229,),
        HTTPStatus.NOT_IMPLEMENTED: (48,),
        HTTPStatus.SERVICE_UNAVAILABLE: (76, 202, 209, 439),  # 202 is 500 on a server; 503 lets every client's retry work
        HTTPStatus.LENGTH_REQUIRED: (381,),
        HTTPStatus.REQUEST_TIMEOUT: (159,),
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE: (779,),
    }
    return {code: int(status) for status, codes in groups.items() for code in codes}


STATUS = _statuses()


class Refusal(Exception):
    """An answer other than the result. `text` is what a server would send, without its last line break."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = int(code)
        self.text = text
        self.status = STATUS.get(code, int(HTTPStatus.INTERNAL_SERVER_ERROR))


def refuse(code: Code, reason: str) -> Refusal:
    return Refusal(code, f"Code: {code.value}. DB::Exception: {reason} ({code.name})")


def from_engine(error: Exception) -> Refusal:
    """What the engine raised. Without a code in front it is ClickHouse's STD_EXCEPTION."""
    text = VERSION.sub("", str(error))
    found = PREFIX.match(text)
    return Refusal(int(found[1]), text) if found else refuse(Code.STD_EXCEPTION, text)
