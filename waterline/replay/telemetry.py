"""From a recorded run to the events its agent would have told. Pure: the same run, start and seed give the same events.

    decision     the run, from the first message to the last
    model_call   each message of the assistant
    tool_call    each tool call; an error when the recorded result begins `Error:`
    escalation   each call of the hand-over tool, when it returned
    review       a human's work on what was handed over; that it took place is assumed, its verdict stays empty
    outcome      the benchmark's reward: 1 = correct, else incorrect

A run's agent speaks one dialect: OpenTelemetry, plain events, or plain events with its model calls told by a LiteLLM
gateway. Reviews and outcomes are told by others, as plain events that know the business id alone.
"""

import zlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec
from msgspec import Struct

from waterline.replay.recording import HAND_OVER, Call, Run, Turn
from waterline.replay.rules import VERDICT_MS, Rules, cached, span_id, tokens, trace_id
from waterline.schemas.events import Clock, CompletionState, Event, Kind, Outcome, Status, UsageSource

AGENT = "airline-agent"
TASK = "airline-customer-service"
TENANT = "default"
"""A placeholder: the collector puts the credential's tenant in its place."""

MODEL = {"v1": "gpt-4o", "v2": "gpt-5"}
"""v1 is told by the recording's file name. The v2 recording holds no model of its agent: an assumption, marked as one."""

MODEL_MADE_UP = ["tokens_input", "tokens_cache_read", "tokens_output", "tokens_total", "time_to_first_token_ms", "response_id"]


class Route(StrEnum):
    OTLP = "otlp"
    EVENTS = "events"
    LITELLM = "litellm"


class Item(Struct, frozen=True):
    """An event, how it is sent and when its source could have told it: at its end."""

    route: Route
    at: datetime
    event: Event


def route_of(run: Run) -> Route:
    """The dialect the run's agent speaks: `Route` number CRC-32(decision id) modulo 3."""
    return tuple(Route)[zlib.crc32(run.decision_id.encode()) % len(Route)]


def items_of(run: Run, start: datetime, seed: int) -> list[Item]:
    """All that is told about `run` when it begins at `start`, ordered by when it is told."""
    teller = _Teller(run, start, seed)
    for turn in run.turns:
        teller.turn(turn)
    teller.finish()
    return sorted(teller.items, key=lambda item: item.at)


