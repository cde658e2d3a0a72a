"""What the ruler remembers, in topic `ruler.changelog`: how far each rule was judged, and where its alerts stand. It is written
in one transaction with the transitions it speaks of, by a producer that shuts out whoever wrote before. So after a kill nothing
is told twice and no window is left out: the next ruler asks again from the first window that is not written down here.
"""

from collections.abc import Iterable, Mapping

import msgspec

from waterline.ruler.asker import Group
from waterline.schemas.alerts import AlertTransition
from waterline.schemas.changelog import PLACE, Place
from waterline.schemas.clients import kafka_config
from waterline.schemas.settings import Settings
from waterline.schemas.topics import Topic
from waterline.streams.changelog import Block, Changelog
from waterline.streams.outbox import records
from waterline.streams.steps.alarm import Alarm
from waterline.streams.steps.fold import Out
from waterline.streams.steps.rules import Asked
from waterline.streams.writer import Writer

OWN = 0
"""The partition of the changelog that is written."""
COURSE, ALARM = b"c", b"a"
Courses = dict[str, tuple[Asked, int]]
"""rule -> the rule as it was judged by, and the end of the last window that was (microseconds)"""
_encode = msgspec.msgpack.Encoder().encode
_decode_course = msgspec.msgpack.Decoder(tuple[Asked, int]).decode
_decode_alarm = msgspec.msgpack.Decoder(tuple[str, Group, Alarm]).decode
_line = msgspec.json.Encoder().encode


class Memory:
    """Blocking; for one thread."""

    def __init__(self, config: Settings, name: str, transitions: Topic, changelog: str) -> None:
        """`name` is the one that fences: of two with the same name only the later can write."""
        kafka = kafka_config(config)
        self._partitions, self._transitions, self._name = config.partitions, transitions, name
        self._changelog = Changelog(kafka, changelog)
        self.writer = Writer(kafka, name, changelog, OWN)
        self._sequences: dict[str, int] = {}

    def open(self) -> None:
        """Shuts out others. Raises writer.Fenced."""
        self.writer.fence()

    def load(self) -> tuple[Courses, dict[tuple[str, Group], Alarm]]:
        """What was committed. Raises changelog.Unsettled or KafkaException; may then be tried again."""
        kept: Block = {}
        stop = self._changelog.ends([OWN])[OWN]
        self._changelog.read(OWN, self._changelog.start(OWN), stop, lambda block, _: kept.update(block))
        courses: Courses = {}
        alarms: dict[tuple[str, Group], Alarm] = {}
        self._sequences = {}
        for key, value in kept.items():
            if value is None:
                continue
            if key == PLACE:
                self._sequences = msgspec.json.decode(value, type=Place).sequences
            elif key.startswith(COURSE):
                asked, end = _decode_course(value)
                courses[asked.name] = asked, end
            else:
                rule, group, alarm = _decode_alarm(value)
                alarms[rule, group] = alarm
        return courses, alarms

    def write(
        self,
        told: Iterable[AlertTransition],
        courses: Mapping[str, tuple[Asked, int] | None],
        alarms: Mapping[tuple[str, Group], Alarm | None],
    ) -> None:
        """All or nothing; None = forget it. Raises writer.Fenced, or writer.Aborted, after which it must be loaded again."""
        outs = [Out(self._transitions, one.alert_id.encode(), _line(one)) for one in told]
        facts = records(outs, lambda _: self._partitions, self._sequence, self._name.encode())
        state: dict[bytes, bytes | None] = {
            COURSE + rule.encode(): None if course is None else _encode(course) for rule, course in courses.items()
        }
        for (rule, group), alarm in alarms.items():
            state[_key(rule, group)] = None if alarm is None else _encode((rule, group, alarm))
        state[PLACE] = msgspec.json.encode(Place(sequences=self._sequences))
        self.writer.write(facts, state)

    def _sequence(self, topic: str, partition: int) -> int:
        lane = f"{topic}/{partition}"
        number = self._sequences[lane] = self._sequences.get(lane, -1) + 1
        return number


def _key(rule: str, group: Group) -> bytes:
    tenant, names = group
    return ALARM + "\x1f".join((rule, tenant, *(part for pair in names for part in pair))).encode()
