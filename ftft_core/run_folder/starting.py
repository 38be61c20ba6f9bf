"""Starting a process that outlives the one that started it: a worker, an experiment's driver, a warm-up."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_children: list[subprocess.Popen[bytes]] = []
"""Processes that this one started: asked after now and then, so that none of them stays a zombie."""


def start_detached(module: str, arguments: Sequence[object], *, log: Path, append: bool = True) -> int:
    """Run `python -m MODULE ARGUMENTS` in a session of its own, with what it prints in `log`; give its process id.

    :param append: keep what the log holds already.
    """
    forget_ended()
    with log.open("ab" if append else "wb") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", module, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env=child_environment(),
        )
    _children.append(child)
    return child.pid


def forget_ended() -> None:
    """Let processes go that this one started and that have ended; until then they count as zombies."""
    _children[:] = [child for child in _children if child.poll() is None]


def child_environment() -> dict[str, str]:
    """Give the environment of a child process: it finds this very `ftft_core`, and prints without a buffer."""
    package_parent = str(Path(__file__).resolve().parents[2])
    paths = [package_parent, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        # Threads that wait for work by spinning take the processor from whoever shares it: two trainings side by side
        # were measured to be ten times slower each. Sleeping instead costs nothing that could be measured alone.
        "OMP_WAIT_POLICY": "PASSIVE",
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONUNBUFFERED": "1",
        "TOKENIZERS_PARALLELISM": "true",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
