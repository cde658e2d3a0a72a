"""All scenarios at once through a worker that is killed again and again: what it committed is what it says without a kill."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path

import msgspec
import pytest

from tests.streams.arena import Arena, until
from tests.streams.scenario_worker import Own
from tests.streams.steps.scenarios import Batch
from tests.streams.steps.scenarios_apart import SCENARIOS
from tests.streams.steps.stages import Stages, moved, rules
from tests.streams.steps.world import T0, seconds
from waterline.schemas.alerts import AlertTransition
from waterline.schemas.frames import encode_event, encode_frame, encode_tick, frame_headers, tick_headers
from waterline.schemas.topics import AGENT_EVENTS, ALERT_TRANSITIONS

KILLS = 3
RULES = rules()
SHIFT = timedelta(days=(datetime.now(UTC) - T0).days - 60)
"""so that all of it has happened: Kafka takes no record of the future"""


def everything() -> list[Batch]:
    """The batches of all scenarios, by when they arrive."""
    batches = sorted((batch for one in SCENARIOS for batch in one.batches), key=lambda batch: batch.at)
    return [
        Batch(at, [event for one in together for event in one.events]) for at, together in groupby(batches, lambda one: one.at)
    ]


class Scene(Arena):
    """One partition, so that all comes in one order; what is told between two kills is read from Kafka."""

    module = "tests.streams.scenario_worker"
    make_topics = Own

    def feed(self, batches: list[Batch]) -> None:
        for batch in batches:
            for n in range(0, len(batch.events), 1000):
                part = [moved(event, SHIFT) for event in batch.events[n : n + 1000]]
                at = max(event.received_at or event.ts for event in part)
                self._put(encode_frame(map(encode_event, part)), frame_headers("acme", len(part), "scene", n), at)
            now = T0 + seconds(batch.at) + SHIFT
            self._put(encode_tick(now), tick_headers("scene", 0), now)
        self._producer.flush()

    def _put(self, value: bytes, headers: list[tuple[str, bytes]], at: datetime) -> None:
        name = self.topics.of(AGENT_EVENTS).name
        self._producer.produce(name, value, partition=0, headers=[*headers], timestamp=round(at.timestamp() * 1000))

    def told(self) -> list[AlertTransition]:
        found = self.read(self.topics.of(ALERT_TRANSITIONS).name)
        return [msgspec.json.decode(message.value() or b"", type=AlertTransition) for message in found]


@pytest.fixture
def scene(kafka: str, tmp_path: Path) -> Iterator[Scene]:
    made = Scene(kafka, tmp_path, 1)
    yield made
    made.close()


Key = tuple[str, int]


def key(one: AlertTransition) -> Key:
    return one.alert_id, one.transition


def last_words(told: list[AlertTransition]) -> dict[Key, AlertTransition]:
    return {key(one): one for one in sorted(told, key=lambda one: one.revision)}


def values(told: list[AlertTransition]) -> set[tuple[object, ...]]:
    return {(*at, one.state, one.value, one.samples, one.provisional) for at, one in last_words(told).items()}


def what(one: AlertTransition) -> tuple[object, ...]:
    return one.tenant, one.rule, one.group, one.previous, one.state


def plain(one: AlertTransition, soon: set[Key]) -> dict[str, object]:
    """Of what was said at first before its window was over, here or there, not when and how often: how soon depends on how soon
    one looks. The last word is the same."""
    told = msgspec.to_builtins(one)
    return {name: told[name] for name in told.keys() - {"opened_at"} - ({"at", "revision"} if key(one) in soon else set())}


def test_kills_neither_repeat_nor_forget_what_any_rule_says(scene: Scene) -> None:
    batches = everything()
    calm = Stages(RULES, partitions=1, shift=SHIFT)
    for batch in batches:
        calm.take_in(batch)
    wanted = last_words(calm.told)
    assert len(wanted) > 50
    for number in range(KILLS):
        worker = scene.start()
        scene.ready(worker)
        before = len(scene.told())
        scene.feed(batches[number * len(batches) // KILLS : (number + 1) * len(batches) // KILLS])
        until(lambda: len(scene.told()) > before, worker.tail)  # noqa: B023
        scene.kill(worker)
    worker = scene.start()
    until(lambda: values(scene.told()) >= values(calm.told), lambda: str(values(calm.told) - values(scene.told())), 120)
    told = scene.told()
    assert len({(key(one), one.revision) for one in told}) == len(told), "none twice"
    soon = {key(one) for one in (*told, *calm.told) if one.provisional}
    assert len(soon) < len(wanted) / 4
    words = last_words(told)
    assert {at: what(one) for at, one in words.items()} == {at: what(one) for at, one in wanted.items()}
    assert {at: plain(one, soon) for at, one in words.items()} == {at: plain(one, soon) for at, one in wanted.items()}
