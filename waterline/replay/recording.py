"""A recorded agent run, reduced to what a replay needs: who spoke in which order and how much, which tools were called
with what result, and the recording's own verdict. Nothing in it is made up; `reduce` makes it from the original files.
"""

import gzip
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct, field

HAND_OVER = "transfer_to_human_agents"
"""The tool with which both recorded agents hand a customer over to a human: an escalation."""

PACKAGED = "data/airline_runs.jsonl.gz"
"""All 250 recorded runs, reduced; its source and licences are beside it."""


class Call(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One tool call and its result. Sizes are in characters; `error` is the result's text when it begins `Error:`."""

    tool: str
    sent: int
    got: int
    error: str = ""


class Turn(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One message. The results of an assistant's calls are in its `calls`, in order, and are no turns of their own."""

    role: Literal["system", "user", "assistant"]
    chars: int
    calls: list[Call] = field(default_factory=list)


class Run(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One run of one agent on one task. `reward` is the benchmark's verdict: 1 = done right, 0 = not.

    `subject` is the customer the agent worked for, `policy` a digest of the system prompt, `ended_by` what ended the run.
    """

    dataset: str
    version: str
    task: str
    trial: int
    reward: float
    turns: list[Turn]
    subject: str = ""
    policy: str = ""
    ended_by: str = ""

    @property
    def decision_id(self) -> str:
        """The business id, as a ticket number would be."""
        return f"airline-{self.version}-{self.task}-{self.trial}"


def counts(runs: Sequence[Run]) -> dict[str, int]:
    """What the recording itself says, under the names of the question `summary`."""
    calls = [[call for turn in run.turns for call in turn.calls] for run in runs]
    return {
        "decisions": len(runs),
        "escalations": sum(any(call.tool == HAND_OVER for call in made) for made in calls),
        "tool calls": sum(map(len, calls)),
        "tool calls with errors": sum(bool(call.error) for made in calls for call in made),
        "outcome correct": sum(run.reward == 1 for run in runs),
        "outcome incorrect": sum(run.reward != 1 for run in runs),
    }


def packaged_runs() -> list[Run]:
    """The runs that come with the package."""
    return parse_runs(files("waterline").joinpath(PACKAGED).read_bytes())


def parse_runs(packed: bytes) -> list[Run]:
    """Reduced runs from gzipped JSON lines. Raises `msgspec.DecodeError` or `OSError` (not gzip)."""
    decode = msgspec.json.Decoder(Run).decode
    return [decode(line) for line in gzip.decompress(packed).splitlines()]


def write_runs(path: Path, runs: Iterable[Run]) -> None:
    """Gzipped JSON lines, the same bytes for the same runs."""
    lines = b"".join(msgspec.json.encode(run) + b"\n" for run in runs)
    path.write_bytes(gzip.compress(lines, compresslevel=9, mtime=0))
