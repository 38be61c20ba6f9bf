"""Starting the process that warms up; it outlives whoever started it, and there is one at a time in a workspace.

Of those that wait for their turn only the ones that were asked for last stay: who changes a form three times gets one
warm-up more, not three.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import filelock

from ftft_core.errors import WorkspaceBusyError
from ftft_core.planning.folder import WarmUpFolder, changing_lock
from ftft_core.run_folder import forget_ended, start_detached, write_json

RETRY_SECONDS = 60.0
"""What failed is tried again after this long, or when somebody asks for it."""

MOST_KEPT = 200
"""Warm-ups that a workspace keeps; the oldest go."""


def start(plans: Path, folders: Sequence[WarmUpFolder], *, again: bool = False) -> list[WarmUpFolder]:
    """See that these warm-ups are made; give those that a process was started for.

    Nothing happens for those that are done, or being made.

    :param again: try also what failed just now.
    :raises WorkspaceBusyError: when another process has been starting warm-ups for long.
    """
    forget_ended()
    plans.mkdir(exist_ok=True)
    lock = changing_lock(plans)
    try:
        lock.acquire()
    except filelock.Timeout as failure:
        raise WorkspaceBusyError(f"Another process has been starting warm-ups in {plans} for long; try again.") from (
            failure
        )
    try:
        tidy(plans)
        due = [folder for folder in folders if folder.doing() is None and _is_due(folder, again=again)]
        write_json(plans / "wanted.json", {"keys": [folder.path.name for folder in folders]}, durable=False)
        for folder in due:
            folder.create()
            pid = start_detached("ftft_core.planning", [folder.path], log=folder.log, append=False)
            # The child takes this very lock before its first word, so that it can't be overwritten by this one.
            folder.write_progress("starting", 0.0, pid=pid)
    finally:
        lock.release()
    return due


def tidy(plans: Path) -> None:
    """Remove what processes that were killed left, and the oldest warm-ups past those that are kept."""
    folders = sorted((path for path in plans.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
    for number, path in enumerate(folders):
        folder = WarmUpFolder(path)
        if folder.doing() is None:
            folder.remove_leftovers()
            if number < len(folders) - MOST_KEPT:
                for file in path.iterdir():
                    file.unlink(missing_ok=True)
                path.rmdir()


def _is_due(folder: WarmUpFolder, *, again: bool) -> bool:
    result = folder.result()
    if result is None:
        return again or not _ended_just_now(folder)
    if result.failure is None and result.has_timings:
        return False
    return again or abs(time.time() - result.ended_at) > RETRY_SECONDS


def _ended_just_now(folder: WarmUpFolder) -> bool:
    """Whether a process ended without a result a moment ago: killed, or superseded."""
    try:
        return time.time() - (folder.path / "progress.json").stat().st_mtime < 3.0
    except FileNotFoundError:
        return False
