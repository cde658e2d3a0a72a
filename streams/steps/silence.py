"""Agents that spoke every minute and fell silent (rules of measure `silence`). A part of the fold of stage `groups`.

An agent is watched while each of the last `window` minutes had a call or a decision of its; when then nothing is heard for more
than the threshold, the alert fires, and resolves with the next thing heard. After `GIVEN_UP` it is closed: the agent is gone.
Live data alone: a replay is silent when it ends. Its examples are the decisions that began last before the silence.

An agent that is gone is let go, and what comes of it from so long ago is not taken up again. Where an alert ever spoke, the
number of its last transition is kept: readers take a transition with a number that they know for the one they have.
"""

from bisect import insort
from collections.abc import Mapping
from decimal import Decimal

import msgspec
from msgspec import Struct

from waterline.schemas.alerts import AlertState, AlertTransition, alert_id
from waterline.schemas.facts import GroupInput
from waterline.schemas.identity import SEPARATOR
from waterline.schemas.topics import ALERT_TRANSITIONS
from waterline.streams.steps.agenda import Agenda
from waterline.streams.steps.evidence import quoted
from waterline.streams.steps.examples import KEPT, Ranked, keys, put
from waterline.streams.steps.fold import Changes, Out
from waterline.streams.steps.in_force import withdrawn
from waterline.streams.steps.moment import DAY, NEVER, SECOND, instant
from waterline.streams.steps.rules import How, Rule, RuleBook
from waterline.streams.steps.tally import MINUTE

GIVEN_UP = DAY
LOOKS = 2**62
MORE_MINUTES = 10
"""Minutes remembered beyond those a rule asks for: what comes a little late still fills its minute."""
_encode = msgspec.msgpack.Encoder().encode
_fact = msgspec.json.Encoder().encode


class Told(Struct, array_like=True):
    fires: bool = False
    transition: int = 0
    opened_at: int = 0
    state: AlertState = AlertState.OK


class Agent(Struct, array_like=True):
    """`minutes`: the last ones in which it was heard, in order, since 1970. `told` by rule. `passed`: the last of the minutes
    after which it was silent, and had not spoken for long enough before. `last`: when its latest decisions began, microseconds.
    Without minutes it was let go."""

    tenant: str
    agent: str
    minutes: list[int] = []
    told: dict[str, Told] = {}
    passed: int = 0
    last: Ranked[int] = []

    @property
    def key(self) -> bytes:
        return _key(self.tenant, self.agent)

    def run(self) -> int:
        """How many minutes in a row it spoke, up to the last."""
        last = len(self.minutes) - 1
        return next((n for n in range(1, last + 1) if self.minutes[last - n] != self.minutes[last] - n), last + 1)


_decode = msgspec.msgpack.Decoder(Agent).decode


