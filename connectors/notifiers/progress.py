"""How far a partition is done: everything below the committed offset has all its receipts."""

from collections import deque
from threading import Lock

_lock = Lock()


class Record:
    """One transition of Kafka. `left`: receipts that the broker has not confirmed yet."""

    __slots__ = ("left", "offset", "way")

    def __init__(self, way: "Way", offset: int) -> None:
        self.way, self.offset, self.left = way, offset, 0

    def add(self) -> None:
        with _lock:
            self.left += 1

    def done(self) -> None:
        with _lock:
            self.left -= 1


class Way:
    """A partition that is ours. `dropped`: not any more; what waits for it is not sent. `reached`: the end up to which all was
    read, as the broker says; only it knows when markers of transactions are the last things there."""

    def __init__(self, topic: str, partition: int) -> None:
        self.topic, self.partition = topic, partition
        self.dropped = False
        self.committed = -1
        self.reached = -1
        self._records: deque[Record] = deque()
        self._next = -1

    def begin(self, offset: int) -> None:
        """Where the group stands, or the partition begins."""
        self._next = self.committed = offset

    def take(self, offset: int) -> Record:
        record = Record(self, offset)
        self._records.append(record)
        return record

    def position(self) -> int:
        """The offset up to which all is done; -1 before `begin`, while nothing was."""
        while self._records and not self._records[0].left:
            self._next = self._records.popleft().offset + 1
        return self._next

    def lag(self, end: int) -> int:
        """Records of a partition that ends at `end` that are not done; not more than are known of when that is not known."""
        position = self.position()
        return max(0, end - max(position, 0)) if end > max(0, self.reached) else self.open

    @property
    def open(self) -> int:
        return len(self._records)
