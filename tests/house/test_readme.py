"""What the README tells people to type, typed in order into a fresh folder. `make test`, which runs this, is left out, and
`make demo` is done as its recipe does it once the environment is set up."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import jvm
from waterline.schemas.settings import Settings
from waterline.stack import addresses
from waterline.stack.parts import PARTS

pytestmark = pytest.mark.alone
ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = [block.strip() for block in re.findall(r"^```bash\n(.*?)^```", README, re.DOTALL | re.MULTILINE)]
ROWS = "\n".join(line for line in README.splitlines() if line.startswith("| "))
DEMO, TEST = "make demo", "make test"
AGAIN_S = 90.0
"""in which the demo must be through when everything is set up, on two cores with nothing else to do"""
DECIDED_S = 60.0

Shell = Callable[[str], str]


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory, jars: None) -> Iterator[Shell]:
    """Runs a script as a reader would in the folder of a clone, on ports that nobody uses. Returns what it printed."""
    folder = tmp_path_factory.mktemp("clone")
    (folder / ".venv").symlink_to(sys.prefix)
    settings, _ = addresses.settle(Settings(data_dir=folder / ".waterline"), PARTS, free=True)
    environment = addresses.inherited(addresses.environment(settings))
    environment.pop(jvm.VARIABLE, None)  # a reader's broker starts as it does

    def run(script: str) -> str:
        script = script.replace(":4318", f":{settings.collector_port}")
        command = ["bash", "-euo", "pipefail", "-c", script]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{script}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout

    yield run
    subprocess.run([".venv/bin/waterline", "down"], cwd=folder, env=environment, capture_output=True, timeout=60)


@pytest.mark.timeout(600)
def test_the_demo_holds_and_holds_again(shell: Shell) -> None:
    assert DEMO in BLOCKS
    assert f"\t@$(BIN)/waterline {DEMO.removeprefix('make ')}\n" in (ROOT / "Makefile").read_text()
    for _ in range(2):
        began = time.monotonic()
        said = shell(".venv/bin/waterline demo")
        seconds = time.monotonic() - began
        print(f"the demo took {seconds:.0f} s, load {os.getloadavg()[0]:.1f}")
        assert re.search(r"tool calls +1,745 +1,745 +1,745", said)
        assert "proven: 0 missing, 0 duplicates" in said
        for number in ("1", "3", "8"):
            assert re.search(rf"^question {number}: waterline ask", said, re.MULTILINE)
        assert "the demo holds" in said
    assert seconds < AGAIN_S
    lines = re.findall(r"^    (\S.*)$", said.partition("What next")[2], re.MULTILINE)
    up, sessions, questions, calls, accepted, _, proof, down = map(shell, lines)
    assert "waterline down --data-dir" in up
    assert all("; complete" in answer for answer in (sessions, calls))
    assert "decision_calls" in questions
    assert '"accepted":1' in accepted
    assert "proven: 0 missing, 0 duplicates" in proof
    assert "ended: collector" in down


@pytest.mark.timeout(300)
def test_every_command_does_what_it_says(shell: Shell) -> None:
    blocks = [block for block in BLOCKS if block not in (DEMO, TEST)]
    up, send, ask = blocks
    assert "collector" in shell(up)
    assert '"accepted":1' in shell(send)
    deadline = time.monotonic() + DECIDED_S
    while "ticket-1" not in shell(".venv/bin/waterline sql 'SELECT decision_key FROM decisions'"):
        assert time.monotonic() < deadline, f"no decision after {DECIDED_S:.0f} s"
    said = shell(ask)
    assert re.search(r"realized_cost \(USD\) +0\.000228\b", said), "1,200 tokens at 0.15 and 80 at 0.6 dollars a million"
    assert re.search(r"\brefunds\b.*\b1\b", said)
    assert "proven: 0 missing, 0 duplicates" in said


@pytest.mark.parametrize("target", sorted(set(re.findall(r"`make (\w+)", README))))
def test_every_target_is_in_the_makefile(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize(
    "path", sorted({*re.findall(r"\]\((?!https?:)([^)#]+)\)", README), *re.findall(r"`([\w.-]+/[\w/.-]*)`", ROWS)})
)
def test_every_path_is_there(path: str) -> None:
    """NAME stands for a file that the reader will add."""
    assert (ROOT / path.partition("NAME")[0]).exists()
