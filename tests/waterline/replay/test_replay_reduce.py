"""The packaged runs are the recording: the same counts, and the same runs when the originals are at hand."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from waterline.replay.recording import HAND_OVER, Call, Run, Turn, counts, packaged_runs, parse_runs, write_runs
from waterline.replay.reduce import read_runs

ORIGINALS = os.environ.get("WATERLINE_AIRLINE_DATA", "")
NAMES = ("taubench_gpt-4o_airline_4trials.json", "tau2_toolorchestra_airline_1trial.json")
needs_originals = pytest.mark.skipif(not ORIGINALS, reason="set WATERLINE_AIRLINE_DATA to the folder of the two recordings")

TAU_BENCH = {
    "task_id": 4,
    "trial": 2,
    "reward": 1.0,
    "info": {"task": {"user_id": "ann_1"}, "source": "user"},
    "traj": [
        {"role": "system", "content": "policy"},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "a", "function": {"name": "look", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "a", "name": "look", "content": "Error: no"},
        {"role": "assistant", "content": "sorry"},
    ],
}
TAU2 = {
    "info": {"environment_info": {"policy": "be kind"}},
    "simulations": [
        {
            "task_id": "9",
            "trial": 0,
            "reward_info": {"reward": 0.0},
            "termination_reason": "user_stop",
            "messages": [
                {"role": "assistant", "content": "hi", "tool_calls": None},
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {"id": "x", "name": "get", "arguments": {"user_id": "bob_2"}},
                        {"id": "y", "name": HAND_OVER, "arguments": {}},
                    ],
                },
                {"role": "tool", "id": "x", "content": "1234"},
                {"role": "tool", "id": "y", "content": "ok"},
            ],
        }
    ],
}


def write(path: Path, recording: object) -> Path:
    path.write_text(json.dumps(recording))
    return path


def test_a_run_of_tau_bench(tmp_path: Path) -> None:
    (run,) = read_runs(write(tmp_path / "r.json", [TAU_BENCH]))
    assert (run.decision_id, run.reward, run.subject, run.ended_by) == ("airline-v1-4-2", 1.0, "ann_1", "user")
    assert run.turns == [
        Turn("system", 6),
        Turn("user", 5),
        Turn("assistant", 0, [Call("look", 2, 9, "Error: no")]),
        Turn("assistant", 5),
    ]


def test_a_run_of_tau2_bench(tmp_path: Path) -> None:
    (run,) = read_runs(write(tmp_path / "r.json", TAU2))
    assert (run.decision_id, run.reward, run.subject, run.ended_by) == ("airline-v2-9-0", 0.0, "bob_2", "user_stop")
    assert run.turns == [
        Turn("system", 7),
        Turn("assistant", 2),
        Turn("assistant", 0, [Call("get", 19, 4), Call(HAND_OVER, 2, 2)]),
    ]


def test_reduced_runs_are_read_as_they_were_written(tmp_path: Path) -> None:
    runs = packaged_runs()
    write_runs(tmp_path / "out.jsonl.gz", runs)
    assert read_runs(tmp_path / "out.jsonl.gz") == runs == parse_runs((tmp_path / "out.jsonl.gz").read_bytes())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not json",
        b"{}",
        b"3",
        b"[[]]",
        b"\x1f\x8bbroken",
        json.dumps([{**TAU_BENCH, "traj": TAU_BENCH["traj"][:3]}]).encode(),  # type: ignore[index]
        json.dumps([TAU_BENCH]).replace('"tool_call_id": "a"', '"tool_call_id": "b"').encode(),
    ],
    ids=["empty", "text", "other object", "number", "lists", "broken gzip", "call without result", "result of another call"],
)
def test_what_is_no_recording_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "some-file.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"some-file\.json is no recording"):
        read_runs(path)


def test_the_packaged_runs_have_the_recordings_counts() -> None:
    runs = packaged_runs()
    assert len({run.decision_id for run in runs}) == len(runs)
    assert counts(runs) == {
        "decisions": 250,
        "escalations": 65,
        "tool calls": 1745,
        "tool calls with errors": 79,
        "outcome correct": 112,
        "outcome incorrect": 138,
    }


@needs_originals
def test_the_packaged_runs_are_the_originals_reduced() -> None:
    assert packaged_runs() == [run for name in NAMES for run in read_runs(Path(ORIGINALS) / name)]


@needs_originals
def test_the_counts_come_from_the_raw_recordings() -> None:
    """Counted on the raw JSON, by no code of ours."""
    first, second = (json.loads((Path(ORIGINALS) / name).read_text()) for name in NAMES)
    raw: list[tuple[float, list[dict[str, Any]]]] = [(run["reward"], run["traj"]) for run in first]
    raw += [(run["reward_info"]["reward"], run["messages"]) for run in second["simulations"]]
    results = [message for _, messages in raw for message in messages if message["role"] == "tool"]
    names = [
        {call.get("function", call)["name"] for message in messages for call in message.get("tool_calls") or []}
        for _, messages in raw
    ]
    spoken = sum(message["role"] == "assistant" for _, messages in raw for message in messages)
    runs: list[Run] = packaged_runs()
    assert len(raw) == len(runs) == 250
    assert sum(HAND_OVER in called for called in names) == 65
    assert (len(results), sum(result["content"].startswith("Error:") for result in results)) == (1745, 79)
    assert sum(reward == 1 for reward, _ in raw) == 112
    assert spoken == sum(turn.role == "assistant" for run in runs for turn in run.turns)
