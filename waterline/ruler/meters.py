"""The ruler's numbers, made from their declarations in schemas/metrics.py."""

from typing import Any

from prometheus_client import CollectorRegistry

from waterline.schemas.metrics import RULER
from waterline.streams.meter import make


class Meters:
    """All of them, in one registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._made = {metric.name: make(metric, self.registry) for metric in RULER}

    def __getitem__(self, name: str) -> Any:
        return self._made[name]
