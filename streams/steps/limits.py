"""The numbers a fold goes by: settings, as data. A replay under the same limits decides the same."""

from typing import Self

from msgspec import Struct

from waterline.schemas.settings import Settings


class Limits(Struct, frozen=True, kw_only=True):
    """Names, units and meanings are those of `schemas.settings`."""

    decision_grace_s: float = 900.0
    decision_keep_days: int = 45
    decision_ids: int = 10_000
    decisions_in_memory: int = 20_000
    parked_events: int = 1_000
    parked_hours: float = 72.0
    clock_skew_s: float = 300.0
    expected_days: int = 30
    expected_min_decisions: int = 20
    window_lateness_s: float = 10.0
    required_fields: str = "agent, decision_key|decision_id"
    quality_every_s: float = 300.0
    price_from: str = "agent"

    @classmethod
    def of(cls, settings: Settings) -> Self:
        return cls(**{name: getattr(settings, name) for name in cls.__struct_fields__})
