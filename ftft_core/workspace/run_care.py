"""Removing runs."""

from __future__ import annotations

import shutil
from contextlib import suppress

from ftft_core.errors import InputError, RunError
from ftft_core.store import runs as run_store
from ftft_core.store import suites as suite_store
from ftft_core.workspace.runs import Runs


class RunCare(Runs):
    """Removing runs."""

    def remove_run(self, reference: str) -> None:
        """Delete a run, its folder, and all that came of it.

        :raises InputError: when subsets or runs were made from it.
        """
        with self.database.reading() as connection:
            run_no, run_id = run_store.find_run(connection, reference)
            users = run_store.users_of_run(connection, run_no)
        if users:
            raise InputError(f"Run '{reference}' was not removed: others were made from it. Remove them first.", users)
        folder = self._queue.folder(run_id)
        if (folder.path / "state.json").exists():
            if folder.true_state()["status"] == "queued":
                with suppress(RunError):  # It may have ended while we looked.
                    self._queue.cancel(folder)
            self._queue.kill(folder)
        with self.database.writing() as connection:
            suite = run_store.read_run(connection, run_id)["suite"]
            run_store.remove_run(connection, run_no)
            facts = suite_store.read_suite_facts(connection, suite)
            if not (self.folder / "suites" / facts["fingerprint"]).exists():
                # It came with imported dynamics, has no texts, and goes with the last run that needs it.
                with suppress(InputError):
                    suite_store.remove_suite(connection, suite)
        shutil.rmtree(folder.path, ignore_errors=True)
