"""The folder, its database, and taking in what training processes left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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
        """
        with self.database.reading() as connection:
            stored = run_store.runs_under_way(connection)
        for run_id, status in stored.items():
            folder = self._queue.folder(run_id)
            if not (folder.path / "state.json").exists():
                continue
            # The state is read before the outbox: files of a run that has finished are then all there.
            state = self._queue.settle(folder)
            files = folder.outbox_files()
            if state["status"] != status or files:
                self._take_in(folder, state, files)

    def _take_in(self, folder: RunFolder, state: dict[str, Any], files: list[Path]) -> None:
        progress = folder.read_progress()
        facts = {
            **{name: progress.get(name) for name in ("train_flops", "train_seconds", "evaluation_flops")},
            "num_optimizer_steps": progress.get("step"),
            "num_examples_seen": progress.get("examples_seen"),
            "num_steps_planned": progress.get("num_steps"),
            **state,
            "versions": json.dumps(state["versions"]) if "versions" in state else None,
        }
        with self.database.writing() as connection:
            run_no = run_store.run_number(connection, folder.run_id)
            if run_no is None:
                return
            dynamics_store.take_in(connection, run_no, files)
            run_store.set_run_state(connection, folder.run_id, state["status"], state["message"], facts)
        for path in files:
            path.unlink(missing_ok=True)
