"""Takes secrets and personal data out of text before it reaches Kafka. Deterministic, and linear in the length of the text.

What is found is replaced by its kind, `[card]`. E-mail addresses and phone numbers keep a pseudonym where the tenant has a salt,
`[email:5f1c9a02be]`, so that one person stays one person without being named.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable
from typing import get_args

from waterline.connectors.sources.collector.keys import Redaction, Tenant
from waterline.schemas.events import FIELDS

KINDS: tuple[Redaction, ...] = get_args(Redaction)

_KEY_NAME = re.compile(
    r"(?:^|[._\-/])(?:passwords?|passwd|pwd|secrets?|client[_-]?secret|api[_-]?keys?|access[_-]?keys?|private[_-]?key|"
    r"(?:access|refresh|id|auth|session|bearer)?[_-]?token|authorization|proxy-authorization|x-api-key|cookies?|set-cookie|credentials?)$"
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_EMAIL = re.compile(r"(?<![\w.%+-])[\w.%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}")
_DIGITS = re.compile(r"[0-9](?<![\w.][0-9])[0-9 .()/-]{6}|[A-Z]{2}[0-9]{2}[ A-Z0-9]{11}").search
_CARD = re.compile(r"[3-6](?<![\w.-][0-9])(?:[ -]?[0-9]){12,18}(?![\w.]?[0-9])")
_IBAN = re.compile(r"[A-Z](?<![0-9A-Za-z][A-Z])[A-Z][0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![0-9A-Za-z])")
_PHONE = re.compile(
    r"[+(0-9](?:(?<=\+)(?<![\w+]\+)[1-9](?:[ .()/-]{0,2}[0-9]){7,13}(?![0-9])"
    r"|(?<=\()[2-9][0-9]{2}\) ?[0-9]{3}[ .-][0-9]{4}(?![\w-])"
    r"|(?<![\w.+-][0-9])[0-9]{2}[ .-][0-9]{3}[ .-][0-9]{4}(?![\w-]))"
)
_SECRET = re.compile(
    r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]{0,30}PRIVATE KEY-----|\Z)"
    r"|(?<![\w-])(?:sk-[\w-]{16,}|(?:AKIA|ASIA)[0-9A-Z]{16}(?![0-9A-Z])|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{22,}"
    r"|glpat-[\w-]{16,}|xox[abeoprs]-[A-Za-z0-9-]{10,}|AIza[\w-]{30,}|hf_[A-Za-z0-9]{24,}|wl_[0-9a-f]{12}_[\w-]{20,}"
    r"|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*)"
)
_ASSIGNED = re.compile(
    r"((?:password|passwd|secret|api[_-]?key|access[_-]?token|refresh[_-]?token|authorization|bearer)"
    r"[\"']?\s{0,4}[:= ]\s{0,4}[\"']?"
    r"(?:bearer |basic )?)[^\s\"',;&<>\[\]]{6,}",
    re.IGNORECASE,
)
_CARD_RANGES = ((r"4", {13, 16, 19}), (r"5[1-5]|2[2-7]", {16}), (r"3[47]", {15}), (r"6(?:011|4[4-9]|5|2)", {16, 17, 18, 19}))
_CARD_KINDS = tuple((re.compile(prefix), lengths) for prefix, lengths in (*_CARD_RANGES, (r"35|3(?:0[0-5]|[68])", {14, 16})))

SHORTEST = 8
"""No number or secret is shorter."""


def _marked(text: str) -> bool:
    """Whether a key's beginning is in it. Written out, since it is asked of nearly every text."""
    return (
        "sk-" in text
        or "gh" in text
        or "AKIA" in text
        or "ASIA" in text
        or "xox" in text
        or "AIza" in text
        or "eyJ" in text
        or "hf_" in text
        or "wl_" in text
        or "glpat-" in text
        or "-----BEGIN" in text
    )


