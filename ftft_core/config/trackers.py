"""Experiment trackers that runs can be logged to, and whether they are installed; none of them is required."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable

TRACKERS = {
    "wandb": ("wandb",),
    "mlflow": ("mlflow",),
    "tensorboard": ("tensorboard", "tensorboardX"),
    "trackio": ("trackio",),
}
"""The packages that can write for each tracker, by the name that Hugging Face Accelerate knows it by; one is enough."""


def missing_trackers(trackers: Iterable[str]) -> list[str]:
    """Say of each of these trackers that is not installed what to install."""
    return [
        f"trackers: received {name}, but the package {TRACKERS[name][0]} is not installed; install it with "
        f"`pip install {TRACKERS[name][0]}`, or leave the tracker out."
        for name in trackers
        if not any(_is_installed(package) for package in TRACKERS[name])
    ]


def _is_installed(package: str) -> bool:
    spec = importlib.util.find_spec(package)
    # A plain folder of that name, such as the one that wandb writes where it is run, can be imported, too.
    return spec is not None and spec.origin is not None
