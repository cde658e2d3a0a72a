"""What the collector counts, as schemas/metrics.py declares it. Counting is cheap; Prometheus' types are made when asked."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from waterline.schemas.metrics import COLLECTOR

Labels = tuple[str, ...]

DECLARED = {metric.name: metric for metric in COLLECTOR}
SECONDS = "collector_request_seconds"


class Meters(Collector):
    """`gauges` are asked when a scrape comes."""

    def __init__(self) -> None:
        self.gauges: dict[str, Callable[[], float]] = {}
        self._counts: dict[str, Counter[Labels]] = {name: Counter() for name, m in DECLARED.items() if m.kind == "counter"}
        self._bounds = DECLARED[SECONDS].buckets
        self._seconds: dict[str, list[int]] = {}
        self._sums: Counter[str] = Counter()
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def count(self, name: str, *labels: str, by: int = 1) -> None:
        """Add to a declared counter; KeyError for another name."""
        self._counts[name][labels] += by

    def value(self, name: str, *labels: str) -> int:
        return self._counts[name][labels]

    def took(self, route: str, seconds: float) -> None:
        buckets = self._seconds.get(route)
        if buckets is None:
            buckets = self._seconds[route] = [0] * (len(self._bounds) + 1)
        buckets[bisect_left(self._bounds, seconds)] += 1
        self._sums[route] += seconds  # type: ignore[assignment]

    def collect(self) -> Iterator[Metric]:
        for name, counts in self._counts.items():
            family = CounterMetricFamily(name.removesuffix("_total"), DECLARED[name].meaning, labels=DECLARED[name].labels)
            for labels, number in counts.items():
                family.add_metric(labels, number)
            yield family
        for name, ask in self.gauges.items():
            yield GaugeMetricFamily(name, DECLARED[name].meaning, value=ask())
        histogram = HistogramMetricFamily(SECONDS, DECLARED[SECONDS].meaning, labels=DECLARED[SECONDS].labels)
        for route, buckets in self._seconds.items():
            bounds = [*(str(bound) for bound in self._bounds), "+Inf"]
            histogram.add_metric([route], list(zip(bounds, accumulate(buckets), strict=True)), self._sums[route])
        yield histogram

    def text(self) -> bytes:
        return generate_latest(self.registry)