class Silence:
    prefix = b"s"

    def __init__(self, rules: RuleBook) -> None:
        self.book = rules
        self.agents: dict[bytes, Agent] = {}
        self.touched: set[bytes] = set()
        self.outs: list[Out] = []
        self._agenda: Agenda[bytes] = Agenda(SECOND)
        self._looks: dict[bytes, int] = {}

    def load(self, value: bytes) -> bool:
        agent = _decode(value)
        self.agents[agent.key] = agent
        if agent.minutes:
            self._look_at(agent.key, 0)
        return True

    @property
    def rules(self) -> list[Rule]:
        return [rule for rule in self.book.now.apart if rule.how is How.SILENCE]

    def take(self, given: GroupInput, heard: int) -> None:
        if given.calls is not None:
            if not given.calls.replay:
                self._hear(given.tenant, given.agent, given.calls.minute, heard)
            return
        now, before, key = given.now, given.previous, given.decision_key
        if now is not None and not now.replay and now.contribution.agent:
            agent = self._hear(given.tenant, now.contribution.agent, now.at // MINUTE, heard)
            if agent is not None and (before is None or before.at != now.at or len(agent.last) < KEPT):
                self._begins(agent, key, now.at)
        elif now is None and before is not None and not before.replay:
            agent = self.agents.get(_key(given.tenant, before.contribution.agent))
            if agent is not None:
                self._begins(agent, key, 0)

    def _hear(self, tenant: str, name: str, minute: int, heard: int) -> Agent | None:
        """None for what is not watched."""
        key = _key(tenant, name)
        if (agent := self.agents.get(key)) is None or not agent.minutes:
            if (minute + 1) * MINUTE + self._patience() <= heard:
                return None
            if agent is None:
                agent = self.agents[key] = Agent(tenant, name, minutes=[], told={}, last=[])
        minutes = agent.minutes
        if minute in minutes:
            return agent
        most = max((rule.window_s // 60 for rule in self.rules), default=0) + MORE_MINUTES
        if len(minutes) >= most and minute < minutes[0]:
            return agent
        if not minutes or minute > minutes[-1]:
            self._speaks(agent, minute)
        insort(minutes, minute)
        del minutes[:-most]
        self.touched.add(key)
        self._look_at(key, min((_due(rule, minutes[-1]) for rule in self.rules), default=self._gone(agent)))
        return agent

    def _begins(self, agent: Agent, decision: str, at: int) -> None:
        """A decision began then; at 0: it is none of this agent's."""
        if (at, decision) not in agent.last:
            put(agent.last, (at, decision))
            self.touched.add(agent.key)

    def _speaks(self, agent: Agent, minute: int) -> None:
        for name, told in agent.told.items():
            rule = next((rule for rule in self.rules if rule.name == name), None)
            if told.fires and rule is not None:
                self._tell(rule, agent, told, AlertState.RESOLVED, minute * MINUTE, late=minute * MINUTE < told.opened_at)

    def advance(self, replay: bool, now: int) -> None:
        """A replay is never silent: it is over."""
        if replay:
            return
        for key in self._agenda.due(now, LOOKS):
            if self._looks.get(key, NEVER) > now:
                continue
            del self._looks[key]
            if (agent := self.agents.get(key)) is None or not agent.minutes:
                continue
            looks = [self._look(rule, agent, now) for rule in self.rules]
            if (gone := self._gone(agent)) <= now:
                self._let_go(agent)
            else:
                self._look_at(key, min([gone, *looks]))

    def _look_at(self, key: bytes, due: int) -> None:
        """An agent is on the agenda once, whatever is heard of it, or once more where it is to be looked at earlier."""
        if due < self._looks.get(key, NEVER):
            self._looks[key] = due
            self._agenda.add(due, key)

    def _patience(self) -> int:
        """How long after the last that was heard of it an agent is gone."""
        return GIVEN_UP + max((int(rule.above) * SECOND for rule in self.rules), default=0)

    def _gone(self, agent: Agent) -> int:
        return _ended(agent) + self._patience()

    def _let_go(self, agent: Agent) -> None:
        if any(told.transition for told in agent.told.values()):
            agent.minutes, agent.last, agent.passed = [], [], 0
        else:
            del self.agents[agent.key]
        self.touched.add(agent.key)

    def _look(self, rule: Rule, agent: Agent, now: int) -> int:
        """When to look again, should nothing be heard."""
        last = agent.minutes[-1]
        told = agent.told.get(rule.name)
        if told is not None and told.fires:
            if _ended(agent) + GIVEN_UP > now:
                return _ended(agent) + GIVEN_UP
            self._tell(rule, agent, told, AlertState.NO_DATA, now)
        elif now < _due(rule, last):
            return _due(rule, last)
        elif agent.run() * 60 >= rule.window_s and (told is None or told.opened_at < _due(rule, last)):
            told = agent.told.setdefault(rule.name, Told())
            told.opened_at = _due(rule, last)
            self._tell(rule, agent, told, AlertState.FIRING, told.opened_at, late=agent.passed == last)
            return _ended(agent) + GIVEN_UP
        elif agent.passed != last:
            agent.passed = last
            self.touched.add(agent.key)
        return self._gone(agent)

    def _tell(self, rule: Rule, agent: Agent, told: Told, state: AlertState, at: int, late: bool = False) -> None:
        previous, told.state = told.state, state
        told.fires = state is AlertState.FIRING
        told.transition += 1
        self.touched.add(agent.key)
        self.outs.append(_record(rule, self.book.now.version, agent, told, previous, at, late))

    def end(self, gone: Mapping[str, Rule], heard: tuple[int, int]) -> None:
        """Resolves what fires by rules that are gone."""
        for agent in self.agents.values():
            for name, told in agent.told.items():
                if told.fires and name in gone:
                    told.fires, told.state, told.transition = False, AlertState.RESOLVED, told.transition + 1
                    group = {"agent": agent.agent}
                    self.outs.append(
                        withdrawn(gone[name], self.book.now, agent.tenant, group, told.transition, told.opened_at, heard[0])
                    )
                    self.touched.add(agent.key)

    def drain(self, changes: Changes) -> None:
        for key in self.touched:
            agent = self.agents.get(key)
            changes.puts[self.prefix + key] = None if agent is None else _encode(agent)
        self.touched.clear()
        changes.outs.extend(self.outs)
        self.outs.clear()


def _key(tenant: str, agent: str) -> bytes:
    return f"{tenant}{SEPARATOR}{agent}".encode()


def _ended(agent: Agent) -> int:
    """The end of the last minute in which it was heard, microseconds."""
    return (agent.minutes[-1] + 1) * MINUTE


def _due(rule: Rule, minute: int) -> int:
    return (minute + 1) * MINUTE + int(rule.above) * SECOND


def _record(rule: Rule, version: str, agent: Agent, told: Told, previous: AlertState, at: int, late: bool) -> Out:
    group, state = {"agent": agent.agent}, told.state
    last = _ended(agent)
    silent = Decimal(max(0, at - last) // SECOND)
    spoke = agent.run()
    summary = f"{agent.agent} spoke every minute for {spoke} min and has been silent since {instant(last):%Y-%m-%d %H:%M} UTC"
    if state is AlertState.RESOLVED:
        summary = f"{agent.agent} speaks again, after {silent // 60} min"
    elif state is AlertState.NO_DATA:
        summary = f"{agent.agent} has been silent for {silent // 3600} h; nothing more is said of it until it speaks again"
    transition = AlertTransition(
        alert_id=alert_id(agent.tenant, rule.name, group),
        transition=told.transition,
        tenant=agent.tenant,
        rule=rule.name,
        group=group,
        severity=rule.severity,
        previous=previous,
        state=state,
        at=instant(at),
        opened_at=instant(told.opened_at),
        summary=summary,
        measure=rule.measure,
        unit="s",
        value=silent,
        threshold=rule.above,
        samples=spoke,
        samples_needed=rule.window_s // 60,
        window_from=instant(last - spoke * MINUTE),
        window_to=instant(last),
        late=late,
        decisions=keys(agent.last),
        sql=_statement(agent),
        runbook=rule.runbook,
        rules_version=version,
    )
    return Out(ALERT_TRANSITIONS, transition.alert_id.encode(), _fact(transition))


def _statement(agent: Agent) -> str:
    last = f"toDateTime64('{instant(_ended(agent)):%Y-%m-%d %H:%M:%S}', 6, 'UTC')"
    where = f"tenant = {quoted(agent.tenant)} AND agent = {quoted(agent.agent)} AND clock = 'source' AND ts < {last}"
    return f"SELECT ts, kind, name, source, status, decision FROM decision_events WHERE {where} ORDER BY ts DESC LIMIT 100"
