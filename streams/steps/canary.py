"""Candidates beside their controls, stage by stage: promote, hold or roll back (M8). A part of the fold of stage `groups`.

    standings -> counts by minute and artifact -> counts of both sides of a stage -> guardrails -> canary.verdicts

Decisions count in the stage in which they began. A stage is judged when the watermark passes a minute that brought something, by
all that is known of it then; so what is said does not depend on batches, and a replay says it again. A stage that was promoted
goes on being judged by what comes late of it: a label that comes after days may still roll the candidate back.

An agent that had no canary, and of which nothing was heard for `decision_keep_days`, or whose plan is gone, is forgotten. What
was told of a candidate is not, so that its verdicts are numbered without a hole.

What the guardrails say and how sure it is: `canary_judge.py`, `canary_evidence.py`, and streams/CANARY.md.
"""

from collections.abc import Mapping

import msgspec

from waterline.schemas.facts import GroupInput, Standing
from waterline.schemas.identity import SEPARATOR, routing_key
from waterline.schemas.judgement import Decided
from waterline.schemas.topics import CANARY_VERDICTS
from waterline.streams.steps import canary_telling as telling
from waterline.streams.steps.canary_counts import Sums
from waterline.streams.steps.canary_judge import failing, waiting
from waterline.streams.steps.canary_plan import CanaryPlan
from waterline.streams.steps.canary_state import (
    CANARY,
    CONTROL,
    UNSEEN,
    Canary,
    InForce,
    Run,
    Watch,
    kind_of,
    sums_of,
    watch_of,
)
from waterline.streams.steps.fold import Changes, Out
from waterline.streams.steps.limits import Limits
from waterline.streams.steps.moment import DAY, SECOND
from waterline.streams.steps.rules import Rule, RuleBook, Rules
from waterline.streams.steps.tally import MARK_EVERY, MINUTE

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[InForce | None, Watch | None]).decode
_fact = msgspec.json.Encoder().encode
PLANS = b"\x00"


