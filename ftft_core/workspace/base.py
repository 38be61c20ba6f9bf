"""The folder, its database, and taking in what training processes left."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import filelock

from ftft_core import store
from ftft_core.errors import InputError
from ftft_core.jobs import Queue
from ftft_core.run_folder import RunFolder
from ftft_core.store import dynamics as dynamics_store
from ftft_core.store import runs as run_store


class WorkspaceBase:
    """A folder with `ftft.duckdb` and `runs/`; made if it is not there.

    :raises InputError: when the path cannot be a folder.
    """

    def __init__(self, folder: str | Path) -> None:
        if not str(folder).strip():
            raise InputError("The workspace's folder is an empty name; give a folder.")
        self.folder = Path(folder).expanduser().resolve()
        try:
            (self.folder / "runs").mkdir(parents=True, exist_ok=True)
        except OSError as failure:
            raise InputError(f"The workspace {self.folder} can't be made ({failure.strerror}).") from failure
        self.database = store.open_database(self.folder / "ftft.duckdb")
        self._queue = Queue(self.folder)

    def sync(self) -> None:
        """Take finished outbox files into the database, and bring the state of every run up to date.

        Cheap when nothing is new: the database is then read once. Nothing is lost if it is interrupted.

        :raises WorkspaceError: when the disk is full, or a file can't be read just now; what could not be taken in
            waits.
        """
        with self.database.reading() as connection:
            stored = run_store.runs_under_way(connection)
        for run_id, status in stored.items():
            folder = self._queue.folder(run_id)
            try:
                state = self._queue.settle(folder)
            except FileNotFoundError:
                continue  # It has no folder, or is being removed.
            if state["status"] != status or folder.outbox_files():
                self._take_in(folder)
        # A process that was killed between taking files in and deleting them leaves some even of a finished run.
        for path in self._queue.runs.glob("*/outbox/*.parquet"):
            if path.parent.parent.name not in stored and path.exists():
                self._take_in(self._queue.folder(path.parent.parent.name))

    def _take_in(self, folder: RunFolder) -> None:
        with self.database.writing() as connection:
            run_no = run_store.run_number(connection, folder.run_id)
            if run_no is None:
                return
            # Read only now that no other process writes, or an older state could replace a newer one. The state is
            # read before the outbox: files of a run that has finished are then all there.
            state = folder.true_state()
            files = folder.outbox_files()
            damaged = dynamics_store.take_in(connection, run_no, files)
            message = "; ".join(filter(None, [state["message"], *map(_damage, damaged)]))
            run_store.set_run_state(connection, folder.run_id, state["status"], message, _facts(folder, state))
        for path in files:
            if path in damaged:
                # Kept for whoever wants to look at it, under a name that is not taken in.
                with suppress(FileNotFoundError):
                    path.rename(path.with_name(f"{path.name}.damaged"))
            else:
                path.unlink(missing_ok=True)
        if state["status"] == "finished":
            # A process that was killed at its very end could not do so itself.
            with suppress(filelock.Timeout, OSError), folder.training():
                folder.tidy()


def _facts(folder: RunFolder, state: dict[str, Any]) -> dict[str, Any]:
    """Give the columns of a run's row that its files know."""
    progress = folder.read_progress()
    return {
        **{name: progress.get(name) for name in ("train_flops", "train_seconds", "evaluation_flops")},
        "num_optimizer_steps": progress.get("step"),
        "num_examples_seen": progress.get("examples_seen"),
        "num_steps_planned": progress.get("num_steps"),
        **state,
        "versions": json.dumps(state["versions"]) if "versions" in state else None,
    }


def _damage(path: Path) -> str:
    return f"its file {path.name} was damaged and set aside: what it held is missing; remove the run and train it again"
