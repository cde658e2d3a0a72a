"""The house itself: sizes, names and manners that a reader relies on."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TRACKED = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
PYTHON = [path for path in TRACKED if path.endswith(".py") and (ROOT / path).exists()]
SOURCE = [path for path in PYTHON if not path.startswith("tests/")]

LONG_FUNCTIONS: frozenset[str] = frozenset()
"""Functions over 60 lines that are one long thing; the list only shrinks."""


@pytest.mark.parametrize("path", PYTHON)
def test_a_file_is_one_thing(path: str) -> None:
    assert len((ROOT / path).read_text().splitlines()) <= 350, "split it by what it does"


@pytest.mark.parametrize("path", SOURCE)
def test_a_function_fits_on_a_screen(path: str) -> None:
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= 60 or f"{path}:{node.name}" in LONG_FUNCTIONS, f"{path}:{node.name} has {lines} lines"


@pytest.mark.parametrize("path", SOURCE)
def test_every_module_says_what_it_is_for(path: str) -> None:
    tree = ast.parse((ROOT / path).read_text())
    assert not tree.body or ast.get_docstring(tree), "a module begins with its contract"


@pytest.mark.parametrize("path", PYTHON)
def test_manners(path: str) -> None:
    text = (ROOT / path).read_text()
    if path == "tests/house/test_shape.py":
        return
    assert "unittest.mock" not in text, "use a real part, or a fake at the seam"
    assert not re.search(r"\bin str\((error|exc|e)\)", text), "errors are told apart by type and code, never by their text"
    assert not re.search(r"except Exception:\s*\n\s*pass", text), "nothing is dropped in silence"
    assert not re.search(r"#\s*(TODO|FIXME|XXX)", text), "do it, or leave it out"


def test_only_the_graph_declares_agents() -> None:
    decorated = [path for path in SOURCE if path.startswith("streams/") and "@app.agent" in (ROOT / path).read_text()]
    assert decorated in ([], ["streams/graph.py"])


def test_rooms_are_linked_under_one_import_name() -> None:
    for room in ("schemas", "streams", "connectors", "sql", "dashboards"):
        link = ROOT / "waterline" / room
        assert link.is_symlink(), f"waterline/{room} must be a symbolic link to ../{room}"
        assert link.resolve() == ROOT / room


def test_no_address_of_a_registry_in_build_files() -> None:
    for path in TRACKED:
        if path.endswith((".lock", "Makefile", "pyproject.toml")) or path.startswith(".ci/"):
            assert not re.search(r"https?://", (ROOT / path).read_text()), path
