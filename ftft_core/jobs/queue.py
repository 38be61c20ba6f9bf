"""The queue: what waits, what runs, and making sure that somebody works it off."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import psutil

from ftft_core.errors import RunError, WorkspaceBusyError
from ftft_core.run_folder import ENDED, RESUMABLE, RunFolder, run_folders, write_json

_LOCK_SECONDS = 30

_STOP_SECONDS = 60.0
"""How long a training process may take to finish its step and write a checkpoint before it is killed."""

_PATIENCE_SECONDS = 3.0
"""A run that waits for longer than this while no worker is alive was queued for a worker that was killed."""

_children: list[subprocess.Popen[bytes]] = []
"""Workers that this process started: asked after now and then, so that none of them stays a zombie."""


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

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Hold the lock for changing the state of runs; for moments only.

        :raises WorkspaceBusyError: when another process does not let go of it.
        """
        lock = filelock.FileLock(self.workspace / ".queue.lock", timeout=_LOCK_SECONDS)
        try:
            lock.acquire()
        except filelock.Timeout as failure:
            raise WorkspaceBusyError(
                f"Another process has held the queue of {self.workspace} for {_LOCK_SECONDS} seconds; try again."
            ) from failure
        try:
            yield
        finally:
            lock.release()

    def working(self, *, timeout_seconds: float = 0) -> filelock.FileLock:
        """A lock that the worker holds as long as it lives."""
        return filelock.FileLock(self.workspace / ".worker.lock", timeout=timeout_seconds)

    @property
    def starting(self) -> Path:
        """Names the worker process that was started last, until it works or gave way to another."""
        return self.workspace / ".worker.starting"

    def waiting(self) -> list[RunFolder]:
        """Give the queued runs, the next one first."""
        queued = []
        for folder in run_folders(self.runs):
            with suppress(FileNotFoundError):  # It may be removed while we look.
                state = folder.read_state()
                queued += [(state["since"], folder)] if state["status"] == "queued" else []
        return [folder for _, folder in sorted(queued, key=lambda pair: (pair[0], pair[1].run_id))]

    def running(self) -> list[RunFolder]:
        """Give the runs that have a living training process."""
        running = []
        for folder in run_folders(self.runs):
            with suppress(FileNotFoundError):
                running += [folder] if folder.true_state()["status"] == "running" else []
        return running

    def ensure_worker(self) -> None:
        """Start a worker process if none is alive or starting; it outlives this process."""
        _children[:] = [child for child in _children if child.poll() is None]
        with self.changing():
            try:
                with self.working():
                    pass
            except filelock.Timeout:
                return
            if self._is_starting():
                return
            with (self.workspace / "worker.log").open("ab") as log:
                child = subprocess.Popen(
                    [sys.executable, "-m", "ftft_core.jobs", str(self.workspace)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    env=child_environment(),
                )
            _children.append(child)
            write_json(self.starting, {"pid": child.pid, "pid_started": psutil.Process(child.pid).create_time()})

    def _is_starting(self) -> bool:
        """Whether a worker was started that has yet to take its lock."""
        try:
            named = json.loads(self.starting.read_text(encoding="utf-8"))
            process = psutil.Process(named["pid"])
            is_same = abs(process.create_time() - named["pid_started"]) < 1.0
            return is_same and process.status() != psutil.STATUS_ZOMBIE
        except (FileNotFoundError, psutil.NoSuchProcess):
            return False

    def settle(self, folder: RunFolder) -> dict[str, Any]:
        """Give the true state of a run; a run that lost its process is recorded as lost.

        Whoever looks at a run that waits although no worker is alive starts one: the last may have been killed.
        """
        state = folder.true_state()
        if state["status"] == "queued" and time.time() - state["since"] > _PATIENCE_SECONDS:
            self.ensure_worker()
        if state["status"] == "lost" and folder.read_state()["status"] == "running":
            with self.changing():
                if folder.true_state()["status"] == "lost":
                    # On a full disk it is not recorded, but told all the same.
                    with suppress(OSError):
                        folder.set_status("lost", state["message"], **_facts(folder.read_state()))
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
        if state["status"] != "running":
            return
        if not folder.runs_here(state):
            raise RunError(
                f"Run {folder.run_id} trains on {state.get('host')} and did not stop within {_STOP_SECONDS:.0f} "
                "seconds; stop it there, then try again."
            )
        with suppress(ProcessLookupError):
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
