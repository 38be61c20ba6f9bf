"""Removing runs so that they can be brought back, and what they take on disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pandas as pd

from ftft_core import store
from ftft_core.errors import InputError, RunError
from ftft_core.run_folder import RunFolder, disk_use_bytes, sync_folder
from ftft_core.store import runs as run_store
from ftft_core.store import suites as suite_store
from ftft_core.workspace.runs import Runs

PURGING = ".purging-"
"""Begins the name of a folder in the trash that is being deleted."""


class RunCare(Runs):
    """Removing, restoring and purging runs.

    A removed run is marked in the database, where it is then in no view, and its folder lies in `trash/`. Until it is
    purged nothing of it is lost, and it goes on taking room.
    """

    @property
    def trash(self) -> Path:
        """Where the folders of removed runs lie."""
        return self.folder / "trash"

    def remove_run(self, reference: str) -> str:
        """Move a run and all that came of it to the trash; it is stopped first, and its name is free. Give its id.

        :raises InputError: when subsets or runs were made from it.
        :raises RunError: when it does not stop, or was started again meanwhile.
        """
        with self.database.reading() as connection:
            run_no, run_id = run_store.find_run(connection, reference)
            _check_unused(connection, reference, run_no)
        folder = self._queue.folder(run_id)
        if (folder.path / "state.json").exists():
            if folder.true_state()["status"] == "queued":
                with suppress(RunError):  # It may have ended while we looked.
                    self._queue.cancel(folder)
            self._queue.kill(folder)
        with self._queue.changing():
            if (folder.path / "state.json").exists() and folder.true_state()["status"] in {"queued", "running"}:
                raise RunError(f"Run '{reference}' was started again while it was being removed; remove it once more.")
            with self.database.writing() as connection:
                _check_unused(connection, reference, run_no)
                suite = run_store.read_run(connection, run_id)["suite"]
                run_store.remove_run(connection, run_no)
                facts = suite_store.read_suite_facts(connection, suite)
                if not (self.folder / "suites" / facts["fingerprint"]).exists():
                    # It came with imported dynamics, has no texts, and goes with the last run that needs it.
                    suite_store.hide_suite_without_runs(connection, suite_store.find_suite(connection, suite))
            # After the row: the row says where the folder belongs, should we be interrupted here.
            self._move(folder.path, self.trash / run_id)
        return run_id

    def restore_run(self, reference: str) -> str:
        """Bring a removed run back; give its name, which is another one if its own is in use by now.

        :param reference: its id, or its name (of several, the one removed last).
        :raises InputError: when the run or subset that it was made from is removed, too.
        """
        with self._queue.changing():
            with self.database.writing() as connection:
                run_no, run_id, name = run_store.find_removed_run(connection, reference)
                sources = run_store.removed_sources(connection, run_no)
                if sources:
                    raise InputError(f"What run '{name}' was made from is removed, too; bring it back first.", sources)
                name = run_store.restore_run(connection, run_no)
                suite_store.restore_suite_of_run(connection, run_no)
            self._move(self.trash / run_id, self._queue.runs / run_id)
        self.sync()
        return name

    def removed_runs(self) -> pd.DataFrame:
        """Give run_id, name, suite, removed_at and disk_bytes of the runs in the trash, last removed first."""
        with self.database.reading() as connection:
            removed = run_store.list_removed_runs(connection)
        sizes = [disk_use_bytes(self.trash / run_id) for run_id in removed["run_id"]]
        return removed.drop(columns="run_no").assign(disk_bytes=pd.Series(sizes, dtype="int64"))

    def purge_runs(self, references: Sequence[str] | None = None) -> int:
        """Delete removed runs for good, all of them when left out; give the bytes of disk that this freed.

        :param references: their ids or names.
        :raises InputError: when a run in the trash that is not purged was made from one that is.
        """
        with self.database.reading() as connection:
            if references is None:
                references = run_store.list_removed_runs(connection)["run_id"].tolist()
            found = {run_id: run_no for run_no, run_id, _ in _find_removed(connection, references)}
            left = {
                f"run {user} was made from {run_id}"
                for run_id, run_no in found.items()
                for user in run_store.removed_users(connection, run_no)
                if user not in found
            }
        if left:
            raise InputError("Nothing was purged: other removed runs need these. Purge them too.", sorted(left))
        freed = 0
        for run_id, run_no in found.items():
            with self._queue.changing():
                with self.database.reading() as connection:
                    if run_no not in run_store.list_removed_runs(connection)["run_no"].tolist():
                        continue  # It was restored or purged meanwhile.
                freed += self._delete(self.trash / run_id)
                # After the folder: on a full disk the database can be written to only once there is room.
                with self.database.writing() as connection:
                    run_store.purge_run(connection, run_no)
                    suite_store.delete_hidden_suites(connection)
        return freed

    def disk_use(self) -> pd.DataFrame:
        """Give run_id, checkpoint_bytes, model_bytes, other_bytes and total_bytes of every run, oldest first."""
        rows = []
        for run_id in self.runs()["run_id"]:
            folder = self._queue.folder(run_id)
            checkpoint, model, total = _sizes(folder)
            rows.append((run_id, checkpoint, model, total - checkpoint - model, total))
        columns = ["run_id", "checkpoint_bytes", "model_bytes", "other_bytes", "total_bytes"]
        return pd.DataFrame(rows, columns=columns)

    def disk_bytes(self, reference: str) -> int:
        """Give what a run's folder takes on disk."""
        return disk_use_bytes(self.run_folder(reference).path)

    def _move(self, source: Path, target: Path) -> None:
        """Move a run's folder, if it is there; a folder that is in the way is moved aside."""
        if not source.exists():
            return
        target.parent.mkdir(exist_ok=True)
        if target.exists():
            self.set_aside(target)
        os.rename(source, target)
        sync_folder(target.parent)
        sync_folder(source.parent)

    def _delete(self, path: Path) -> int:
        """Delete a folder of the trash, if it is there; give the bytes freed."""
        size = disk_use_bytes(path)
        if path.exists():
            # Under another name at once: half a run must not be restored.
            purging = path.with_name(f"{PURGING}{path.name}")
            shutil.rmtree(purging, ignore_errors=True)
            os.rename(path, purging)
            shutil.rmtree(purging)
        return size

    def set_aside(self, path: Path) -> Path:
        """Move a file or folder of the workspace to `set-aside/`, under a name that is free; give where it lies now."""
        folder = self.folder / "set-aside"
        folder.mkdir(exist_ok=True)
        stem = "-".join(path.relative_to(self.folder).parts)
        names = (stem if number == 1 else f"{stem}-{number}" for number in range(1, 10_000))
        target = next(folder / name for name in names if not (folder / name).exists())
        os.rename(path, target)
        sync_folder(folder)
        sync_folder(path.parent)
        return target


def _check_unused(connection: store.Connection, reference: str, run_no: int) -> None:
    users = run_store.users_of_run(connection, run_no)
    if users:
        raise InputError(f"Run '{reference}' was not removed: others were made from it. Remove them first.", users)


def _find_removed(connection: store.Connection, references: Sequence[str]) -> list[tuple[int, str, str]]:
    return [run_store.find_removed_run(connection, reference) for reference in references]


def _sizes(folder: RunFolder) -> tuple[int, int, int]:
    """Give the bytes of checkpoints (the best weights, which they link to, included), of the kept model, and in all."""
    checkpoints = [*folder.checkpoints(), *folder.path.glob(".checkpoint-*"), folder.path / "best.safetensors"]
    models = [folder.model, folder.path / ".model.new"]
    return disk_use_bytes(*checkpoints), disk_use_bytes(*models), disk_use_bytes(folder.path)
