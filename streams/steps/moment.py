"""Time as whole microseconds since 1970, and the days it falls on."""

from datetime import UTC, date, datetime, timedelta

from waterline.schemas.events import LATEST

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = 1_000_000
HOUR = 3600 * SECOND
DAY = 24 * HOUR
NEVER = 2**62
_EPOCH_DAY = EPOCH.date().toordinal()


def micros(time: datetime) -> int:
    since = time - EPOCH
    return (since.days * 86400 + since.seconds) * SECOND + since.microseconds


END = micros(LATEST)


def instant(us: int) -> datetime:
    return EPOCH + timedelta(microseconds=us)


def day_of(us: int) -> str:
    """The UTC day, YYYY-MM-DD."""
    return date.fromordinal(_EPOCH_DAY + us // DAY).isoformat()


def day_number(day: str) -> int:
    """Days since 1970. Raises ValueError for text that is no day."""
    return date.fromisoformat(day).toordinal() - _EPOCH_DAY


def day_name(number: int) -> str:
    return date.fromordinal(_EPOCH_DAY + number).isoformat()