def _worded(low: str) -> bool:
    """Whether a word is in it that a secret may follow."""
    return "key" in low or "token" in low or "secret" in low or "passw" in low or "bearer" in low or "authorization" in low


EXEMPT = frozenset(
    {
        "gen_ai.response.id",
        "ai.response.id",
        "waterline.response_id",
        "gen_ai.tool.call.id",
        "gen_ai.request.model",
        "gen_ai.response.model",
    }
)
"""Made by providers, never by people."""


class Redactor:
    """One tenant's rules. `counts` says how often each kind was found."""

    def __init__(self, tenant: str, choices: Tenant) -> None:
        self.counts: Counter[str] = Counter()
        self._salt = choices.salt.encode()[:64]
        self._on: dict[str, bool] = {kind: choices.redact.get(kind, True) for kind in KINDS}
        self._idle = not any(self._on.values())
        self._secret_keys: dict[str, bool] = {}

    def clean(self, key: str, text: str) -> str:
        """The text without what its key or its shape says is private."""
        if self._idle or key in EXEMPT:
            return text
        secret = self._secret_keys.get(key)
        if secret is None:
            secret = self._names_a_secret(key)
        if secret and text:
            self.counts["key_name"] += 1
            return "[secret]"
        if "@" in text and self._on["email"]:
            text = _EMAIL.sub(lambda found: self._pseudonym("email", found[0].lower()), text)
        if len(text) >= SHORTEST:
            if _DIGITS(text):
                text = self._numbers(text)
            if (_marked(text) or _worded(text.lower())) and self._on["secret"]:
                text = self._secrets(text)
        return text

    def _names_a_secret(self, key: str) -> bool:
        if len(self._secret_keys) > 5_000:
            self._secret_keys.clear()
        name = _CAMEL.sub("_", key).lower()
        own = name.startswith("waterline.") and name.removeprefix("waterline.") in FIELDS
        told = self._secret_keys[key] = self._on["key_name"] and not own and _KEY_NAME.search(name) is not None
        return told

    def _numbers(self, text: str) -> str:
        if self._on["iban"]:
            text = _IBAN.sub(self._checked("iban", is_iban), text)
        if self._on["card"]:
            text = _CARD.sub(self._checked("card", is_card), text)
        if self._on["phone"]:
            text = _PHONE.sub(lambda found: self._pseudonym("phone", re.sub(r"\D", "", found[0])), text)
        return text

    def _secrets(self, text: str) -> str:
        text, shaped = _SECRET.subn("[secret]", text)
        text, assigned = _ASSIGNED.subn(r"\1[secret]", text)
        self.counts["secret"] += shaped + assigned
        return text

    def _checked(self, kind: str, holds: Callable[[str], bool]) -> Callable[[re.Match[str]], str]:
        def replace(found: re.Match[str]) -> str:
            if not holds(found[0]):
                return found[0]
            self.counts[kind] += 1
            return f"[{kind}]"

        return replace

    def _pseudonym(self, kind: str, value: str) -> str:
        self.counts[kind] += 1
        if not self._salt:
            return f"[{kind}]"
        return f"[{kind}:{hashlib.blake2b(value.encode(), key=self._salt, digest_size=5).hexdigest()}]"


def is_card(text: str) -> bool:
    """Luhn's checksum, a length and a leading number that an issuer uses."""
    digits = [int(character) for character in text if character.isdigit()]
    number = "".join(map(str, digits))
    if not any(prefix.match(number) and len(number) in lengths for prefix, lengths in _CARD_KINDS):
        return False
    doubled = [digit * 2 - 9 if digit > 4 else digit * 2 for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def is_iban(text: str) -> bool:
    """ISO 13616: the number moved by four and written in digits leaves 1 when divided by 97."""
    plain = text.replace(" ", "")
    if not 15 <= len(plain) <= 34:
        return False
    return int("".join(str(int(character, 36)) for character in plain[4:] + plain[:4])) % 97 == 1
