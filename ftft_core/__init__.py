"""FTFT: find the examples worth training on, and fine-tune a large model on them once.

The Python API. Names are imported when they are first asked for, so that `import ftft_core` stays fast; none of them
brings torch or transformers before training needs them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ftft_core.cartography import compute_data_map
    from ftft_core.dynamics import DynamicsCallback, DynamicsRecorder, TrainingDynamics
    from ftft_core.selection import select
    from ftft_core.suites import Suite
    from ftft_core.workspace import Workspace

__all__ = [
    "DynamicsCallback",
    "DynamicsRecorder",
    "Suite",
    "TrainingDynamics",
    "Workspace",
    "compute_data_map",
    "select",
]

_HOMES = {
    "DynamicsCallback": "dynamics",
    "DynamicsRecorder": "dynamics",
    "Suite": "suites",
    "TrainingDynamics": "dynamics",
    "Workspace": "workspace",
    "compute_data_map": "cartography",
    "select": "selection",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'ftft_core' has no attribute '{name}'")
    return getattr(importlib.import_module(f"ftft_core.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
