"""A workspace in which runs are really queued, worked off and trained."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import psutil

from ftft_core.config import BudgetConfig, RunConfig, TrainingConfig
from ftft_core.workspace import Workspace
from tests.conftest import write_suite_files

DEADLINE_SECONDS = 240


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Look until something holds; generous, since the machine may be busy."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.1)


class Training:
    """A workspace in which runs are really trained."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.model = model
        self.run_ids: dict[str, str] = {}
        self.workspace = Workspace(folder / "workspace")
        self.workspace.add_suite("reviews", write_suite_files(folder / "suite", num_train=400))

    def submit(self, name: str, steps: int) -> str:
        training = TrainingConfig(batch_size=4, checkpoint_seconds=0.3, learning_rate=1e-3)
        budget = BudgetConfig(max_steps=steps)
        self.run_ids[name] = self.workspace.submit(
            RunConfig(suite="reviews", model=str(self.model), layers=1, name=name, budget=budget, training=training)
        )
        return self.run_ids[name]

    def status(self, name: str) -> str:
        # Of an id the files are read alone; to find a name, the database would be opened at every look.
        return self.workspace.progress(self.run_ids[name]).status

    def wait_for(self, name: str, status: str) -> None:
        ended = {"finished", "failed"}
        wait_until(lambda: self.status(name) in {status} | ended, f"{name} is {status}")
        said = (self.status(name), self.workspace.progress(name).message, self.workspace.log_tail(name))
        assert said[0] == status, said

    def wait_for_checkpoint(self, name: str) -> None:
        folder = self.workspace.run_folder(name).path
        wait_until(lambda: list(folder.glob("checkpoint-*")) or self.status(name) == "finished", f"{name} has one")

    def trainer(self, name: str) -> int:
        return int(self.workspace.run_folder(name).read_state()["pid"])

    def workers(self) -> list[psutil.Process]:
        """Living worker processes of this workspace."""
        found = []
        for process in psutil.process_iter():
            try:
                command = process.cmdline()
                is_ours = "ftft_core.jobs" in command and str(self.workspace.folder) in command
                if is_ours and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def stop(self) -> None:
        """Leave no process behind."""
        for folder in self.workspace._queue.waiting():
            self.workspace.cancel(folder.run_id)
        for folder in self.workspace._queue.running():
            self.workspace._queue.kill(folder)
        for process in self.workers():
            process.kill()
