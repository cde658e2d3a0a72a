"""The loop of the ruler: the rules that are questions, asked of each window once it is over -> alert.transitions.

    rules -> windows that are due -> ClickHouse -> alarms -> one transaction (transitions, and how far each rule has come)

A window is asked of `ruler_lateness_s` after its end. After a restart all windows since the last one that was judged are asked of
in order, at most those of a day. A question that is not answered holds its rule up and is asked again. When that lasts as long as
the rule's `hold`, or QUIET_S, the rule itself fires; what fires by it is told as `no_data` after its `hold`.
"""

import time
from collections.abc import Callable
from threading import Event
from typing import Protocol

import structlog
from clickhouse_connect.driver.client import Client
from confluent_kafka import KafkaException
from msgspec import Struct

from waterline.connectors.stores.clickhouse.client import connect
from waterline.ruler import asker
from waterline.ruler.asker import Group, Span
from waterline.ruler.judge import Judge
from waterline.ruler.memory import Courses, Memory
from waterline.ruler.meters import Meters
from waterline.schemas.errors import Permanent, Transient
from waterline.schemas.settings import Settings
from waterline.schemas.statusz import Unanswered
from waterline.schemas.topics import ALERT_TRANSITIONS, RULER_CHANGELOG, Topic
from waterline.streams.changelog import Unsettled
from waterline.streams.steps.alarm import Alarm
from waterline.streams.steps.moment import DAY, SECOND, instant
from waterline.streams.steps.rules import Asked, RuleBook, Rules
from waterline.streams.writer import Aborted

NAME = "waterline-ruler"
LOOK_S, STALE_S = 1.0, 120.0
AT_ONCE = 60
"""Windows of a rule between two commits, when it has some to catch up with."""
QUIET_S = 900
"""So long a question may go without an answer and nobody is told, at most."""
AGAIN_S, RARELY_S = 1.0, 60.0
"""How soon a question that failed is asked again: at first, and in the end."""

log = structlog.get_logger("ruler")


class Follows(Protocol):
    """What tells of changed rules (streams/rules_feed.py)."""

    def listen(self) -> Rules | None: ...

    def take(self, news: Rules | None) -> None: ...


class Course(Struct):
    """Where a rule is: `end` of the last window that was judged, `since` when this process began to watch, `failing` since when
    the question is not answered, and when it is asked `again`; microseconds."""

    judge: Judge
    end: int
    since: int
    failed: str = ""
    failing: int = 0
    wait_s: float = AGAIN_S
    again: int = 0


