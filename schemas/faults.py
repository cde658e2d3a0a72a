"""Places where a process may be made to die or to stand still, and guards that may be switched off, to prove by tests what
each guard is for. Nothing here acts unless one of three environment variables is set, and only tests set them.

    WATERLINE_CRASH=<point>[:n]      the process kills itself when it comes to the point for the n-th time (default 1)
    WATERLINE_PAUSE=<point>[:n]      the process stops itself there (SIGSTOP); whoever runs the test wakes it
    WATERLINE_WITHOUT=<guard>[,...]  the guards named are off

They are read when this module is imported; a name that is not on the lists ends the process at once.
"""

import os
import signal
from enum import StrEnum
from itertools import count
from threading import Lock, get_ident


class _Named(StrEnum):
    meaning: str

    def __new__(cls, value: str, meaning: str = "") -> "_Named":
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member


class Point(_Named):
    """Every place, in the order a record passes them."""

    # sink
    BEFORE_PLAN = "before_plan", "sink: a batch is collected, its range is written down nowhere"
    AFTER_PLAN = "after_plan", "sink: the range is in the commit metadata, nothing is inserted"
    BEFORE_INSERT = "before_insert", "sink: a thread is about to send the rows"
    AFTER_INSERT = "after_insert", "sink: the rows are in, the range ledger is not"
    AFTER_LEDGER = "after_ledger", "sink: the ledger has the range, its dead letters are not produced"
    AFTER_LETTERS = "after_letters", "sink: the dead letters are handed over, perhaps not delivered"
    BEFORE_COMMIT = "before_commit", "sink: all of the range is done, its end is not committed"
    AFTER_COMMIT = "after_commit", "sink: the end of the range is committed"
    AFTER_SPLIT = "after_split", "sink: a half of a refused batch is planned, nothing of it is inserted"
    # streams
    BATCH_APPLIED = "batch_applied", "streams: the records are in the state in memory, nothing is written"
    FACTS_WRITTEN = "facts_written", "streams: the facts of a transaction are on the broker, the state is not"
    STATE_WRITTEN = "state_written", "streams: facts and state are on the broker, the transaction is open"
    TRANSACTION_COMMITTED = "transaction_committed", "streams: the transaction is committed, the local copy is not written"
    COPY_WRITTEN = "copy_written", "streams: the local copy is written, the input is not acknowledged"
    # notifier
    NOTIFICATION_SENT = "notification_sent", "notifier: the receiver took it, no receipt is written"
    RECEIPT_WRITTEN = "receipt_written", "notifier: the receipt is on the broker, the input is not committed"


class Guard(_Named):
    """Everything that can be switched off, with what it keeps from happening."""

    # sink
    PLAN = "plan", "sink: the range is committed before its insert; without it a restart draws other batch edges"
    TOKEN = "token", "sink: rows go in under the range's token; without it a repeated insert adds them again"
    LEDGER_TOKEN = "ledger_token", "sink: the range's ledger row goes in under a token; without it a range is listed twice"
    SPLIT_PLAN = "split_plan", "sink: each half of a refused batch is planned; without it a retry repeats the whole"
    WINDOW = "window", "sink: the first of equal event ids wins; without it re-sent events are stored again"
    REBUILD = "rebuild", "sink: the window is filled from the table on assignment; without it a restart forgets"
    BELOW_FIRST = "below_first", "sink: the window is filled from below the plan; without it a retry finds its own rows"
    PRESENCE = "presence", "sink: a repeated range looks which rows are there; without it a forgotten token adds them again"
    FENCING = "fencing", "sink: a batch whose plan is refused is dropped; without it a woken zombie inserts"
    DEADLINE = "deadline", "sink: nothing is sent long after the plan was committed; without it a woken zombie sends on"
    REVOCATION = "revocation", "sink: nothing is committed on revocation; without it an open plan is erased"
    FLUSH = "flush", "sink: dead letters are delivered before the commit; without it a crash loses them"
    # streams
    TRANSACTION = "transaction", "streams: state and facts are one transaction; without it a crash repeats or loses facts"
    STREAM_FENCING = "stream_fencing", "streams: a new owner shuts the old one out; without it a woken zombie writes on"
    FIRST_WINS = "first_wins", "streams: the first of equal event ids counts; without it a re-sent event counts twice"
    APPLIED = "applied", "streams: a record at or below the applied offset is skipped; without it it counts twice"
    # notifier
    RECEIPTS = "receipts", "notifier: receipts are read before anything is sent; without it a restart tells again"
    LEASE = "lease", "notifier: nothing is sent long after the group confirmed a commit; without it a woken zombie sends"


def _ordered(variable: str) -> tuple[Point | None, int]:
    name, _, times = os.environ.get(variable, "").partition(":")
    return (Point(name), int(times or 1)) if name else (None, 0)


_crash, _crash_at = _ordered("WATERLINE_CRASH")
_pause, _pause_at = _ordered("WATERLINE_PAUSE")
_without = frozenset(Guard(name) for name in os.environ.get("WATERLINE_WITHOUT", "").split(",") if name)
_lock = Lock()
_crashes, _pauses = count(1), count(1)


def armed() -> bool:
    """Whether a test wants this process to die or to stand still somewhere."""
    return bool(_crash or _pause)


def crash(point: Point) -> None:
    """Die or stand still here, if a test wants it. Safe in any thread."""
    if point is _crash:
        with _lock:
            if next(_crashes) == _crash_at:
                os.kill(os.getpid(), signal.SIGKILL)
    if point is _pause:
        with _lock:
            due = next(_pauses) == _pause_at
        if due:
            # to this thread, so that it does not run on until another has taken the signal
            signal.pthread_kill(get_ident(), signal.SIGSTOP)


def without(guard: Guard) -> bool:
    """Whether a test has switched this guard off."""
    return guard in _without
