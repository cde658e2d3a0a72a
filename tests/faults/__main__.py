"""`make faults SEEDS=100`; one seed again: `python -m tests.faults --only 17`; the store away for 10 minutes under load:
`python -m tests.faults --store-away 600`."""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.faults.away import RATE, send_the_store_away
from tests.faults.runner import DECISIONS, Runner
from waterline.schemas.settings import Settings
from waterline.stack import Stack
from waterline.stack.parts import NAMES


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many, from --first on")
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--only", type=int, help="this one seed")
    parser.add_argument("--decisions", type=int, default=DECISIONS, help="decisions a seed sends")
    parser.add_argument("--store-away", type=float, default=0, metavar="SECONDS", help="no seeds, but the store away for so long")
    parser.add_argument("--rate", type=float, default=RATE, help="events a second while the store is away")
    parser.add_argument("--verbose", action="store_true", help="tell each fault and each restart")
    arguments = parser.parse_args()
    seeds = [arguments.only] if arguments.only is not None else range(arguments.first, arguments.first + arguments.seeds)

    began = time.monotonic()

    def tell(line: str) -> None:
        if arguments.verbose:
            print(f"    [{time.monotonic() - began:.1f}] {line}", flush=True)

    with tempfile.TemporaryDirectory(prefix="waterline-faults-") as folder, faulty_stack(Path(folder), tell) as stack:
        if arguments.store_away:
            return away(stack, arguments.first, arguments.store_away, arguments.rate)
        failed = 0
        runner = Runner(stack, tell, arguments.decisions)
        for seed in seeds:
            verdict = runner.run(seed)
            print(verdict, flush=True)
            if verdict.wrong:
                failed += 1
                print("  " + "\n  ".join(verdict.wrong))
                print("  faults: " + "; ".join(verdict.faults))
                print(f"  again: python -m tests.faults --only {seed} --decisions {arguments.decisions}", flush=True)
                keep_logs(stack, seed)
        if wrong := runner.told() + runner.drifted():
            failed += 1
            print("after all seeds:\n  " + "\n  ".join(wrong), flush=True)
    print(f"{len(seeds)} seeds, {failed} failed")
    return 1 if failed else 0


def away(stack: Stack, seed: int, seconds: float, rate: float) -> int:
    told = send_the_store_away(stack, seed, seconds, rate)
    print(told)
    print("\n".join(f"  {wrong}" for wrong in told.wrong) or "nothing was lost, doubled or wrong")
    return 1 if told.wrong else 0


def faulty_stack(folder: Path, report: Callable[[str], None] = lambda line: None) -> Stack:
    """A whole stack that starts again what dies, however often."""
    return Stack(folder, settings=Settings(decision_grace_s=30, quality_every_s=1), free_ports=True, restart=True, report=report)


def keep_logs(stack: Stack, seed: int) -> None:
    kept = Path(".waterline") / "faults" / f"seed-{seed}"
    kept.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        if stack.log(name).exists():
            (kept / f"{name}.log").write_bytes(stack.log(name).read_bytes())
    print(f"  logs: {kept}")


if __name__ == "__main__":
    sys.exit(main())