class Canaries:
    prefix = b"k"

    def __init__(self, limits: Limits, rules: RuleBook) -> None:
        self.book = rules
        self.keep = limits.decision_keep_days * DAY
        self.plans: dict[str, CanaryPlan] = {}
        self.since: dict[str, list[int]] = {}
        self.watches: dict[bytes, Watch] = {}
        self.touched: set[bytes] = set()
        self.outs: list[Out] = []
        self._judged_by: Rules | None = None
        self._renewed = False
        self._until = [0, 0]
        self._of: dict[tuple[str, str, bool], list[Watch]] = {}

    def load(self, value: bytes) -> bool:
        force, watch = _decode(value)
        if force is not None:
            self.plans, self.since = {plan.name: plan for plan in force.plans}, force.since
        if watch is not None:
            watch.heard = watch.heard or watch.seen
            self.watches[watch.key] = watch
        return True

    # what comes in

    def take(self, given: GroupInput, heard: int) -> None:
        if self._judged_by is not self.book.now:
            self._renew()
        if not self.plans or given.calls is not None:
            return
        for standing, sign in ((given.previous, -1), (given.now, 1)):
            if standing is not None and standing.contribution.agent:
                self._count(given.tenant, standing, sign, heard)

    def _count(self, tenant: str, standing: Standing, sign: int, heard: int) -> None:
        for watch in self._watching(tenant, standing):
            since = self.since[watch.plan]
            if since[standing.replay] == UNSEEN:
                since[standing.replay] = ((heard + MARK_EVERY) // MINUTE + 1) * MINUTE if heard else 0
                self._renewed = True
            if standing.at < since[standing.replay]:
                continue
            sums, kind = None, kind_of(standing)
            if standing.at >= watch.seen:
                cell = watch.cells.setdefault(standing.at // MINUTE, {})
                if (sums := cell.get(kind)) is None:
                    sums = cell[kind] = Sums.none()
            elif (canary := watch.canary) is not None and not canary.over and (run := canary.run(standing.at)) is not None:
                sums = sums_of(self.plans[watch.plan], canary, run, kind)
                run.news = run.news or sums is not None
            if sums is not None:
                sums.count(standing, sign)
                self.touched.add(watch.key)

    def _watching(self, tenant: str, standing: Standing) -> list[Watch]:
        agent = standing.contribution.agent
        found = self._of.get((tenant, agent, standing.replay))
        if found is None:
            found = self._of[tenant, agent, standing.replay] = []
            for plan in self.plans.values():
                if plan.agent in ("", agent) and plan.tenant in ("", tenant):
                    watch = watch_of(plan.name, tenant, agent, standing.replay)
                    found.append(self.watches.setdefault(watch.key, watch))
        return found

    # time

    def advance(self, replay: bool, now: int) -> None:
        if self._judged_by is not self.book.now:
            self._renew()
        until = now - now % MINUTE
        if until <= self._until[replay]:
            return
        self._until[replay] = until
        for watch in list(self.watches.values()):
            if watch.replay is not replay or watch.plan not in self.plans or until <= watch.seen:
                continue
            if watch.told or watch.cells or until - watch.heard <= self.keep:
                self._pass(self.plans[watch.plan], watch, until)
            else:
                self._forget(watch)

    def _pass(self, plan: CanaryPlan, watch: Watch, until: int) -> None:
        """Minute by minute to `until`; only those that bring something, or end a stage's least time, are looked at."""
        if watch.canary is not None and any(run.news for run in watch.canary.runs):
            self._look(plan, watch, watch.seen)
        for minute in sorted(one for one in watch.cells if one * MINUTE < until):
            self._due(plan, watch, minute * MINUTE)
            cell = watch.cells.pop(minute)
            self._begin(plan, watch, cell, minute * MINUTE)
            self._absorb(plan, watch, cell, minute * MINUTE)
            watch.seen = (minute + 1) * MINUTE
            self._look(plan, watch, watch.seen)
            watch.heard = until
            self.touched.add(watch.key)
        self._due(plan, watch, until)
        watch.seen = until
        self.touched.add(watch.key)

    def _due(self, plan: CanaryPlan, watch: Watch, until: int) -> None:
        """Judges a stage whose least time has passed since it was last judged, and by `until`."""
        canary = watch.canary
        if canary is None or canary.over or len(canary.runs) == len(plan.stages):
            return
        due = canary.runs[-1].start + plan.stages[len(canary.runs) - 1].hold_s * SECOND
        if watch.seen < due <= until:
            self._look(plan, watch, due)

    def _forget(self, watch: Watch) -> None:
        del self.watches[watch.key]
        self._of.pop((watch.tenant, watch.agent, watch.replay), None)
        self.touched.add(watch.key)

    # what is a canary

    def _begin(self, plan: CanaryPlan, watch: Watch, cell: Mapping[str, Sums], at: int) -> None:
        """A candidate that is seen for the first time begins; what was under way ends."""
        canary, name = watch.canary, self._newcomer(plan, watch, cell)
        if canary is not None and canary.left and plan.candidate in ("", canary.candidate):
            name = name or canary.candidate
        if not name:
            return
        if canary is not None and not canary.over and len(canary.runs) < len(plan.stages):
            self._end(plan, watch, canary, at, f"{name} came after it, so it ends undecided")
        watch.canary = canary = Canary(name, _control(plan, watch, name), [Run.at(at)])
        self._tell(plan, watch, canary, 0, None, at, telling.began(plan, 0))

    def _newcomer(self, plan: CanaryPlan, watch: Watch, cell: Mapping[str, Sums]) -> str:
        """The candidate that the decisions of one minute make known; empty when there is none."""
        late, found = [], ""
        for kind in sorted((kind for kind in cell if cell[kind].decisions > 0), key=lambda kind: (-cell[kind].decisions, kind)):
            stage, _, artifact = kind.partition(SEPARATOR)
            if plan.candidate:
                if artifact == plan.candidate:
                    late.append(artifact)
                elif artifact and not watch.met(artifact):
                    watch.usual = artifact
            elif stage == CONTROL:
                watch.met(artifact)
                watch.usual = artifact or CONTROL
            elif stage == CANARY:
                late.append(artifact)
            elif artifact and artifact != plan.control:
                if not watch.usual and not plan.control:
                    watch.met(artifact)
                    watch.usual = artifact
                elif artifact not in watch.known:
                    late.append(artifact)
        for artifact in late:
            name = CANARY if artifact in ("", _control(plan, watch, "")) else artifact
            tried = watch.canary is not None and watch.canary.candidate == name if plan.candidate else name in watch.known
            if not tried and _control(plan, watch, name):
                watch.met(name)
                found = name
        return found

    def _absorb(self, plan: CanaryPlan, watch: Watch, cell: Mapping[str, Sums], at: int) -> None:
        canary = watch.canary
        if canary is None or canary.over or (run := canary.run(at)) is None:
            return
        for kind in sorted(cell):
            if (sums := sums_of(plan, canary, run, kind)) is not None:
                sums.merge(cell[kind])
                run.news = True

    # judgement

    def _look(self, plan: CanaryPlan, watch: Watch, at: int) -> None:
        canary = watch.canary
        if canary is None or canary.over:
            return
        judged = canary.runs[: len(plan.stages) - 1]
        for stage, run in enumerate(judged):
            if run.news and (decided := failing(plan, run.candidate, run.control)) is not None:
                canary.verdict = Decided.ROLLBACK
                late = "" if stage == len(canary.runs) - 1 else f", by what came late of stage {stage + 1}"
                self._tell(plan, watch, canary, stage, decided, at, f"beyond the limit for sure{late}")
                self._close(watch, canary)
                return
            run.news = False
        stage = len(canary.runs) - 1
        if stage < len(judged) and at - canary.runs[stage].start >= plan.stages[stage].hold_s * SECOND:
            self._promote(plan, watch, canary, stage, at)
        self.touched.add(watch.key)

    def _promote(self, plan: CanaryPlan, watch: Watch, canary: Canary, stage: int, at: int) -> None:
        """Or names what it waits for: a guardrail once a stage, and none before the one that was named last."""
        run = canary.runs[stage]
        decided = waiting(plan, run.candidate, run.control)
        if decided is not None:
            if decided > canary.named:
                canary.named = decided
                self._tell(plan, watch, canary, stage, decided, at, "not to be promoted yet")
            return
        canary.verdict = Decided.PROMOTE
        then = telling.next_share(plan, stage + 1)
        self._tell(plan, watch, canary, stage, None, at, f"every guardrail passes after {telling.lasted(run, at)}; go to {then}")
        canary.runs.append(Run.at(at))
        canary.named = -1
        if stage + 2 == len(plan.stages):
            watch.usual = canary.candidate
        else:
            canary.verdict = Decided.HOLD
        self._tell(plan, watch, canary, stage + 1, None, at, telling.began(plan, stage + 1))

    def _tell(self, plan: CanaryPlan, watch: Watch, canary: Canary, stage: int, decided: int | None, at: int, why: str) -> None:
        watch.number(canary.candidate)
        told = telling.verdict(plan, self.book.now.version, watch, canary, stage, decided, at, why)
        self.outs.append(Out(CANARY_VERDICTS, routing_key(watch.tenant, watch.agent), _fact(told)))
        self.touched.add(watch.key)

    def _end(self, plan: CanaryPlan, watch: Watch, canary: Canary, at: int, why: str) -> None:
        canary.verdict = Decided.HOLD
        self._tell(plan, watch, canary, len(canary.runs) - 1, None, at, why)
        self._close(watch, canary)

    def _close(self, watch: Watch, canary: Canary) -> None:
        """Its counts are of no more use."""
        if watch.usual == canary.candidate:
            watch.usual = canary.control
        canary.over = True
        canary.runs.clear()

    # plans

    def _renew(self) -> None:
        """Takes the plans in force; a canary whose plan is gone, or is about something else now, ends."""
        self._judged_by = self.book.now
        plans = {plan.name: plan for plan in self.book.now.canaries}
        if plans == self.plans:
            return
        kept = {name for name in plans.keys() & self.plans.keys() if plans[name].about() == self.plans[name].about()}
        for watch in list(self.watches.values()):
            if watch.plan in self.plans and watch.plan not in kept:
                self._leave(self.plans[watch.plan], watch, watch.plan in plans)
            if watch.plan not in plans and not watch.told:
                self._forget(watch)
        self.since = {name: self.since[name] if name in kept else [UNSEEN, UNSEEN] for name in plans}
        self.plans, self._renewed = plans, True
        self._of.clear()

    def _leave(self, plan: CanaryPlan, watch: Watch, changed: bool) -> None:
        watch.cells.clear()
        canary = watch.canary
        if canary is not None and not canary.over:
            done = len(canary.runs) == len(plan.stages)
            if not done:
                why = "the plan was changed, so it begins anew" if changed else "the plan was removed, so it ends undecided"
                self._end(plan, watch, canary, max(watch.seen, canary.runs[-1].start), why)
            canary.over, canary.left = True, not done
        self.touched.add(watch.key)

    def end(self, gone: Mapping[str, Rule], heard: tuple[int, int]) -> None:
        """Rules are no business of canaries."""

    def drain(self, changes: Changes) -> None:
        if self._judged_by is not self.book.now and (self.watches or self.book.now.canaries):
            self._renew()
        if self._renewed:
            force = InForce(list(self.plans.values()), self.since)
            changes.puts[self.prefix + PLANS] = _encode((force, None))
            self._renewed = False
        for key in self.touched:
            watch = self.watches.get(key)
            changes.puts[self.prefix + key] = None if watch is None else _encode((None, watch))
        self.touched.clear()
        changes.outs.extend(self.outs)
        self.outs.clear()


def _control(plan: CanaryPlan, watch: Watch, candidate: str) -> str:
    """What a candidate is compared with; empty while nothing else is known."""
    if plan.control or watch.usual != candidate:
        return plan.control or watch.usual
    return next((name for name in reversed(watch.known) if name != candidate), "")
