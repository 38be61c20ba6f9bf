"""How the worker works: on which devices, and how many runs share one. Kept in the workspace's `settings.json`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from ftft_core.config import Config, parse
from ftft_core.errors import InputError
from ftft_core.run_folder import read_json, write_json

_FILE = "settings.json"
_SECTION = "worker"


class WorkerSettings(Config):
    """Places for runs: so many on each device."""

    devices: tuple[str, ...] | None = None
    """Devices to train on, such as cuda:0,cuda:1 or cpu; every GPU, or the CPU without any, when left out."""

    runs_per_device: int = Field(default=1, ge=1, le=64)
    """Runs that share a device at the same time."""

    @field_validator("devices")
    @classmethod
    def _names_of_devices(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value is None:
            return None
        strange = [device for device in value if not re.fullmatch(r"cpu|mps|cuda:\d{1,3}", device)]
        if strange or not value or len(set(value)) < len(value):
            said = ", ".join(value) or "none"
            raise ValueError(f"received {said}; it must name each device once: cpu, mps, cuda:0, cuda:1, ...")
        return value


def read_settings(workspace: Path) -> WorkerSettings:
    """Read what is kept; the defaults where nothing is.

    :raises InputError: when the file can't be understood.
    """
    return parse(WorkerSettings, _read(workspace).get(_SECTION, {}), what=f"{_SECTION} in {workspace / _FILE}")


def write_settings(workspace: Path, settings: WorkerSettings) -> None:
    """Keep settings, beside what else is in the file."""
    kept = settings.model_dump(mode="json", exclude_defaults=True)
    write_json(workspace / _FILE, {**_read(workspace), _SECTION: kept})


def settings_version(workspace: Path) -> int | None:
    """Give a number that changes when the settings do; None where there are none."""
    try:
        return (workspace / _FILE).stat().st_mtime_ns
    except OSError:
        return None


def _read(workspace: Path) -> dict[str, Any]:
    try:
        return read_json(workspace / _FILE)
    except FileNotFoundError:
        return {}
    except ValueError as failure:
        path = workspace / _FILE
        raise InputError(f"{path} can't be understood ({failure}); mend it, or remove it for the defaults.") from None
