"""`make faults SEEDS=100`, or one seed again: `python -m tests.faults --only 17`."""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.faults.runner import Runner
from waterline.schemas.settings import Settings
from waterline.stack import Stack


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many, from --first on")
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--only", type=int, help="this one seed")
    parser.add_argument("--decisions", type=int, default=150, help="decisions a seed sends")
    arguments = parser.parse_args()
    seeds = [arguments.only] if arguments.only is not None else range(arguments.first, arguments.first + arguments.seeds)
    failed = 0
    with tempfile.TemporaryDirectory(prefix="waterline-faults-") as folder:
        with faulty_stack(Path(folder)) as stack:
            runner = Runner(stack, lambda line: None, arguments.decisions)
            for seed in seeds:
                verdict = runner.run(seed)
                state = "FAILED" if verdict.wrong else "ok"
                print(
                    f"seed {seed}: {state}, {verdict.events} events, {len(verdict.story)} faults, {verdict.seconds:.0f} s",
                    flush=True,
                )
                if verdict.wrong:
                    failed += 1
                    print("  " + "\n  ".join(verdict.wrong))
                    print("  faults: " + "; ".join(verdict.story))
                    print(f"  again: python -m tests.faults --only {seed} --decisions {arguments.decisions}", flush=True)
                    keep_logs(stack, seed)
    print(f"{len(seeds)} seeds, {failed} failed")
    return 1 if failed else 0


def faulty_stack(folder: Path) -> Stack:
    """A whole stack that starts again what dies, however often."""
    settings = Settings(decision_grace_s=30, log_level="warning")
    return Stack(folder, settings=settings, free_ports=True, restart=True)


def keep_logs(stack: Stack, seed: int) -> None:
    kept = Path(".waterline") / "faults" / f"seed-{seed}"
    kept.mkdir(parents=True, exist_ok=True)
    for name in ("kafka", "front", "sink", "streams", "collector"):
        if stack.log(name).exists():
            (kept / f"{name}.log").write_bytes(stack.log(name).read_bytes())
    print(f"  logs: {kept}")


if __name__ == "__main__":
    sys.exit(main())
