"""Quantiles of durations in bounded memory: counts in buckets of equal ratio, so that sketches add up exactly.

A value lies in bucket i when GAMMA^(i-1) < value <= GAMMA^i, and is told as the bucket's middle, 2 GAMMA^i / (GAMMA + 1),
which is at most 1 % off (Masson, Rim and Lee, "DDSketch", VLDB 2019). From a tenth of a microsecond to LARGEST there are some
2,400 buckets; a sketch holds those that are not empty.
"""

from collections.abc import Iterable, Mapping
from math import ceil, log

ACCURACY = 0.01
GAMMA = (1 + ACCURACY) / (1 - ACCURACY)
SMALLEST, LARGEST = 1e-4, 1e13
"""Milliseconds. What is smaller counts as SMALLEST, what is larger as LARGEST."""
_PER_LOG = 1 / log(GAMMA)

Sketch = dict[int, int]
"""bucket -> count"""


def bucket_of(value: float) -> int:
    """The bucket of a value; for zero and less that of SMALLEST."""
    return ceil(log(min(max(value, SMALLEST), LARGEST)) * _PER_LOG)


def value_of(bucket: int) -> float:
    """What all values of a bucket are told as."""
    return float(2 * GAMMA**bucket / (GAMMA + 1))


def merge(into: Sketch, other: Mapping[int, int]) -> None:
    for bucket, count in other.items():
        into[bucket] = into.get(bucket, 0) + count


def merged(sketches: Iterable[Mapping[int, int]]) -> Sketch:
    total: Sketch = {}
    for sketch in sketches:
        merge(total, sketch)
    return total


def count(sketch: Mapping[int, int]) -> int:
    return sum(sketch.values())


def quantile(sketch: Mapping[int, int], q: float) -> float | None:
    """The value at rank ceil(q n) of n, 0 < q <= 1; None for an empty sketch."""
    rank = ceil(q * count(sketch))
    for bucket in sorted(sketch):
        rank -= sketch[bucket]
        if rank <= 0:
            return value_of(bucket)
    return None
