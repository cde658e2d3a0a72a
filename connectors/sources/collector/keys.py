"""API keys and what each opens: a JSON file that is read again when it changes, so that a key is revoked without a restart.

    {"tenants": {"acme": {"salt": "...", "bodies": false, "events_per_s": 0, "bytes_per_s": 0, "redact": {"phone": false}}},
     "keys": [{"id": "k3f9...", "tenant": "acme", "sha256": "...", "note": "", "created_at": "...", "revoked_at": ""}]}

A key reads `wl_<id>_<secret>`. The secret has 256 random bits, so one round of SHA-256 is all its hash needs.
"""

import fcntl
import hashlib
import hmac
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct, field

from waterline.schemas.errors import ErrorCode, Permanent
from waterline.schemas.events import TenantName

PREFIX = "wl"

Redaction = Literal["email", "phone", "card", "iban", "secret", "key_name"]
"""What redaction looks for; all are on unless a tenant switches one off."""


class KeyFileError(Exception):
    """The file cannot be read as keys. The message says where it is wrong."""


class Tenant(Struct, omit_defaults=True):
    """A tenant's choices. Rates of 0 are unlimited; `redact` switches single patterns off or on."""

    salt: str = ""
    bodies: bool = False
    events_per_s: float = 0.0
    bytes_per_s: float = 0.0
    redact: dict[Redaction, bool] = field(default_factory=dict)


class Key(Struct, omit_defaults=True):
    """`sha256` is the hash of the whole key as the user holds it; the key itself is kept nowhere."""

    id: str
    tenant: TenantName
    sha256: str
    created_at: str
    note: str = ""
    revoked_at: str = ""
    events_per_s: float = 0.0
    bytes_per_s: float = 0.0


class KeyFile(Struct, omit_defaults=True):
    tenants: dict[str, Tenant] = field(default_factory=dict)
    keys: list[Key] = field(default_factory=list)


def read(path: Path) -> KeyFile:
    """The file's content; a file that is not there holds no keys. Raises KeyFileError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=KeyFile)
    except FileNotFoundError:
        return KeyFile()
    except (msgspec.DecodeError, OSError, UnicodeDecodeError) as error:
        raise KeyFileError(f"{path}: {error}") from error


def write(path: Path, content: KeyFile) -> None:
    """Replace the file in one step, readable by its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextmanager
def edit(path: Path) -> Iterator[KeyFile]:
    """The file's content to change; it is written back when nothing was raised. Two editors take turns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f"{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        content = read(path)
        yield content
        write(path, content)


def create(content: KeyFile, tenant: str, note: str = "") -> str:
    """Add a key for a tenant and return it; this is the only time it can be seen."""
    msgspec.convert(tenant, TenantName)
    identity = secrets.token_hex(6)
    key = f"{PREFIX}_{identity}_{secrets.token_urlsafe(32)}"
    content.tenants.setdefault(tenant, Tenant(salt=secrets.token_hex(16)))
    content.keys.append(Key(identity, tenant, _hash(key), datetime.now(UTC).isoformat(timespec="seconds"), note))
    return key


def revoke(content: KeyFile, identity: str) -> Key:
    """Mark a key as revoked. Raises KeyError for an unknown id."""
    key = next((key for key in content.keys if key.id == identity), None)
    if key is None:
        raise KeyError(identity)
    key.revoked_at = key.revoked_at or datetime.now(UTC).isoformat(timespec="seconds")
    return key


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


class Keys:
    """The keys in force."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content = KeyFile()
        self.problem = ""
        self._stamp: tuple[int, int, int] | None = None
        self._by_id: dict[str, Key] = {}

    def load(self) -> bool:
        """Read the file if it changed; True if it did. Raises KeyFileError the first time; later the old keys stay in force."""
        stamp = self._look()
        if stamp == self._stamp:
            return False
        try:
            content = read(self.path)
        except KeyFileError as error:
            if self._stamp is None:
                raise
            self._stamp, self.problem = stamp, str(error)
            return False
        self._stamp, self.problem, self.content = stamp, "", content
        self._by_id = {key.id: key for key in content.keys}
        return True

    def _look(self) -> tuple[int, int, int]:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return (0, 0, 0)
        return (found.st_mtime_ns, found.st_size, found.st_ino)

    def find(self, credential: str) -> Key:
        """The key in force that this is. Raises Permanent(UNAUTHENTICATED) with the reason."""
        parts = credential.split("_", 2)
        key = self._by_id.get(parts[1]) if len(parts) == 3 and parts[0] == PREFIX else None
        told = _hash(credential)
        if key is None or not hmac.compare_digest(told, key.sha256):
            raise Permanent(ErrorCode.UNAUTHENTICATED, "the API key is not known here; `waterline keys create` makes one")
        if key.revoked_at:
            raise Permanent(ErrorCode.UNAUTHENTICATED, f"the API key {key.id} was revoked at {key.revoked_at}")
        return key
