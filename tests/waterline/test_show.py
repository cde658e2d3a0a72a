"""Tables on a terminal: side by side where there is room, upright where there is not, and never cut."""

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from datetime import UTC, datetime
from io import StringIO

from rich.console import Console

from waterline import show
from waterline.schemas.settings import Settings

ROWS = [{"decision": "d-1", "agent": "refunds " * 6, "cost": 1}, {"decision": "d-2", "agent": "booking [a]", "cost": 2}]


def shown(width: int, terminal: bool = True) -> list[str]:
    out = StringIO()
    show.print_rows(Console(file=out, width=width, force_terminal=terminal, color_system=None), list(ROWS[0]), ROWS)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_rows_that_fit_are_a_table() -> None:
    wide = len("decision") + 2 + len("refunds ") * 6 + 2 + len("cost") + 2
    head, *rows = shown(wide)
    assert head.split() == ["decision", "agent", "cost"]
    assert len(rows) == len(ROWS)
    assert shown(wide - 1)[0] == "decision: d-1"


def test_rows_that_do_not_fit_stand_upright() -> None:
    assert shown(40) == [
        "decision: d-1",
        f"agent: {'refunds ' * 6}".rstrip(),
        "cost: 1",
        "",
        "decision: d-2",
        "agent: booking [a]",
        "cost: 2",
    ]


def test_into_a_file_it_is_always_a_table() -> None:
    assert shown(40, terminal=False)[0].split() == ["decision", "agent", "cost"]


def test_answers_that_do_not_fit_stand_upright_in_a_file_too() -> None:
    """A folded statement beside twenty other columns is readable to nobody."""
    out, rows = StringIO(), [ROWS[0] | {"sql": f"SELECT {n}," * 60} for n in range(4)]
    show.print_rows(Console(file=out, width=show.NO_TERMINAL), list(rows[0]), rows, upright=True)
    assert out.getvalue().splitlines()[:2] == [f"sql: {rows[0]['sql']}", ""]
    out = StringIO()
    show.print_rows(Console(file=out, width=show.NO_TERMINAL), list(ROWS[0]), ROWS, upright=True)
    assert out.getvalue().splitlines()[0].split() == ["decision", "agent", "cost"]


def test_few_rows_that_are_wide_keep_their_names_whatever_comes_first() -> None:
    """A row that begins with a time and holds a long statement."""
    row: dict[str, object] = {"at": datetime(2026, 11, 20, 9, tzinfo=UTC)} | {f"column_{n}": n for n in range(12)}
    row["sql"] = "SELECT 1 " * 60
    out = StringIO()
    show.print_rows(Console(file=out, width=show.NO_TERMINAL), list(row), [row])
    lines = out.getvalue().splitlines()
    assert [line.split()[0] for line in lines[: len(row)]] == list(row)


def on_a_terminal(columns: int, *arguments: str) -> str:
    """What the command prints on a terminal so wide."""
    mine, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"} | {"TERM": "dumb", "NO_COLOR": "1"}
    with subprocess.Popen([sys.executable, "-m", "waterline", *arguments], stdout=its, stderr=its, env=environment) as process:
        os.close(its)
        told = b""
        while piece := _read(mine):
            told += piece
    os.close(mine)
    assert process.returncode == 0, told
    return told.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux's way of saying that the other end is closed
        return b""


def test_no_setting_and_no_question_is_cut_on_a_narrow_terminal() -> None:
    listed = [line.split()[-1] for line in on_a_terminal(80, "settings").splitlines() if line.startswith("variable:")]
    assert listed == [f"WATERLINE_{name.upper()}" for name in Settings.model_fields]
    piped = subprocess.run([sys.executable, "-m", "waterline", "questions", "--json"], capture_output=True, check=True).stdout
    names = [f"name: {one['name']}" for one in json.loads(piped)]
    assert [line for line in on_a_terminal(80, "questions").splitlines() if line.startswith("name: ")] == names
