"""From the recordings as published to `Run`s. Two shapes are read:

- tau-bench, `historical_trajectories/*.json`: an array of runs with OpenAI chat messages in `traj`
- tau2-bench, a submission's `trajectories/*.json`: an object with `simulations`, each with `messages`

    python -m waterline.replay.reduce OUT.jsonl.gz FILE...     makes the packaged file anew

`subject` is the customer's id the recording names (tau2: the first `user_id` given to a tool). Message bodies are measured
and left out; the text of a tool's error is kept, since it says why the tool refused.
"""

import gzip
import hashlib
import sys
from pathlib import Path
from typing import Any

import msgspec
import orjson

from waterline.replay.recording import Call, Run, Turn, parse_runs, write_runs

ERROR = "Error:"
GZIP = b"\x1f\x8b"
TAU_BENCH = "tau-bench gpt-4o airline"
TAU2_BENCH = "tau2-bench toolorchestra airline"


def read_runs(path: Path) -> list[Run]:
    """The runs of one file: a recording of either shape (gzipped or not), or reduced runs.

    Raises `ValueError` that names the file when it is none of these, `OSError` when it cannot be read."""
    data = path.read_bytes()
    try:
        if data.startswith(GZIP):
            plain = gzip.decompress(data)
            if plain.startswith(b'{"dataset"'):
                return parse_runs(data)
            data = plain
        recording: Any = orjson.loads(data)
        if isinstance(recording, list):
            return [_tau_bench_run(run) for run in recording]
        policy = str(recording["info"]["environment_info"]["policy"])
        return [_tau2_run(run, policy) for run in recording["simulations"]]
    except (ValueError, msgspec.DecodeError, LookupError, TypeError, AttributeError, EOFError) as error:
        raise ValueError(f"{path} is no recording of agent runs that can be read: {error!r}") from error


def _tau_bench_run(run: dict[str, Any]) -> Run:
    messages: list[dict[str, Any]] = run["traj"]
    return Run(
        dataset=TAU_BENCH,
        version="v1",
        task=str(run["task_id"]),
        trial=int(run["trial"]),
        reward=float(run["reward"]),
        turns=_turns(messages),
        subject=run["info"].get("task", {}).get("user_id", ""),
        policy=_digest(messages[0]["content"]),
        ended_by=run["info"].get("source") or "",
    )


def _tau2_run(run: dict[str, Any], policy: str) -> Run:
    messages: list[dict[str, Any]] = run["messages"]
    named = (call["arguments"].get("user_id") for message in messages for call in message.get("tool_calls") or ())
    return Run(
        dataset=TAU2_BENCH,
        version="v2",
        task=str(run["task_id"]),
        trial=int(run["trial"]),
        reward=float(run["reward_info"]["reward"]),
        turns=[Turn("system", len(policy)), *_turns(messages)],
        subject=next((user for user in named if user), ""),
        policy=_digest(policy),
        ended_by=run["termination_reason"],
    )


def _turns(messages: list[dict[str, Any]]) -> list[Turn]:
    """Messages in order, each tool result put to its call. Raises `ValueError` when a call has no result."""
    turns: list[Turn] = []
    for at, message in enumerate(messages):
        if message["role"] == "tool":
            continue
        asked = message.get("tool_calls") or []
        results = messages[at + 1 : at + 1 + len(asked)]
        if [result["role"] for result in results] != ["tool"] * len(asked):
            raise ValueError(f"message {at} calls {len(asked)} tools, and that many results do not follow")
        calls = [_call(call, result) for call, result in zip(asked, results, strict=True)]
        turns.append(Turn(message["role"], len(message["content"] or ""), calls))
    return turns


def _call(call: dict[str, Any], result: dict[str, Any]) -> Call:
    function: dict[str, Any] = call.get("function", call)
    if call["id"] != result.get("tool_call_id", result.get("id")):
        raise ValueError(f"call {call['id']} is followed by the result of another")
    arguments, text = function["arguments"], result["content"] or ""
    sent = arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()
    return Call(function["name"], len(sent), len(text), text if text.startswith(ERROR) else "")


def _digest(policy: str) -> str:
    return "sha256:" + hashlib.sha256(policy.encode()).hexdigest()[:12]


def main(out: str, *originals: str) -> None:
    runs = [run for original in originals for run in read_runs(Path(original))]
    write_runs(Path(out), runs)
    print(f"{out}: {len(runs)} runs, {Path(out).stat().st_size} bytes")


if __name__ == "__main__":
    main(*sys.argv[1:])
