"""Every Prometheus metric, once. The prefix is the process; labels never hold ids, names of people or free text."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Metric:
    """`name` follows Prometheus' conventions: base units, `_total` on counters."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


METRICS: tuple[Metric, ...] = ()
