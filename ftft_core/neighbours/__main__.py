"""A process that embeds: `python -m ftft_core.neighbours WORKSPACE SUITE --model M`.

SUITE is the fingerprint that names the suite's folder, `run:ID` as M the model that a run kept. Exit status: 0 done,
or another process is at it; 1 failed.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import filelock

from ftft_core.errors import FTFTError, NotFoundError
from ftft_core.neighbours.folder import MAX_LENGTH, NeighboursFolder, locate

_WRITE_SECONDS = 0.5
"""Progress is written this often at most."""


class Progress:
    """Writes how far it is, and estimates how long it takes, from what was done since this process began a stage."""

    def __init__(self, folder: NeighboursFolder, facts: dict[str, Any]) -> None:
        self.folder = folder
        self.facts = {**facts, "stage": "starting", "done": 0, "total": 0, "seconds_left": None}
        self._began, self._began_with, self._written = 0.0, 0, 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Take note; see `building.Report`."""
        now = time.monotonic()
        if stage != self.facts["stage"]:
            self._began, self._began_with, self._written = now, done, 0.0
        rate = (done - self._began_with) / max(now - self._began, 1e-9)
        left = (total - done) / rate if rate > 0 else None
        self.facts |= {"stage": stage, "done": done, "total": total, "seconds_left": left}
        if now - self._written > _WRITE_SECONDS:
            self._written = now
            self.write("running")

    def write(self, status: str, message: str = "") -> None:
        """Write it down."""
        left = self.facts["seconds_left"] if status == "running" else None
        values = {**self.facts, "seconds_left": left, "message": message}
        self.folder.write_progress(status, durable=status != "running", **values)


def main(workspace: Path, suite: str, model: str, max_length: int) -> int:
    """Embed one suite; give the exit status."""
    suite_folder = workspace / "suites" / suite
    if not (suite_folder / "suite.json").exists():
        raise NotFoundError(f"There is no suite in {suite_folder}.")
    folder = NeighboursFolder(suite_folder)
    folder.path.mkdir(exist_ok=True)
    lock = folder.working()
    try:
        lock.acquire()
    except filelock.Timeout:
        sys.stderr.write("Another process embeds this suite already.\n")
        return 0
    location = locate(workspace, model)
    embedding = folder.embedding(model, location, max_length)
    progress = Progress(folder, {"model": model, "embedding": embedding.name})
    # Whoever started this process holds that lock until it has written what it started.
    with folder.changing():
        progress.write("running")
    try:
        # Late, so that a process that has nothing to do ends at once.
        from ftft_core.neighbours.building import build

        build(suite_folder, embedding, model=model, location=location, max_length=max_length, report=progress)
    except FTFTError as error:
        progress.write("failed", str(error))
        return 1
    except Exception as error:
        traceback.print_exc()
        progress.write("failed", f"{type(error).__name__}: {error}")
        return 1
    progress.write("finished")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m ftft_core.neighbours")
    parser.add_argument("workspace", type=Path)
    parser.add_argument("suite", help="fingerprint of the suite")
    parser.add_argument("--model", required=True)
    parser.add_argument("--max-length", type=int, default=MAX_LENGTH)
    return parser.parse_args()


if __name__ == "__main__":
    given = _arguments()
    sys.exit(main(given.workspace.resolve(), given.suite, given.model, given.max_length))
