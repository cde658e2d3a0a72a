"""What a rules file says in words, as numbers: lengths of time, thresholds with their unit, shares. What cannot be read raises
ValueError with a sentence that says what to write instead."""

import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from waterline.schemas.alerts import Severity
from waterline.schemas.yaml_lines import close
from waterline.streams.steps.rules import Baseline, How, Measure

LEVELS = {
    "high": "error",
    "major": "error",
    "fatal": "critical",
    "page": "critical",
    "minor": "warning",
    "low": "info",
    "notice": "info",
}
"""what other systems call a severity"""
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
MOST = Decimal(10) ** 12
UNITS: Mapping[str, Mapping[str, Decimal]] = {
    "ratio": {"%": Decimal("0.01")},
    "ms": {"ms": Decimal(1), "s": Decimal(1000), "m": Decimal(60_000)},
    "s": {"s": Decimal(1), "m": Decimal(60), "h": Decimal(3600), "d": Decimal(86400)},
    "USD": {"USD": Decimal(1)},
    "tokens": {"tokens": Decimal(1)},
    "count": {"": Decimal(1)},
}
"""unit of a measure -> how a threshold may be written, the first as it should be, and what it is multiplied by"""
PASTS: Mapping[How, Sequence[Baseline]] = {
    How.RATIO: (Baseline.DAYS, Baseline.HOURS),
    How.SUM: (Baseline.DAYS,),
    How.QUANTILE: (Baseline.DAYS, Baseline.HOURS),
    How.SILENCE: (),
    How.DECISION: (Baseline.TASK,),
    How.ACCURACY: (),
    How.ASKED: (),
}
"""what a measure can be compared with"""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")
_LINK = re.compile(r"https?://\S+")
_TIME = re.compile(r"(\d{1,9})([smhd])")
_NEARLY_TIME = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)\s*([A-Za-z]*)")
_TOGETHER = re.compile(r"(?:\d{1,9}[smhd]){2,}")
_NEARLY_UNITS = {"sec": "s", "second": "s", "min": "m", "minute": "m", "hr": "h", "hour": "h", "day": "d", "week": "w"}
_AMOUNT = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)\s*(\D*)")
_RELATIVE = re.compile(r"(\d{1,6}(?:\.\d{1,6})?)\s*(x|%\s*of)\s+(\S+)")


def seconds(text: str) -> int:
    """A length of time: 90s, 5m, 1h, 7d."""
    if found := _TIME.fullmatch(text):
        return int(found[1]) * SECONDS[found[2]]
    raise ValueError(f"{text!r} is no length of time such as 90s, 5m, 1h or 7d{_meant_time(text)}")


def _meant_time(text: str) -> str:
    if text.startswith("-"):
        return "; it cannot be negative"
    if _TOGETHER.fullmatch(text):
        return f"; write {lasting(sum(seconds(part[0]) for part in _TIME.finditer(text)))}"
    found = _NEARLY_TIME.fullmatch(text)
    if found is None:
        return ""
    number, word = Decimal(found[1]), found[2].lower()
    if not word:
        return f"; write {found[1]}m for minutes or {found[1]}s for seconds"
    unit = word if word in (*SECONDS, "w") else _NEARLY_UNITS.get(word.removesuffix("s"))
    length = number * (7 * SECONDS["d"] if unit == "w" else SECONDS.get(unit or "", 0))
    return f"; write {lasting(int(length))}" if length and length == int(length) else ""


def lasting(length: int) -> str:
    """Seconds as one would write them: 300 is 5m."""
    unit = next(name for name in ("d", "h", "m", "s") if length % SECONDS[name] == 0)
    return f"{length // SECONDS[unit]}{unit}"


def threshold(measure: Measure, text: str) -> tuple[Decimal, Baseline]:
    """`5%`, `1500ms`, `10 USD`, `3`; or relative to the past: `2x same_hour_of_7_days`, `150% of last_7_windows`."""
    if found := _RELATIVE.fullmatch(text):
        factor = Decimal(found[1]) / (1 if found[2] == "x" else 100)
        return _relative(measure, factor, found[3])
    amount = _amount(measure, text)
    if measure.how is How.DECISION:
        raise ValueError(f"{measure.name} is compared with what its task usually takes, such as 3x {Baseline.TASK.value}")
    if measure.unit == "ratio" and amount >= 1:
        raise ValueError(f"{measure.name} is a share and never over 100%, so {text} would never be passed")
    return amount, Baseline.NONE


