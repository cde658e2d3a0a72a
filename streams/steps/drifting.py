"""How far what an agent does has moved from its baseline (M3). A part of the fold of stage `groups`.

For each (tenant, agent, kind of time, artifact, day) the distributions of days.py are kept, and compared with those of the
baseline (baselines.py) by distribution.py. What changed is told as event time goes on: of one agent at most every `EVERY`, so
a day's last word is said within that after its end. A day that is over is weighed with those before it (day_evidence.py), which
is told up to `WARM` and `EVERY` after its end. What comes late for a day, or for one that it is compared or weighed with, is
told as a new revision. A figure depends on what has come so far alone, not on batches, restarts or what was told in between.

State keys: an agent's artifacts and days, in memory; each day of an artifact, which leaves the memory when it is over for
`WARM` and nothing is left to be told, and is read again when it is needed.
"""

from collections.abc import Iterable, Mapping
from typing import cast
from zlib import crc32

import msgspec
from msgspec.structs import replace

from waterline.schemas.facts import GroupInput, Standing
from waterline.schemas.identity import SEPARATOR, routing_key
from waterline.schemas.topics import DRIFT_FACTS
from waterline.streams.steps.agenda import Agenda
from waterline.streams.steps.baselines import KEPT, Agent, Choice, Era, choose, compared, let_go, outdated, pin_of, surplus
from waterline.streams.steps.day_evidence import WATCHED, judge
from waterline.streams.steps.days import ABOUT, OF_CALLS, AgentKey, Day, Place, Told, added
from waterline.streams.steps.drift_telling import dated, distance, fact_of
from waterline.streams.steps.fold import Changes, Cold, Out
from waterline.streams.steps.moment import DAY, HOUR, NEVER, SECOND
from waterline.streams.steps.rules import Rule, RuleBook
from waterline.streams.steps.tally import MINUTE

EVERY = 300 * SECOND
WARM = HOUR
CACHED = 1000
"""Agents whose baselines are kept added up."""
LOOKS = 2**62
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Agent | Day).decode
_fact = msgspec.json.Encoder().encode
Sums = dict[tuple[str, tuple[Place, ...]], dict[str | int, int]]


