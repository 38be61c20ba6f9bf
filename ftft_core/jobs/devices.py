"""The devices that runs can be trained on here: their names, and how a training process is confined to one.

`cuda:0`, `cuda:1` and so on are the GPUs that this process may use, in the order of their slots, or of
CUDA_VISIBLE_DEVICES where that is set; without any there is one device, `cpu` (`mps` on a Mac). Found without torch.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from ftft_core.errors import InputError, one_of
from ftft_core.planning import this_machine

CPU = "cpu"
_ASK_SECONDS = 20.0
_NVIDIA = Path("/proc/driver/nvidia/gpus")


def find_devices() -> tuple[str, ...]:
    """Give the devices that this machine has for runs; never none."""
    kind = this_machine().device
    if kind != "cuda":
        return (kind,)
    return tuple(f"cuda:{number}" for number in range(len(_visible_gpus()) or 1))


def check_devices(devices: Sequence[str]) -> None:
    """Refuse devices that this machine doesn't have.

    :raises InputError: naming those that it has.
    """
    found = find_devices()
    allowed = found if CPU in found else (*found, CPU)
    strange = [device for device in devices if device not in allowed]
    if strange:
        raise InputError(f"devices: received {', '.join(strange)}; this machine has {one_of(allowed)}.")


def device_environment(device: str) -> dict[str, str]:
    """Give the variables that keep a training process to a device."""
    if device.startswith("cuda:"):
        gpus = _visible_gpus()
        number = int(device.partition(":")[2])
        gpu = gpus[number] if number < len(gpus) else str(number)
        # In CUDA's own order the fastest comes first; everybody else counts slots.
        return {"CUDA_DEVICE_ORDER": os.environ.get("CUDA_DEVICE_ORDER", "PCI_BUS_ID"), "CUDA_VISIBLE_DEVICES": gpu}
    if device == CPU and this_machine().device != CPU:
        return {"CUDA_VISIBLE_DEVICES": "", "ACCELERATE_USE_CPU": "true"}
    return {}


def _visible_gpus() -> list[str]:
    """Name the GPUs as CUDA_VISIBLE_DEVICES does."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [gpu.strip() for gpu in visible.split(",") if gpu.strip()]
    return [str(number) for number in range(_count_gpus())]


@lru_cache(maxsize=1)
def _count_gpus() -> int:
    with suppress(OSError, subprocess.SubprocessError):
        listed = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=_ASK_SECONDS, check=True, errors="replace"
        )
        return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())
    with suppress(OSError):
        return sum(1 for _ in _NVIDIA.iterdir())
    return sum(1 for path in Path("/dev").glob("nvidia[0-9]*"))