class Ruler:
    """`run` returns when `stop` is set. Raises writer.Fenced when another has taken its place. `clock`: now, in microseconds."""

    def __init__(
        self,
        config: Settings,
        book: RuleBook,
        feed: Follows | None = None,
        *,
        meters: Meters | None = None,
        clock: Callable[[], int] = lambda: time.time_ns() // 1000,
        name: str = NAME,
        transitions: Topic = ALERT_TRANSITIONS,
        changelog: str = RULER_CHANGELOG.name,
    ) -> None:
        self.config, self.book, self.meters = config, book, meters or Meters()
        self.stop = Event()
        self.turned = time.monotonic()
        self._feed, self._clock = feed, clock
        self._lateness = int(config.ruler_lateness_s * SECOND)
        self._memory = Memory(config, name, transitions, changelog)
        self._courses: dict[str, Course] = {}
        self._written: Courses = {}
        self._ended: list[Judge] = []
        self._asleep: dict[str, dict[Group, Alarm]] = {}
        self._version = ""
        self._loaded = False
        self._why = "what was judged before is not read yet"
        self._client: Client | None = None

    def run(self) -> None:
        self.open()
        while not self.stop.is_set():
            self.turn()
            if self._feed is None:
                self.stop.wait(LOOK_S)
            else:
                self._feed.take(self._feed.listen())

    def open(self) -> None:
        """Shuts out the ruler before."""
        self._memory.open()

    def close(self) -> None:
        """From any thread: ends what waits for Kafka."""
        self.stop.set()
        self._memory.writer.close()

    def turn(self) -> None:
        """Judges what is due now."""
        self.turned = time.monotonic()
        if not self._loaded and not self._load():
            return
        self._use_rules()
        for course in list(self._courses.values()):
            self._follow(course)
        self._commit()

    def alive(self) -> list[str]:
        still = time.monotonic() - self.turned
        return [f"the loop has not turned for {still:.0f} s"] if still > STALE_S else []

    def unready(self) -> list[str]:
        """Why this process does not do its work; empty when it does. Asked by other threads."""
        if not self._loaded:
            return [self._why]
        now = self._clock()
        return self.alive() + [
            f"{name} is not answered: {course.failed}"
            for name, course in list(self._courses.items())
            if course.failed and self._told_of(course, now)
        ]

    def unanswered(self) -> tuple[Unanswered, ...]:
        """The rules whose question was not answered when it was asked last. Asked by other threads."""
        return tuple(
            Unanswered(rule=name, since=instant(course.failing), reason=course.failed)
            for name, course in list(self._courses.items())
            if course.failed
        )

    # rules and what is known of them

    def _load(self) -> bool:
        try:
            courses, alarms = self._memory.load()
        except (Unsettled, KafkaException) as error:
            self._why = str(error)
            log.warning("cannot begin yet", reason=self._why)
            return False
        now = self._clock()
        self._courses = {name: Course(Judge(asked), end, now) for name, (asked, end) in courses.items()}
        self._asleep = {}
        for (name, group), alarm in alarms.items():
            course = self._courses.get(name)
            (course.judge.alarms if course else self._asleep.setdefault(name, {}))[group] = alarm
        self._written, self._ended, self._version, self._loaded = courses, [], "", True
        log.info("ready", rules=len(self.book.now.asked), known=len(courses), alarms=len(alarms))
        return True

    def _use_rules(self) -> None:
        """Takes the rules in force. A rule that asks something else under the same name begins anew."""
        rules = self.book.now
        if rules.version == self._version:
            return
        now = self._clock()
        wanted = {asked.name: asked for asked in rules.asked}
        for name, course in list(self._courses.items()):
            asked = wanted.get(name)
            if asked is None or _about(asked) != _about(course.judge.asked):
                course.judge.end(now, rules.version)
                self._ended.append(self._courses.pop(name).judge)
                self._asleep[name] = course.judge.alarms
        for name, asked in wanted.items():
            length = asked.rule.window_s * SECOND
            begun = now - now % length
            course = self._courses.setdefault(name, Course(Judge(asked), begun, now))
            course.judge.alarms |= self._asleep.pop(name, {})
            course.judge.asked, course.judge.version = asked, rules.version
        self._version = rules.version

    # windows

    def _follow(self, course: Course) -> None:
        """Judges the windows of one rule that are due, in order, as far as they are answered."""
        asked, now = course.judge.asked, self._clock()
        if course.again > now:
            return
        length = asked.rule.window_s * SECOND
        first = now - DAY
        start = max(course.end, first - first % length)
        for _ in range(AT_ONCE):
            end = start + length
            if end + self._lateness > now or self.stop.is_set():
                break
            watched = course.since <= start and now < end + self._lateness + length
            if not self._ask(course, Span(start, end, watched)):
                break
            course.end = start = end
            self.turned = time.monotonic()
        self.meters["ruler_behind_seconds"].labels(asked.name).set(max(0, now - self._lateness - length - course.end) / SECOND)

    def _ask(self, course: Course, span: Span) -> bool:
        judge, began = course.judge, time.monotonic()
        name = judge.asked.name
        try:
            rows = asker.ask(self._connected(), judge.asked, span, bool(self.config.clickhouse_cluster))
        except (Transient, Permanent) as error:
            self._failed(course, error.reason)
            return False
        judge.answer(span, rows)
        self.meters["ruler_questions_total"].labels(name, "answered").inc()
        self.meters["ruler_question_seconds"].labels(name).observe(time.monotonic() - began)
        course.failed, course.failing, course.wait_s = "", 0, AGAIN_S
        return True

    def _failed(self, course: Course, reason: str) -> None:
        name, now = course.judge.asked.name, self._clock()
        self.meters["ruler_questions_total"].labels(name, "failed").inc()
        if course.failed != reason:
            log.warning("a question is not answered", rule=name, reason=reason)
        course.failing, course.failed = course.failing or now, reason
        course.again = now + int(course.wait_s * SECOND)
        course.wait_s = min(2 * course.wait_s, RARELY_S)
        if self._client is not None:
            self._client.close()
            self._client = None
        if self._told_of(course, now):
            course.judge.unanswered(Span(course.end, now), reason, now - course.failing >= _hold(course))

    def _told_of(self, course: Course, now: int) -> bool:
        return now - course.failing >= min(_hold(course), QUIET_S * SECOND)

    def _connected(self) -> Client:
        if self._client is None:
            self._client = connect(self.config, answer_s=2 * asker.PATIENCE_S)
        return self._client

    # what is written

    def _commit(self) -> None:
        judges = [*self._ended, *(course.judge for course in self._courses.values())]
        alarms = {(judge.asked.name, group): judge.alarms.get(group) for judge in judges for group in judge.changed}
        told = [one for judge in judges for one in judge.told]
        courses: Courses = {name: (course.judge.asked, course.end) for name, course in self._courses.items()}
        news = {name: courses.get(name) for name in courses | self._written if courses.get(name) != self._written.get(name)}
        if not (alarms or told or news):
            return
        try:
            self._memory.write(told, news, alarms)
        except Aborted as error:
            log.warning("nothing was written, judging again", reason=str(error))
            self._loaded, self._why = False, str(error)
            return
        for one in told:
            self.meters["ruler_transitions_total"].labels(one.rule, one.state.value).inc()
        for judge in judges:
            judge.drain()
        self._ended.clear()
        self._written = courses


def _about(asked: Asked) -> tuple[object, ...]:
    return asked.rule.measure, asked.rule.window_s, asked.unit, asked.parameters


def _hold(course: Course) -> int:
    """How long what fires goes on firing without an answer, in microseconds."""
    rule = course.judge.asked.rule
    return rule.hold_windows * rule.window_s * SECOND
