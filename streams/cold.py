"""A partition's state on disk: a copy of its changelog up to an offset, so that a restart reads the rest only.

It is a cache. Lost, damaged, stale or of another changelog, it is wiped and read anew; what it holds is always what the
changelog held at `covered`, because both are written in one RocksDB batch, and only after the transaction is committed.
"""

import shutil
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from heapq import merge
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from rocksdict import BlockBasedOptions, Cache, DBCompressionType, Options, Rdict, WriteBatch, WriteBufferManager

from waterline.schemas.topics import TOMBSTONE_MS

HOT, COLD, META = b"h", b"c", b"m"
STALE_S = TOMBSTONE_MS / 2000
BLOCK_CACHE = 32 * 2**20
WRITE_BUFFERS = 64 * 2**20

Puts = Mapping[bytes, bytes | None]

_blocks = Cache(BLOCK_CACHE)
_buffers = WriteBufferManager.new_write_buffer_manager_with_cache(WRITE_BUFFERS, False, _blocks)


class CopyFailed(Exception):
    """The disk refused. Nothing is lost: the changelog has it all."""


class Coverage(Struct, frozen=True):
    """How much of which changelog the copy holds."""

    identity: str
    offset: int
    written: float
    """seconds since the epoch"""


class LocalCopy:
    """`Cold` for the fold. One writer at a time; reads may run beside it.

    A key lies under HOT when recovery must load it, else under COLD. What is drained but not yet written here lies over
    both (`lay`), so a reader sees its own writes before they are committed.
    """

    def __init__(self, path: Path, identity: str) -> None:
        self.path = path
        self.identity = identity
        self.covered = 0
        self.hot_keys: set[bytes] = set()
        self._over: deque[Puts] = deque()
        self._db: Rdict | None = None

    def open(self, start: int, stop: int) -> bool:
        """Opens it for a changelog whose offsets run from `start` to `stop`; whether what was there could be kept."""
        self.close()
        kept = self.path.exists() and self._open_existing(start, stop)
        if not kept:
            self.close()
            try:
                if self.path.exists():
                    shutil.rmtree(self.path)
                self.path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise CopyFailed(f"cannot make room at {self.path}: {error}") from error
            self._db = self._rocks()
            self.covered = start
        return kept

    def _open_existing(self, start: int, stop: int) -> bool:
        try:
            self._db = self._rocks()
            coverage = msgspec.json.decode(self._db.get(META) or b"null", type=Coverage | None)
        except (CopyFailed, msgspec.MsgspecError):
            return False
        if coverage is None or coverage.identity != self.identity or not start <= coverage.offset <= stop:
            return False
        if coverage.offset < stop and time.time() - coverage.written > STALE_S:
            return False
        self.covered = coverage.offset
        return True

    def _rocks(self) -> Rdict:
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_write_buffer_size(8 * 2**20)
        options.set_write_buffer_manager(_buffers)
        options.set_compression_type(DBCompressionType.lz4())
        options.set_max_open_files(64)
        options.set_keep_log_file_num(2)
        blocks = BlockBasedOptions()
        blocks.set_block_cache(_blocks)
        blocks.set_bloom_filter(10, False)
        options.set_block_based_table_factory(blocks)
        try:
            return Rdict(str(self.path), options)
        except Exception as error:  # rocksdict raises nothing narrower
            raise CopyFailed(f"cannot open {self.path}: {error}") from error

    def close(self) -> None:
        if self._db is not None:
            self._db.close()
        self._db = None
        self._over.clear()
        self.hot_keys.clear()

    def lay(self, puts: Puts) -> None:
        """What was drained: seen from now on. `lift` takes the oldest away once `write` has it."""
        self._over.append(puts)

    def lift(self) -> None:
        self._over.popleft()

    def write(self, puts: Puts, cold: Iterable[bytes], covered: int) -> None:
        """The committed `puts`, and that the changelog is copied up to `covered`, at once."""
        batch = WriteBatch(raw_mode=True)
        cold = frozenset(cold)
        heated, cooled = [], []
        for key, value in puts.items():
            hot = key in self.hot_keys
            if value is None:
                batch.delete((HOT if hot else COLD) + key)
                cooled.append(key)
            elif key in cold:
                batch.put(COLD + key, value)
                if hot:
                    batch.delete(HOT + key)
                    cooled.append(key)
            else:
                batch.put(HOT + key, value)
                if not hot:
                    batch.delete(COLD + key)
                    heated.append(key)
        self._commit(batch, covered)
        self.hot_keys.update(heated)
        self.hot_keys.difference_update(cooled)

    def catch_up(self, puts: Puts, covered: int) -> None:
        """A part of the changelog, before `hot` was read: where a key lies is not known yet."""
        batch = WriteBatch(raw_mode=True)
        for key, value in puts.items():
            batch.delete(COLD + key)
            if value is None:
                batch.delete(HOT + key)
            else:
                batch.put(HOT + key, value)
        self._commit(batch, covered)

    def chill(self, entries: Mapping[bytes, bytes]) -> None:
        """Keys that lie under HOT and need not be loaded again."""
        batch = WriteBatch(raw_mode=True)
        for key, value in entries.items():
            batch.put(COLD + key, value)
            batch.delete(HOT + key)
        self._commit(batch, self.covered)
        self.hot_keys.difference_update(entries)

    def _commit(self, batch: WriteBatch, covered: int) -> None:
        batch.put(META, msgspec.json.encode(Coverage(self.identity, covered, time.time())))
        try:
            self._rdict.write(batch)
        except Exception as error:  # rocksdict raises nothing narrower
            raise CopyFailed(f"cannot write {self.path}: {error}") from error
        self.covered = covered

    def hot(self) -> Iterator[tuple[bytes, bytes]]:
        """Every entry that recovery must load. Fills `hot_keys` on the way."""
        items: Any = self._rdict.items(from_key=HOT)
        for key, value in items:
            if not key.startswith(HOT):
                return
            plain = key[1:]
            self.hot_keys.add(plain)
            yield plain, value

    def get(self, key: bytes) -> bytes | None:
        for puts in reversed(self._over):
            if key in puts:
                return puts[key]
        try:
            found: bytes | None = self._rdict.get((HOT if key in self.hot_keys else COLD) + key)
        except Exception as error:  # rocksdict raises nothing narrower
            raise CopyFailed(f"cannot read {self.path}: {error}") from error
        return found

    def scan(self, start: bytes, stop: bytes) -> Iterator[bytes]:
        over: dict[bytes, bytes | None] = {}
        for puts in self._over:
            over.update((key, value) for key, value in puts.items() if start <= key < stop)
        fresh = sorted(key for key, value in over.items() if value is not None)
        stored = (key for key in merge(self._range(HOT, start, stop), self._range(COLD, start, stop)) if key not in over)
        return merge(fresh, stored)

    def _range(self, prefix: bytes, start: bytes, stop: bytes) -> Iterator[bytes]:
        keys: Any = self._rdict.keys(from_key=prefix + start)
        for key in keys:
            if not key.startswith(prefix) or key[1:] >= stop:
                return
            yield key[1:]

    @property
    def _rdict(self) -> Rdict:
        if self._db is None:
            raise CopyFailed(f"{self.path} is closed")
        return self._db
