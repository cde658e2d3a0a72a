"""What the sender of an event probably meant: declared fields close to a key that is none, and what an enum may hold."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from enum import StrEnum
from functools import lru_cache
from typing import Any

import msgspec

from waterline.schemas.events import FIELDS, Event

KEYS = 16
"""Unknown keys of a request that are looked at: a comparison costs a fraction of a millisecond, a body holds any number."""
TOLD = 4
"""Hints of an answer, and of one refusal."""
LONGEST = 40
CLOSE = 0.75
"""Similarity as difflib counts it: `kidn` is just this close to `kind`."""

ENUMS: dict[str, tuple[str, ...]] = {
    info.name: tuple(info.type)
    for info in msgspec.structs.fields(Event)
    if isinstance(info.type, type) and issubclass(info.type, StrEnum)
}
"""Fields that hold one of a closed list of values."""

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_BY_WORDS = {tuple(sorted(field.split("_"))): field for field in FIELDS}


@lru_cache(maxsize=4096)
def meant(key: str) -> str:
    """The declared field that `key` is close to: in another spelling (`decisionKey`), order (`input_tokens`) or with a slip
    (`tokens_inptu`). Empty when there is none."""
    plain = _HUMP.sub("_", key).lower().replace("-", "_").replace(".", "_")
    same = plain if plain in FIELDS else _BY_WORDS.get(tuple(sorted(plain.split("_"))))
    return same or next(iter(get_close_matches(plain, FIELDS, 1, CLOSE)), "")


class Hints:
    """The hints of one request. Each unknown key is looked at once, up to KEYS of them."""

    def __init__(self) -> None:
        self._looked: set[str] = set()
        self.told: dict[str, None] = {}

    def close(self, record: Mapping[str, Any]) -> dict[str, str]:
        """Unknown keys of a record -> the field each is close to and that the record does not have."""
        found: dict[str, str] = {}
        for key in record:
            if key in FIELDS:
                continue
            if key not in self._looked:
                if len(self._looked) >= KEYS or len(key) > LONGEST:
                    continue
                self._looked.add(key)
            if (field := meant(key)) and field not in record:
                found[key] = field
        return found

    def kept(self, record: Mapping[str, Any], close: Mapping[str, str]) -> None:
        """Note hints about an event that was taken."""
        for key, field in close.items():
            value = record[key]
            if value is not None and len(self.told) < TOLD:
                number = isinstance(value, int | float) and not isinstance(value, bool)
                self.told[f"`{key}` is kept as {'a measure' if number else 'an attribute'}; did you mean `{field}`?"] = None


def refusal(record: Mapping[str, Any], close: Mapping[str, str]) -> str:
    """What helps to mend an event that was refused, to be put behind the reason; empty when nothing is known."""
    parts = []
    for field, values in ENUMS.items():
        if field in record and not (isinstance(record[field], str) and record[field] in values):
            parts.append(f"`{field}` is one of {', '.join(value for value in values if value)}")
    parts += [f"`{key}` is no field, did you mean `{field}`?" for key, field in close.items()]
    return "".join(f"; {part}" for part in parts[:TOLD])