def _relative(measure: Measure, factor: Decimal, name: str) -> tuple[Decimal, Baseline]:
    pasts = PASTS[measure.how]
    if name not in pasts:
        if name == Baseline.HOURS and measure.how is How.SUM:
            raise ValueError(f"{measure.name} is a sum, and windows of another length have other sums: write {pasts[0].value}")
        if not pasts:
            raise ValueError(f"{measure.name} is compared with no past; write {written(Decimal(5), measure.unit)}")
        raise ValueError(f"{measure.name} has no past called {name!r}{meant(name, [past.value for past in pasts])}")
    if not factor:
        raise ValueError("nothing times the past is nothing: write a factor such as 2x, or a threshold")
    return factor, Baseline(name)


def _amount(measure: Measure, text: str) -> Decimal:
    units = UNITS[measure.unit]
    found = _AMOUNT.fullmatch(text)
    if found is None or found[2] not in units:
        raise ValueError(f"{text!r} is no {_kind(measure)}{_meant_amount(measure, text)}")
    amount = Decimal(found[1]) * units[found[2]]
    if amount != round(amount, 9):
        raise ValueError(f"{text!r} has too many digits: at most 9 after the point")
    return amount


def _kind(measure: Measure) -> str:
    return {
        "ratio": f"share of {measure.whole.replace('_', ' ')} in %",
        "ms": "time in ms, s or m",
        "s": "time in s, m, h or d",
        "USD": "amount in USD",
        "tokens": "number of tokens",
        "count": "plain number",
    }[measure.unit]


def _meant_amount(measure: Measure, text: str) -> str:
    """What to write in its place: the same number in the measure's unit, or for a share the time before that it is of."""
    if text.startswith("-"):
        return "; it cannot be negative"
    number = re.search(r"\d{1,12}(?:\.\d{1,9})?", text)
    if number is None:
        return f"; {measure.name} wants one such as {written(Decimal(5), measure.unit)}"
    if text.rstrip().endswith(("%", "x")) and measure.unit != "count" and PASTS[measure.how]:
        past = PASTS[measure.how][-1]
        of = " of" if text.rstrip().endswith("%") else ""
        return f"; write {written(Decimal(number[0]), measure.unit)}, or {text}{of} {past.value}"
    amount = Decimal(number[0])
    if measure.unit == "ratio" and amount < 1:
        amount *= 100
    return f"; write {written(amount, measure.unit)}"


def written(amount: Decimal, unit: str) -> str:
    """An amount with the unit's first suffix."""
    suffix = next(iter(UNITS[unit]))
    return f"{plain(amount)}{' ' if len(suffix) > 2 else ''}{suffix}"


def plain(amount: Decimal) -> str:
    """Without exponent and needless zeros."""
    return f"{amount.normalize():f}"


def share(text: str) -> Decimal:
    """`90%`: over zero, at most 100%."""
    found = re.fullmatch(r"(\d{1,3}(?:\.\d{1,2})?)\s*%", text)
    value = Decimal(found[1]) / 100 if found else None
    if value is None or not 0 < value <= 1:
        number = re.fullmatch(r"0\.\d{1,4}|1(?:\.0+)?", text)
        hint = f"; write {plain(Decimal(text) * 100)}%" if number and Decimal(text) else ""
        raise ValueError(f"{text!r} is no share of the threshold, over 0% and up to 100%{hint}")
    return value


def whole(text: str) -> int:
    """A count from 1 on."""
    if not re.fullmatch(r"\d{1,9}", text) or int(text) < 1:
        raise ValueError(f"a whole number from 1 on is wanted, this is {text!r}")
    return int(text)


def is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


def name(text: str) -> str:
    if is_name(text):
        return text
    usable = re.sub(r"[^A-Za-z0-9_.-]+", "_", text).strip("_.-")[:80]
    hint = f"; write {usable}" if usable else ""
    raise ValueError(f"{text[:100]!r} is no name: letters, digits, _ - and . are, up to 80 of them{hint}")


def severity(text: str) -> Severity:
    known = [one.value for one in Severity]
    if text in known:
        return Severity(text)
    raise ValueError(f"there is no severity {text}{meant(text, known, LEVELS)}")


def link(text: str) -> str:
    if _LINK.fullmatch(text):
        return text
    raise ValueError(f"{text[:100]!r} is no link; write one that begins with https://")


def meant(word: str, known: Iterable[str], also: Mapping[str, str] | None = None) -> str:
    """A tail for a message: the known word that is close to this one, else all of them. `also`: other words for some."""
    found = close(word, known, also)
    return f"; is {found} meant?" if found else f"; there are {', '.join(known)}"
