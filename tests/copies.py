"""Workspaces that many tests begin with: each is made once in a process, and copied for whoever asks for it."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from ftft_core.workspace import Workspace

Make = Callable[[Path], Workspace]


def copy_of(make: Make, folder: Path) -> Workspace:
    """Give a copy, in a folder, of what a function makes in one, data and models beside the workspace included.

    Runs keep the path of the model that they were made with, which stays where it was.
    """
    made, workspace = _made(make)
    shutil.copytree(made, folder, dirs_exist_ok=True)
    return Workspace(folder / workspace)


@cache
def _made(make: Make) -> tuple[Path, Path]:
    folder = Path(tempfile.mkdtemp(prefix="ftft-tests-")).resolve()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder, make(folder).folder.relative_to(folder)
