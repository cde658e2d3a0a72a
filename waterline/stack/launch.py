"""Runs one command that must not outlive the process that started it, however that one dies.

    python launch.py PARENT FD NICE COMMAND...

On Linux the kernel is asked to kill this process when its parent is gone, and the command then takes its place: same pid,
nothing in between. Elsewhere this process stays, runs the command in its own process group, and kills the group as soon as
FD, the reading end of a pipe whose writing end only the parent holds, comes to its end. FD >= 0 asks for that on Linux too.

The parent must be a thread that lives as long as the command may: Linux counts the death of the thread that forked.
Imports little on purpose: it is run for each child, with `python -I -S`.
"""

import os
import resource
import signal
import sys

PR_SET_PDEATHSIG = 1
OPEN_FILES = 65_536


def die_with(parent: int) -> None:
    import ctypes

    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the kernel was asked
        os._exit(1)


def raise_limits() -> None:
    """Kafka and ClickHouse hold a file for each segment and part; the usual soft limit is 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def yield_to_others(nice: int) -> None:
    """Linux weighs sessions (autogroups) first, so the number of the process alone says nothing to those in other sessions."""
    os.nice(nice)
    try:
        with open("/proc/self/autogroup", "w") as group:
            group.write(str(nice))
    except OSError:  # no Linux, or one without autogroups, where the number of the process is what counts
        pass


def watch(fd: int, command: list[str]) -> int:
    import subprocess
    import threading

    child = subprocess.Popen(command)

    def guard() -> None:
        os.read(fd, 1)
        os.killpg(os.getpgid(0), signal.SIGKILL)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: child.send_signal(received))
    threading.Thread(target=guard, daemon=True).start()
    return child.wait()


def main(arguments: list[str]) -> None:
    (parent, fd, nice), command = map(int, arguments[:3]), arguments[3:]
    raise_limits()
    if nice:
        yield_to_others(nice)
    if fd < 0:
        die_with(parent)
        os.execvp(command[0], command)
    code = watch(fd, command)
    sys.exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main(sys.argv[1:])
