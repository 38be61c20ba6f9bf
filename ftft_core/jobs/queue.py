"""The queue: what waits, what runs, and making sure that somebody works it off."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import psutil

from ftft_core.errors import RunError
from ftft_core.run_folder import ENDED, LOST_MESSAGE, RESUMABLE, RunFolder, run_folders

_STOP_SECONDS = 60.0
"""How long a training process may take to finish its step and write a checkpoint before it is killed."""


@dataclass(frozen=True)
class Queue:
    """The queue of one workspace."""

    workspace: Path

    @property
    def runs(self) -> Path:
        """Where the runs' folders are."""
        return self.workspace / "runs"

    def folder(self, run_id: str) -> RunFolder:
        """Give the folder of a run."""
        return RunFolder(self.runs / run_id)

    def changing(self) -> filelock.FileLock:
        """A lock for changing the state of runs; held for moments only."""
        return filelock.FileLock(self.workspace / ".queue.lock", timeout=30)

    def working(self) -> filelock.FileLock:
        """A lock that the worker holds as long as it lives."""
        return filelock.FileLock(self.workspace / ".worker.lock", timeout=0)

    def waiting(self) -> list[RunFolder]:
        """Give the queued runs, the next one first."""
        states = [(folder, folder.read_state()) for folder in run_folders(self.runs)]
        queued = [(state["since"], folder) for folder, state in states if state["status"] == "queued"]
        return [folder for _, folder in sorted(queued, key=lambda pair: (pair[0], pair[1].run_id))]

    def running(self) -> list[RunFolder]:
        """Give the runs that have a living training process."""
        return [folder for folder in run_folders(self.runs) if folder.true_state()["status"] == "running"]

    def ensure_worker(self) -> None:
        """Start a worker process if none is alive; it outlives this process."""
        with self.changing():
            try:
                with self.working():
                    pass
            except filelock.Timeout:
                return
        log = (self.workspace / "worker.log").open("ab")
        with log:
            subprocess.Popen(
                [sys.executable, "-m", "ftft_core.jobs", str(self.workspace)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=child_environment(),
            )

    def settle(self, folder: RunFolder) -> dict[str, Any]:
        """Give the true state of a run; a run that lost its process is recorded as lost."""
        state = folder.true_state()
        if state["status"] == "lost" and folder.read_state()["status"] == "running":
            with self.changing():
                if folder.true_state()["status"] == "lost":
                    folder.set_status("lost", LOST_MESSAGE, **_facts(folder.read_state()))
        return state

    def cancel(self, folder: RunFolder) -> None:
        """Stop a run: at once if it waits, after its current step if it trains.

        :raises RunError: when it has ended already.
        """
        with self.changing():
            state = folder.true_state()
            if state["status"] in ENDED:
                raise RunError(f"Run {folder.run_id} is {state['status']} already; there is nothing to cancel.")
            if state["status"] == "queued":
                folder.set_status("cancelled", "cancelled before it started; resume queues it again")
                return
            folder.request_cancel()

    def resume(self, folder: RunFolder) -> bool:
        """Queue a run again so that it goes on from its newest checkpoint; False if it has finished already.

        :raises RunError: when it still runs and was not asked to stop.
        """
        with self.changing():
            state = folder.true_state()
            if state["status"] == "finished":
                return False
            if state["status"] in RESUMABLE:
                folder.clear_cancel()
                folder.set_status("queued")
            elif state["status"] == "running" and folder.cancel_requested:
                raise RunError(f"Run {folder.run_id} is stopping just now; resume it in a moment.")
        self.ensure_worker()
        return True

    def kill(self, folder: RunFolder) -> None:
        """Stop a run's training process for good, waiting for its checkpoint first."""
        state = folder.true_state()
        if state["status"] != "running":
            return
        folder.request_cancel()
        deadline = time.monotonic() + _STOP_SECONDS
        while folder.true_state()["status"] == "running" and time.monotonic() < deadline:
            time.sleep(0.1)
        state = folder.true_state()
        if state["status"] == "running" and psutil.pid_exists(state["pid"]):
            os.kill(state["pid"], signal.SIGKILL)


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


def _facts(state: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in state.items() if key not in {"status", "message", "since"}}
