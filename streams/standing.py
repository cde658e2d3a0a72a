"""How far the worker stands back for others when there is too little CPU.

The local stack starts it nicer than the rest, so that a flood is stored first and judged a little later. What has just happened
should be judged at once, though: while the worker keeps up, it takes a share like any other. Linux weighs sessions first, and
lets any process change the weight of its own; elsewhere, and in a session that is not the worker's alone, nothing is changed.
"""

import os
import re
from contextlib import suppress
from pathlib import Path

OWN = Path("/proc/self/autogroup")


class Standing:
    """`back`: whether it stands back now."""

    def __init__(self, file: Path = OWN) -> None:
        self.back = True
        self._file = file
        self._nice = _nice(file) if os.getsid(0) == os.getpid() else 0

    def stand(self, back: bool) -> None:
        """Stands back as far as the worker was told to when it was started, or not at all."""
        if self._nice > 0 and back is not self.back:
            with suppress(OSError):  # not now: Linux limits how often
                self._file.write_text(str(self._nice if back else 0))
                self.back = back


def _nice(file: Path) -> int:
    try:
        found = re.search(r"nice (-?\d+)", file.read_text())
    except OSError:
        return 0
    return int(found[1]) if found else 0
