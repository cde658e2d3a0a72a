"""Every agent, in the order data flows.

    agent.events  ─┐
    agent.moved  ──┴─> decide ─┬─> decision.facts, cost.facts, decision.links, dead.letters
         ^─────────────────────┤
                               └─> group.inputs ──> groups ──> quality.facts, alert.transitions, control.limits, dead.letters

An agent hands records to its stage and nothing else: a stage parses, folds, and writes in transactions. Concurrency is one,
so that records are acknowledged in order; it is partitions and workers that run side by side.
"""

from typing import Any

import faust

from waterline.streams.stage import Stage


def graph(app: faust.App, decide: Stage, groups: Stage) -> None:
    """Declares the agents."""

    @app.agent(records(app, decide), name=decide.name, concurrency=1)
    async def _decide(stream: Any) -> None:
        await decide.consume(stream)

    @app.agent(records(app, groups), name=groups.name, concurrency=1)
    async def _groups(stream: Any) -> None:
        await groups.consume(stream)


def records(app: faust.App, stage: Stage) -> Any:
    """The stage's input topics, as they are: bytes."""
    return app.topic(*stage.inputs, key_type=bytes, value_type=bytes, allow_empty=True)
