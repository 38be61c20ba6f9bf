"""What this machine has, as far as can be told without torch: device, threads, free memory and free disk."""

from __future__ import annotations

import os
import platform
import shutil
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path

import psutil

_NVIDIA = Path("/proc/driver/nvidia/gpus")
_CGROUPS = (
    # limit, in use, statistics, and what the statistics call a cache that would be given up: version 2, then 1
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.stat", "inactive_file"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        "/sys/fs/cgroup/memory/memory.stat",
        "total_inactive_file",
    ),
)


@dataclass(frozen=True)
class Machine:
    """Where runs will be trained."""

    device: str
    """`cuda`, `mps` or `cpu`: what torch will most likely find."""
    device_name: str
    num_threads: int
    """Threads that a training process will use."""


def this_machine() -> Machine:
    """Say what a training process that is started now will find."""
    device = _device()
    said = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    has_affinity = hasattr(os, "sched_getaffinity")
    num_threads = int(said) if said.isdigit() else len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    return Machine(device, _device_name(device), num_threads)


def free_memory_mib() -> float:
    """Give the memory that a new process can have, in MiB: what the system has, within what this container may use."""
    free = float(psutil.virtual_memory().available)
    for limit, used, statistics, cache in _CGROUPS:
        with suppress(OSError, ValueError):
            most = int(Path(limit).read_text(encoding="ascii"))
            lines = Path(statistics).read_text(encoding="ascii").splitlines()
            given_up = sum(int(line.split()[1]) for line in lines if line.split()[0] == cache)
            free = min(free, most - int(Path(used).read_text(encoding="ascii")) + given_up)
            break
    return max(0.0, free) / 2**20


def free_disk_mib(folder: Path) -> float:
    """Give the room that is free on a folder's file system, in MiB."""
    return shutil.disk_usage(folder).free / 2**20


def _device() -> str:
    if os.environ.get("ACCELERATE_USE_CPU", "").lower() in {"1", "true", "yes"}:
        return "cpu"
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    is_hidden = hidden is not None and hidden.strip() in {"", "-1"}
    if _has_nvidia() and not is_hidden and not _torch_version().endswith("+cpu"):
        return "cuda"
    return "mps" if platform.system() == "Darwin" and platform.machine() == "arm64" else "cpu"


def _has_nvidia() -> bool:
    with suppress(OSError):
        return any(_NVIDIA.iterdir())
    return Path("/dev/nvidia0").exists()


@lru_cache(maxsize=1)
def _torch_version() -> str:
    try:
        return metadata.version("torch")
    except metadata.PackageNotFoundError:
        return ""


@lru_cache(maxsize=4)
def _device_name(device: str) -> str:
    if device == "cuda":
        with suppress(OSError, StopIteration):
            text = next(_NVIDIA.glob("*/information")).read_text(encoding="utf-8")
            return next(line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("Model"))
    with suppress(OSError, StopIteration):
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        return next(line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name"))
    return platform.processor() or platform.machine()
