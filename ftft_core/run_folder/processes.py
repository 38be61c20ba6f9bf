"""Telling a process from another that has its number by now, whatever the clock did meanwhile.

A process is known by its number, the boot of the machine, and when in that boot it began. The wall clock has no say in
it: a machine that slept, or whose clock was set, would else make living processes strangers.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_SAME_SECONDS = 1.0
"""Where a start is known by the wall clock alone, it is rounded."""

_OOM_COUNTERS = (Path("/proc/vmstat"), Path("/sys/fs/cgroup/memory.events"))


def identify(pid: int | None = None) -> dict[str, Any]:
    """Give what tells a process, this one by default, from all others of this machine.

    :raises psutil.NoSuchProcess: when it has ended.
    """
    process = psutil.Process(pid)
    ticks, boot = _ticks(process.pid), boot_id()
    if ticks is None or boot is None:
        return {"pid": process.pid, "pid_started": process.create_time()}
    return {"pid": process.pid, "pid_started": ticks, "boot": boot}


def is_alive(named: dict[str, Any]) -> bool:
    """Whether the process that `identify` named still runs; one that is paused does."""
    try:
        process = psutil.Process(named["pid"])
        if named.get("boot"):
            is_same = named["boot"] == boot_id() and _ticks(process.pid) == named["pid_started"]
        else:
            is_same = abs(process.create_time() - named["pid_started"]) < _SAME_SECONDS
        return is_same and process.status() not in {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}
    except psutil.NoSuchProcess:
        return False


def is_stopped(pid: int) -> bool:
    """Whether a process was paused (SIGSTOP, Ctrl-Z)."""
    with suppress(psutil.Error):
        return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    return False


def count_oom_kills() -> int | None:
    """Give how many processes this machine has ended because memory ran out; None where it does not say."""
    counts = []
    for path in _OOM_COUNTERS:
        with suppress(OSError, ValueError):
            counts += [
                int(line.split()[1])
                for line in path.read_text(encoding="utf-8").splitlines()
                if line.split()[0] == "oom_kill"
            ]
    return sum(counts) if counts else None


def _ticks(pid: int) -> int | None:
    """Clock ticks from boot to a process's start; None where the system does not say."""
    try:
        # The name of a process, in brackets, may hold anything.
        return int(
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
        )
    except (OSError, IndexError, ValueError):
        return None


def boot_id() -> str | None:
    """Give what tells this boot of the machine from all others; None where the system does not say."""
    try:
        return _BOOT_ID.read_text(encoding="utf-8").strip()
    except OSError:
        return None
