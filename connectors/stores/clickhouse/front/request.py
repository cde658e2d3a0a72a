"""What a request asks for, read from its line and headers: parameters, settings, session, credentials, compression."""

import base64
import binascii
import hmac
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from starlette.datastructures import Headers

from waterline.connectors.stores.clickhouse.front.codecs import Blocks, Decoder, accepted, decoder
from waterline.connectors.stores.clickhouse.front.errors import Code, refuse

DEFAULT_FORMAT = "TabSeparated"
BUFFER, LARGEST_BUFFER = 2**20, 2**26
OWN = frozenset(
    {
        *("query", "database", "default_format", "query_id", "user", "password", "quota_key"),
        *("session_id", "session_timeout", "session_check", "compress", "decompress", "client_protocol_version"),
        *("wait_end_of_query", "buffer_size", "enable_http_compression", "stacktrace"),
    }
)
"""Parameters of the interface; every other one is a setting for this query."""


@dataclass(frozen=True, slots=True)
class Credentials:
    user: str
    password: str

    def admit(self, given: "Credentials | None") -> None:
        """Raises Refusal unless `given` are these. Without a password only the name has to be right."""
        user = given.user if given else "default"
        if given is None and self.password:
            raise refuse(Code.REQUIRED_PASSWORD, "Authentication failed: password is required")
        named = hmac.compare_digest(user.encode(), self.user.encode())
        known = not self.password or hmac.compare_digest((given.password if given else "").encode(), self.password.encode())
        if not (named and known):
            raise refuse(
                Code.AUTHENTICATION_FAILED,
                f"{user}: Authentication failed: password is incorrect, or there is no user with such name.",
            )


@dataclass(frozen=True, slots=True)
class Request:
    own: dict[str, str]
    settings: dict[str, str]
    params: dict[str, str]
    headers: Headers
    method: str
    made_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def query_id(self) -> str:
        return self.own.get("query_id") or self.made_id

    @property
    def query(self) -> str:
        return self.own.get("query", "")

    @property
    def database(self) -> str:
        return self.own.get("database") or self.headers.get("x-clickhouse-database", "")

    @property
    def default_format(self) -> str:
        return self.headers.get("x-clickhouse-format") or self.own.get("default_format") or DEFAULT_FORMAT

    @property
    def held_bytes(self) -> int:
        """Bytes of the answer that are held back until the statement is over, so that an error has its own status."""
        text = self.own.get("buffer_size", "")
        return min(int(text), LARGEST_BUFFER) if text.isdecimal() else BUFFER

    @property
    def protocol_version(self) -> int:
        text = self.own.get("client_protocol_version", "")
        return int(text) if text.isdecimal() else 0

    @property
    def answer_encoding(self) -> str:
        """Of the answer's body: `native` for ClickHouse's blocks, a content encoding, or empty."""
        if not self.off("compress"):
            return "native"
        if self.own.get("enable_http_compression", "1") in ("0", "false"):
            return ""
        return accepted(self.headers.get("accept-encoding", ""))

    def decoders(self) -> list[Decoder]:
        """What the request's body went through, outermost first."""
        outer = decoder(self.headers.get("content-encoding", "").lower())
        if self.off("decompress"):
            return [outer]
        return [outer, Blocks()]

    def given(self) -> Credentials | None:
        """Credentials by header, basic authentication or parameter, in this order."""
        if "x-clickhouse-user" in self.headers or "x-clickhouse-key" in self.headers:
            return Credentials(self.headers.get("x-clickhouse-user") or "default", self.headers.get("x-clickhouse-key", ""))
        kind, _, encoded = self.headers.get("authorization", "").partition(" ")
        if kind.lower() == "basic":
            try:
                user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError) as error:
                raise refuse(Code.AUTHENTICATION_FAILED, "Invalid authentication: broken basic credentials") from error
            return Credentials(user or "default", password)
        if "user" in self.own or "password" in self.own:
            return Credentials(self.own.get("user") or "default", self.own.get("password", ""))
        return None

    def sort(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Take in parameters of the URL or fields of a form."""
        for name, value in pairs:
            if name in OWN:
                self.own[name] = value
            elif name.startswith("param_"):
                self.params[name.removeprefix("param_")] = value
            else:
                self.settings[name] = value

    def off(self, name: str) -> bool:
        return self.own.get(name, "0") in ("", "0", "false")


def parse(method: str, query_string: bytes, headers: Headers) -> Request:
    request = Request({}, {}, {}, headers, method)
    request.sort(parse_qsl(query_string.decode("latin-1"), keep_blank_values=True, errors="surrogateescape"))
    return request
