"""What a batch tells, as records: where each goes, and the running number by which a hole can be seen."""

from collections.abc import Callable, Iterable

from waterline.schemas.frames import H_PRODUCER, H_SEQ
from waterline.schemas.identity import partition_of
from waterline.streams.steps.fold import Out
from waterline.streams.writer import Headers, Record

JOINED_LINES = 1000
JOINED_BYTES = 500_000

PartitionsOf = Callable[[str], int]
Sequence = Callable[[str, int], int]


def records(outs: Iterable[Out], partitions_of: PartitionsOf, sequence: Sequence, producer: bytes) -> list[Record]:
    """In order for each topic and partition. Facts of a `joined` topic share records; a reader pays by the record."""
    made: list[Record] = []
    waiting: dict[tuple[str, int], _Joined] = {}

    def put(topic: str, partition: int, key: bytes | None, value: bytes, headers: Iterable[tuple[str, bytes]]) -> None:
        number = b"%d" % sequence(topic, partition)
        mine: Headers = [*headers, (H_PRODUCER, producer), (H_SEQ, number)]
        made.append(Record(topic, partition, key, value, mine))

    for out in outs:
        topic = out.topic.name
        partition = partition_of(out.key, partitions_of(topic))
        if not out.topic.joined:
            put(topic, partition, out.key, out.value, out.headers)
            continue
        joined = waiting.get((topic, partition))
        if joined is None or joined.full(len(out.value)):
            if joined is not None:
                put(topic, partition, None, b"\n".join(joined.lines), ())
            joined = waiting[topic, partition] = _Joined()
        joined.add(out.value)
    for (topic, partition), joined in waiting.items():
        put(topic, partition, None, b"\n".join(joined.lines), ())
    return made


class _Joined:
    """Lines of one record to be."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.size = 0

    def full(self, more: int) -> bool:
        return len(self.lines) >= JOINED_LINES or self.size + more > JOINED_BYTES

    def add(self, line: bytes) -> None:
        self.lines.append(line)
        self.size += len(line) + 1
