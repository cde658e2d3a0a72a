"""What a request asks for, read from its line and headers: parameters, settings, session, credentials, compression."""

import base64
import binascii
import hmac
import uuid
from dataclasses import dataclass
from urllib.parse import parse_qsl

from starlette.datastructures import Headers

from waterline.connectors.stores.clickhouse.front.codecs import Blocks, Decoder, accepted, decoder
from waterline.connectors.stores.clickhouse.front.errors import Code, refuse

DEFAULT_FORMAT = "TabSeparated"
OWN = frozenset(
    {
        *("query", "database", "default_format", "query_id", "user", "password", "quota_key", "role"),
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
    query_id: str

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
    def protocol_version(self) -> int:
        text = self.own.get("client_protocol_version", "")
        return int(text) if text.isdecimal() else 0

    @property
    def answer_encoding(self) -> str:
        """Of the answer's body: `native` for ClickHouse's blocks, a content encoding, or empty."""
        if self.own.get("compress", "0") not in ("", "0", "false"):
            return "native"
        if self.own.get("enable_http_compression", "1") in ("0", "false"):
            return ""
        return accepted(self.headers.get("accept-encoding", ""))

    def decoders(self) -> list[Decoder]:
        """What the request's body went through, outermost first."""
        outer = decoder(self.headers.get("content-encoding", "").lower())
        if self.own.get("decompress", "0") in ("", "0", "false"):
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


def parse(method: str, query_string: bytes, headers: Headers) -> Request:
    own: dict[str, str] = {}
    settings: dict[str, str] = {}
    params: dict[str, str] = {}
    for name, value in parse_qsl(query_string.decode("latin-1"), keep_blank_values=True, errors="surrogateescape"):
        if name in OWN:
            own[name] = value
        elif name.startswith("param_"):
            params[name.removeprefix("param_")] = value
        else:
            settings[name] = value
    return Request(own, settings, params, headers, method, own.get("query_id") or str(uuid.uuid4()))