class _Teller:
    """Walks a run's turns with a clock, and keeps what it tells."""

    def __init__(self, run: Run, start: datetime, seed: int) -> None:
        self.items: list[Item] = []
        self.run, self.now, self.route = run, start, route_of(run)
        self.rules, self.trace = Rules(seed, run.decision_id), trace_id(run.decision_id)
        self.read = self.read_before = 0
        self.sequence = 0
        self.handed_over: datetime | None = None
        self.root = self._agent_event(Kind.DECISION, name=f"invoke_agent {AGENT}", decision_id=run.decision_id)
        self.root.attributes = {
            "replay.dataset": run.dataset,
            "replay.task": run.task,
            "replay.trial": str(run.trial),
            "replay.ended_by": run.ended_by,
            "replay.seed": str(seed),
        }

    def turn(self, turn: Turn) -> None:
        if turn.role == "user":
            self.now += timedelta(milliseconds=self.rules.customer_ms(turn.chars))
        elif turn.role == "assistant":
            self._model_call(turn)
        self.read += turn.chars
        for call in turn.calls:
            self._tool_call(call)
            self.read += call.sent + call.got

    def finish(self) -> None:
        """The run as a whole, then what others add to it: the human's review and the benchmark's verdict."""
        self.root.duration_ms = round((self.now - self.root.ts) / timedelta(milliseconds=1), 3)
        self.root.synthetic_fields.append("duration_ms")
        self._tell(self.root, self.route)
        if self.handed_over is not None:
            self._review(self.handed_over)
        self.now += timedelta(milliseconds=VERDICT_MS)
        outcome = Outcome.CORRECT if self.run.reward == 1 else Outcome.INCORRECT
        told = self._later_event(Kind.OUTCOME, name="reward", outcome=outcome, measures={"reward": self.run.reward})
        self._tell(told, Route.EVENTS)

    def _model_call(self, turn: Turn) -> None:
        prompt, output = tokens(self.read), tokens(turn.chars + sum(len(call.tool) + call.sent for call in turn.calls))
        hit = cached(self.read_before)
        self.read_before = prompt
        first = self.rules.first_token_ms(prompt - hit, hit)
        event = self._agent_event(
            Kind.MODEL_CALL,
            round(first + self.rules.output_ms(output), 3),
            MODEL_MADE_UP if self.run.version == "v1" else [*MODEL_MADE_UP, "provider", "model_requested"],
            name="chat",
            provider="openai",
            model_requested=MODEL[self.run.version],
            tokens_input=prompt - hit,
            tokens_cache_read=hit,
            tokens_output=output,
            tokens_total=prompt + output,
            usage_source=UsageSource.ESTIMATED,
            completion_state=CompletionState.COMPLETE,
            time_to_first_token_ms=first,
            finish_reason="tool_calls" if turn.calls else "stop",
        )
        event.response_id = f"chatcmpl-{event.span_id}"
        self._tell(event, self.route)

    def _tool_call(self, call: Call) -> None:
        event = self._agent_event(Kind.TOOL_CALL, self.rules.tool_ms(call.got), name=call.tool, tool=call.tool)
        if call.error:
            event.status, event.error_type = Status.ERROR, "tool_error"
            event.attributes = {"error.message": call.error}
        self._tell(event, self.route)
        if call.tool == HAND_OVER:
            self.handed_over = self.now
            queued = {"escalation_reason": HAND_OVER, "queue_entered_at": self.now}
            self._tell(self._agent_event(Kind.ESCALATION, 0.0, ["queue_entered_at"], name=HAND_OVER, **queued), self.route)

    def _review(self, handed_over: datetime) -> None:
        self.now = max(self.now, handed_over + timedelta(milliseconds=self.rules.queue_ms()))
        minutes, reviewer = self.rules.review_minutes(), self.rules.reviewer()
        work = {"queue_entered_at": handed_over, "reviewer": reviewer, "review_minutes": minutes}
        self._tell(self._later_event(Kind.REVIEW, minutes * 60_000, ["kind", *work], name="review", **work), Route.EVENTS)

    def _tell(self, event: Event, route: Route) -> None:
        """Time goes on by what was told, except by the run as a whole. The gateway tells of model calls alone."""
        if event is not self.root:
            self.now = event.ts + timedelta(milliseconds=event.duration_ms)
        if route is Route.LITELLM and event.kind is not Kind.MODEL_CALL:
            route = Route.EVENTS
        self.items.append(Item(route, self.now, event))

    def _agent_event(self, kind: Kind, duration_ms: float = 0.0, made_up: Sequence[str] = (), **fields: object) -> Event:
        """Told by the run's own agent. An agent without tracing knows its run by the business id alone."""
        traced = self.route is not Route.EVENTS
        span = {
            "actor": AGENT,
            "agent_version": self.run.version,
            "prompt_version": self.run.policy,
            "runtime": self.run.dataset.split()[0],
            "decision_key": self.trace if traced else self.run.decision_id,
            "trace_id": self.trace if traced else "",
            "span_id": span_id(self.trace, self.sequence),
            "parent_span_id": span_id(self.trace, 0) if self.sequence else "",
        }
        return self._event(kind, duration_ms, made_up, {**span, **fields})

    def _later_event(self, kind: Kind, duration_ms: float = 0.0, made_up: Sequence[str] = (), **fields: object) -> Event:
        """Told by another system, which knows the business id and nothing of traces."""
        return self._event(kind, duration_ms, made_up, {"decision_id": self.run.decision_id, **fields})

    def _event(self, kind: Kind, duration_ms: float, made_up: Sequence[str], fields: dict[str, object]) -> Event:
        common = {
            "event_id": f"{self.run.decision_id}/{self.sequence}",
            "tenant": TENANT,
            "clock": Clock.REPLAY,
            "environment": "replay",
            "session_id": f"conversation-{self.run.decision_id}",
            "subject": self.run.subject,
            "agent": AGENT,
            "task": TASK,
            "kind": kind,
            "ts": self.now,
            "duration_ms": duration_ms,
            "sequence": self.sequence,
            "synthetic_fields": ["ts", *(["duration_ms"] if duration_ms else []), *made_up],
        }
        self.sequence += 1
        return msgspec.convert({**common, **fields}, Event)
