"""What an indexer tells of itself, so that stale context is seen: one event for each change of a source that it made searchable.

    kind             embedding
    target_system    the source, by the name that retrieval events give what they search
    name             INDEXED, or CANARY for the heartbeat
    measures         SEARCHABLE_MS: from the commit in the source to when a search found it, in milliseconds
    ts, duration_ms  the commit, and the same time again
    tenant           whose context it is
    decision_key     the indexer's run, such as its source and day; without one each event would be a decision of its own

A canary is a row of the source that the indexer changes itself, at least every `CANARY_S` seconds, and then searches for: its
event is told when it is found. So a source in which nothing changes is told apart from one whose changes get stuck. A source
with a canary is late as soon as that is silent; one without is judged by what it tells alone (sql/rules/context_freshness.sql).
"""

from typing import Final

SEARCHABLE_MS: Final = "commit_to_searchable_ms"
INDEXED: Final = "index.change"
CANARY: Final = "index.canary"
CANARY_S: Final = 20
"""A third of the 60 s of the default rule: a canary may be missed once."""