class Drifting:
    prefix = b"d"

    def __init__(self, cold: Cold, rules: RuleBook) -> None:
        self.cold, self.book = cold, rules
        self.pins = rules.now.baselines
        self.agents: dict[AgentKey, Agent] = {}
        self.days: dict[AgentKey, dict[Place, Day]] = {}
        self.news: dict[AgentKey, dict[Place, set[str]]] = {}
        self.touched: set[tuple[AgentKey, Place]] = set()
        self.heads: set[AgentKey] = set()
        self.gone: set[bytes] = set()
        self.outs: list[Out] = []
        self.now = [0, 0]
        self._due: tuple[Agenda[AgentKey], Agenda[AgentKey]] = (Agenda(SECOND), Agenda(SECOND))
        self._over: tuple[Agenda[tuple[AgentKey, Place]], Agenda[tuple[AgentKey, Place]]] = (Agenda(), Agenda())
        self._leaving: set[tuple[AgentKey, Place]] = set()
        self._sums: dict[AgentKey, Sums] = {}

    # state

    def load(self, value: bytes) -> bool:
        known = _decode(value)
        if isinstance(known, Agent):
            self.agents[known.key] = known
            if known.due:
                self._due[known.key.replay].add(known.due, known.key)
            if known.pin != pin_of(known.key, self.pins):
                self._schedule(known, 0)
        elif not known.left:
            self._enter(known)
            if known.news is not None:
                self.news.setdefault(known.key, {})[known.place] = set(known.news)
        return isinstance(known, Agent) or not known.left

    def drain(self, changes: Changes) -> None:
        for state in self.gone:
            changes.puts[state] = None
        for key, place in self.touched:
            self._put(changes, self.days[key][place])
        for key, place in self._leaving:
            if place in self.news.get(key, ()):
                self._enter(self.days[key][place])
            elif (day := self.days.get(key, {}).pop(place, None)) is not None:
                day.left = True
                changes.cold.add(self._put(changes, day))
        for key in self.heads | {key for key, _ in self.touched}:
            changes.puts[_agent_key(self.prefix, key)] = _encode(self.agents[key])
        for waiting in (self.gone, self.touched, self._leaving, self.heads):
            waiting.clear()
        changes.outs.extend(self.outs)
        self.outs.clear()

    def _put(self, changes: Changes, day: Day) -> bytes:
        news = self.news.get(day.key, {}).get(day.place)
        day.news = None if news is None else sorted(news)
        state = _day_key(self.prefix, day.key, day.place)
        changes.puts[state] = _encode(day)
        return state

    # what comes in

    def take(self, given: GroupInput, heard: int) -> None:
        if (calls := given.calls) is not None:
            at = calls.minute * MINUTE
            day = self._day(AgentKey(given.tenant, given.agent, calls.replay), (calls.artifact, at // DAY))
            if day is not None and (about := OF_CALLS.get(calls.kind)) is not None:
                day.name(about, calls.name, calls.count)
                anew = self.agents[day.key].count(day.place, at, calls.count)
                self._changed(day, ABOUT if anew else (about,), heard)
            return
        before, now = given.previous, given.now
        if before is not None and now is not None and _place(before) == _place(now) and before.replay is now.replay:
            self._replace(given.tenant, now, before, now, heard)
            return
        if before is not None:
            self._replace(given.tenant, before, before, None, heard)
        if now is not None:
            self._replace(given.tenant, now, None, now, heard)

    def _replace(self, tenant: str, of: Standing, before: Standing | None, now: Standing | None, heard: int) -> None:
        key = AgentKey(tenant, of.contribution.agent, of.replay)
        if not key.agent:
            return
        if (day := self._day(key, _place(of), known=before is not None)) is None:
            return
        changed, moved = day.replace(before, now), before is None or now is None or before.at != now.at
        anew = False
        if moved:
            for standing, sign in ((before, -1), (now, 1)):
                if standing is not None:
                    anew |= self.agents[key].count(day.place, standing.at, sign)
        if changed or moved:
            self._changed(day, ABOUT if anew else changed, heard)

    def _changed(self, day: Day, about: Iterable[str], heard: int) -> None:
        key, place = day.key, day.place
        if (news := self.news.get(key)) is None:
            news = self.news[key] = {}
        if (known := news.get(place)) is None:
            known = news[place] = set()
        known.update(about)
        self.touched.add((key, place))
        if not (agent := self.agents[key]).due:
            self._schedule(agent, heard)

    def _schedule(self, agent: Agent, now: int) -> None:
        agent.due = _next(agent.key, now)
        self._due[agent.key.replay].add(agent.due, agent.key)
        self.heads.add(agent.key)

    def _day(self, key: AgentKey, place: Place, known: bool = False) -> Day | None:
        """From memory, from disk or, unless it has to be `known`, new; None for one that is forgotten or too old."""
        if (days := self.days.get(key)) is not None and (day := days.get(place)) is not None:
            return day
        agent = self.agents.get(key)
        era = agent.eras.get(place[0]) if agent else None
        if era is not None and place[1] in era.days:
            day = self._peek(key, place)
            self._enter(day)
            return day
        if known or (agent is not None and place[1] <= agent.newest - KEPT):
            return None
        if agent is None:
            agent = self.agents[key] = Agent(key, {}, {})
        newest = agent.newest
        agent.eras.setdefault(place[0], Era({})).days[place[1]] = (0, 0)
        day = Day(key, place[0], place[1], {}, {}, {})
        self._enter(day)
        if agent.newest > newest or len(agent.eras[place[0]].days) == 1:
            self._tidy(agent, place)
        return day

    def _enter(self, day: Day) -> None:
        key, day.left = day.key, False
        self.days.setdefault(key, {})[day.place] = day
        over = max((day.number + 1) * DAY, self.now[key.replay]) + WARM
        self._over[key.replay].add(over, (key, day.place))

    def _peek(self, key: AgentKey, place: Place) -> Day:
        """To be read only, unless it is entered: one on disk stays there."""
        if (day := self.days.get(key, {}).get(place)) is not None:
            return day
        stored = self.cold.get(_day_key(self.prefix, key, place))
        if stored is None:
            raise KeyError(f"{place} of {key} is not stored")
        return cast("Day", _decode(stored))

    def _tidy(self, agent: Agent, new: Place) -> None:
        while (name := surplus(agent, new[0])) is not None:
            for day in list(agent.eras[name].days):
                self._forget(agent, (name, day))
        for place in outdated(agent, agent.pin):
            if place != new:
                self._forget(agent, place)

    def _forget(self, agent: Agent, place: Place) -> None:
        key = agent.key
        let_go(agent, place)
        self.days.get(key, {}).pop(place, None)
        self.news.get(key, {}).pop(place, None)
        self.touched.discard((key, place))
        self._leaving.discard((key, place))
        self.gone.add(_day_key(self.prefix, key, place))

    # time

    def advance(self, replay: bool, now: int) -> None:
        self.now[replay] = max(self.now[replay], now)
        if self.book.now.baselines is not self.pins:
            self.pins = self.book.now.baselines
            for agent in self.agents.values():
                if agent.pin != pin_of(agent.key, self.pins) and not agent.due:
                    self._schedule(agent, now)
        for key in self._due[replay].due(now, LOOKS):
            self._tell(self.agents[key])
        for key, place in self._over[replay].due(now, LOOKS):
            if (day := self.days.get(key, {}).get(place)) is None:
                continue
            if untested := day.untested:
                self._changed(day, untested, now)
            if place in self.news.get(key, {}):
                self._enter(day)
            else:
                self._leaving.add((key, place))

    def end(self, gone: Mapping[str, Rule], heard: tuple[int, int]) -> None:
        """Nothing: it stands on no rule."""

    # what is told

    def _tell(self, agent: Agent) -> None:
        agent.due, agent.pin = 0, pin_of(agent.key, self.pins)
        news, oldest = self.news.pop(agent.key, {}), agent.newest - KEPT + 1
        self.heads.add(agent.key)
        self.touched.update((agent.key, place) for place in news)
        self._outdate(agent.key, news)
        for artifact, era in sorted(agent.eras.items()):
            how = compared(agent, artifact, agent.pin)
            other = agent.compared.get(artifact) != (how.name, how.pinned)
            agent.compared[artifact] = how.name, how.pinned
            since = oldest if other else max(oldest, how.since(min((day for _, day in news), default=NEVER)))
            for day in sorted(day for day in era.days if day >= since):
                begin = day - WATCHED + 1 if self._is_over(agent.key, day) else day
                parts = [
                    about
                    for place, about in news.items()
                    if (place[0] == artifact and begin <= place[1] <= day) or how.has(place, day)
                ]
                if about := ABOUT if other else sorted(set().union(*parts)):
                    self._compare(agent, (artifact, day), choose(agent, how, day), about)

    def _outdate(self, key: AgentKey, news: Mapping[Place, set[str]]) -> None:
        sums = self._sums.get(key, {})
        for known in [one for one in sums if not news.keys().isdisjoint(one[1])]:
            del sums[known]

    def _compare(self, agent: Agent, place: Place, choice: Choice, abouts: Iterable[str]) -> None:
        key, day, tested = agent.key, self._peek(agent.key, place), self._tested(agent, place, choice)
        for about in abouts:
            now, told = day.distribution(about), day.told.get(about, Told())
            if not (told.revision or any(now.values())):
                continue
            far = distance(about, self._baseline(key, choice, place[1], about), now)
            new = Told(told.revision, choice.name, choice.pinned, far.before, far.now, far.psi, far.wasserstein or 0.0)
            if tested is not None:
                word = judge(dated(tested[0], about), dated(tested[1], about))
                new = replace(new, sequential=word.said, since=word.since)
            if new == told:
                continue
            if place not in self.days.get(key, {}):
                self._enter(day)
            day.told[about] = new = replace(new, revision=told.revision + 1)
            self.touched.add((key, place))
            fact = _fact(fact_of(day, about, far, new))
            self.outs.append(Out(DRIFT_FACTS, routing_key(key.tenant, key.agent), fact))

    def _is_over(self, key: AgentKey, day: int) -> bool:
        return (day + 1) * DAY <= self.now[key.replay]

    def _tested(self, agent: Agent, place: Place, choice: Choice) -> tuple[list[Day], list[Day]] | None:
        """The days of the baseline, and those that day_evidence.py weighs against them; None: the day is not over."""
        key, (artifact, day) = agent.key, place
        if not self._is_over(key, day):
            return None
        days = ((artifact, one) for one in agent.eras[artifact].worked if day - WATCHED < one <= day)
        after = [] if place in choice.days else [one for one in days if one not in choice.days]
        return [self._peek(key, one) for one in choice.days], [self._peek(key, one) for one in after]

    def _baseline(self, key: AgentKey, choice: Choice, day: int, about: str) -> Mapping[str | int, int]:
        """The days other than `day` are added up once; those of the day itself still grow."""
        past = tuple(place for place in choice.days if place[1] != day)
        today = [self._peek(key, place).distribution(about) for place in choice.days if place[1] == day]
        sums = self._sums.get(key)
        if sums is None:
            while len(self._sums) >= CACHED:
                del self._sums[next(iter(self._sums))]
            sums = self._sums[key] = {}
        if (total := sums.get((about, past))) is None:
            total = sums[about, past] = added(self._peek(key, place).distribution(about) for place in past)
        return added([total, *today]) if today else total


def _place(standing: Standing) -> Place:
    return standing.artifact, standing.at // DAY


def _next(key: AgentKey, now: int) -> int:
    """When an agent is told of next: each at its own moment, so that not all come at once."""
    phase = crc32(SEPARATOR.join((key.tenant, key.agent)).encode()) % 300 * SECOND
    return now + EVERY - (now - phase) % EVERY


def _agent_key(prefix: bytes, key: AgentKey) -> bytes:
    return prefix + SEPARATOR.join((key.tenant, key.agent, "r" if key.replay else "")).encode()


def _day_key(prefix: bytes, key: AgentKey, place: Place) -> bytes:
    return _agent_key(prefix, key) + SEPARATOR.join(("", place[0], str(place[1]))).encode()
