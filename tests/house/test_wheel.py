"""The wheel holds every room under one name and nothing beside it, and it works where no checkout is."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-build-isolation", "--no-deps", "-w", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return next(out.glob("*.whl"))


def test_it_takes_one_name_only(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"waterline"}
    assert not [name for name in names if "__pycache__" in name or name.startswith("waterline/tests")]
    for room in ("schemas/topics.py", "streams/graph.py", "connectors/sources/collector/app.py", "sql/README.md"):
        assert f"waterline/{room}" in names


def test_an_installed_wheel_works(wheel: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(tmp_path / "site"), str(wheel)]
    subprocess.run(command, check=True, capture_output=True)
    code = "import sys; sys.path.insert(0, sys.argv[1]); from waterline import cli; print(cli.__file__); cli.main(['questions'])"
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path / "site")], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert str(tmp_path) in run.stdout.splitlines()[0]
    assert len(run.stdout.splitlines()) > 4
