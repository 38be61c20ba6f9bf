"""The queue: what waits and in which order, what runs, how that is changed, and who sees that it is worked off."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import filelock

from ftft_core.errors import RunError, WorkspaceBusyError
from ftft_core.jobs import ends
from ftft_core.run_folder import (
    ENDED,
    RESUMABLE,
    RunFolder,
    forget_ended,
    identify,
    is_alive,
    read_json,
    run_folders,
    start_detached,
    write_json,
)

_LOCK_SECONDS = 30

_STOP_SECONDS = 60.0
"""How long a training process may take to finish its step and write a checkpoint before it is killed."""

_PATIENCE_SECONDS = 3.0
"""A run that waits for longer than this while no worker is alive was queued for a worker that was killed."""

_RESTART_SECONDS = 5.0
"""A worker that died before it could work is not started again sooner than this."""

_WORD_SECONDS = 2.0
"""A worker is given this long to say why one of its trainings ended, before somebody else says that it did."""

_LEAVE_SECONDS = 10.0
"""A training process that has said its last word is gone within this time."""

_PLACE_STEP = 1.0


@dataclass(frozen=True)
class Queue:
    """The queue of one workspace."""

    workspace: Path
    _seen: dict[Path, tuple[tuple[int, int, int], dict[str, Any]]] = field(
        default_factory=dict, compare=False, repr=False
    )
    """States by run's folder, with what told the file from others: most runs have ended, and are not read again."""

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

    # -- what is in it ---------------------------------------------------------------------------------------------

    def states(self) -> list[tuple[RunFolder, dict[str, Any]]]:
        """Give the state of every run as it was written last."""
        states = []
        for folder in run_folders(self.runs):
            with suppress(FileNotFoundError):  # It may be removed while we look.
                states.append((folder, self._state(folder)))
        return states

    def _state(self, folder: RunFolder) -> dict[str, Any]:
        facts = (folder.path / "state.json").stat()
        version = (facts.st_ino, facts.st_mtime_ns, facts.st_size)
        seen = self._seen.get(folder.path)
        if seen is None or seen[0] != version:
            seen = self._seen[folder.path] = (version, folder.read_state())
        return seen[1]

    def waiting(self) -> list[RunFolder]:
        """Give the queued runs, the next one first."""
        queued = [(ends.place_of(state), folder) for folder, state in self.states() if state["status"] == "queued"]
        return [folder for _, folder in sorted(queued, key=lambda pair: (pair[0], pair[1].run_id))]

    def running(self) -> list[RunFolder]:
        """Give the runs that have a living training process."""
        return [folder for folder, _ in self.under_way()]

    def under_way(self) -> list[tuple[RunFolder, dict[str, Any]]]:
        """Give the runs that have a living training process, with their states, in the order that they had waiting."""
        found = []
        for folder, state in self.states():
            if state["status"] == "running":
                with suppress(FileNotFoundError):
                    state = folder.true_state()
                    found += [(folder, state)] if state["status"] == "running" else []
        return sorted(found, key=lambda pair: (ends.place_of(pair[1]), pair[0].run_id))

    # -- the worker ------------------------------------------------------------------------------------------------

    def working(self, *, timeout_seconds: float = 0) -> filelock.FileLock:
        """A lock that the worker holds as long as it lives."""
        return filelock.FileLock(self.workspace / ".worker.lock", timeout=timeout_seconds)

    @property
    def starting(self) -> Path:
        """Names the worker process that was started last, until it works or gave way to another."""
        return self.workspace / ".worker.starting"

    @property
    def worker_file(self) -> Path:
        """Names the worker that works."""
        return self.workspace / ".worker.json"

    def worker(self) -> dict[str, Any] | None:
        """Give what identifies the living worker on this machine; None when there is none that is known."""
        named = _read_named(self.worker_file)
        return named if named and named.get("host") == socket.gethostname() and is_alive(named) else None

    def ensure_worker(self) -> None:
        """Start a worker process if none is alive or starting; it outlives this process."""
        forget_ended()
        # Looked at under this lock alone: a worker that is about to leave has either left or will see what waits.
        with self.changing():
            try:
                with self.working():
                    pass
            except filelock.Timeout:
                return
            if self._is_starting():
                return
            pid = start_detached("ftft_core.jobs", [self.workspace], log=self.workspace / "worker.log")
            with suppress(OSError):  # On a full disk a worker is started more often than needed, and gives way.
                write_json(self.starting, {**identify(pid), "started_at": time.time()})

    def _is_starting(self) -> bool:
        """Whether a worker was started that has yet to take its lock, or that died before it could a moment ago."""
        named = _read_named(self.starting)
        return bool(named) and (is_alive(named) or 0 <= time.time() - named.get("started_at", 0) < _RESTART_SECONDS)

    # -- looking ---------------------------------------------------------------------------------------------------

    def settle(self, folder: RunFolder) -> dict[str, Any]:
        """Give the true state of a run; one that lost its process is recorded as lost, or goes back to the queue.

        Whoever looks at a run that waits although no worker is alive starts one: the last may have been killed.
        """
        state = folder.true_state()
        if ends.needs_word(folder, state):
            # The worker that started it knows more about its end than can be seen from here.
            deadline = time.monotonic() + _WORD_SECONDS
            while self.worker() is not None and time.monotonic() < deadline and ends.needs_word(folder, state):
                time.sleep(0.05)
                state = folder.true_state()
            # On a full disk it is not recorded, but told all the same.
            with self.changing(), suppress(OSError):
                state = ends.record(folder)
        has_waited = state["status"] == "queued" and not 0 <= time.time() - state["since"] <= _PATIENCE_SECONDS
        if has_waited and self.worker() is None:
            self.ensure_worker()
        return state

    # -- changing --------------------------------------------------------------------------------------------------

    def move(self, folder: RunFolder, position: int) -> None:
        """Give a run that waits another place among those that wait; 1 is next, and past the last one is last.

        :raises RunError: when it doesn't wait.
        """
        with self.changing():
            state = folder.true_state()
            if state["status"] != "queued":
                raise RunError(f"Run {folder.run_id} is {state['status']}; only a run that waits can be moved.")
            others = [other for other in self.waiting() if other.run_id != folder.run_id]
            before, after = others[: position - 1][-1:], others[position - 1 :][:1]
            place = _between(before, after)
            if place is None:
                # No number is left between the two; all get new ones, and none passes another meanwhile.
                first = ends.place_of(others[0].read_state())
                for number, other in reversed(list(enumerate(others))):
                    _put(other, first + number * _PLACE_STEP)
                place = _between(before, after)
            assert place is not None
            _put(folder, place)

    def next_place(self) -> float:
        """Give a place before all that wait."""
        waiting = self.waiting()
        return ends.place_of(waiting[0].read_state()) - _PLACE_STEP if waiting else time.time()

    def cancel(self, folder: RunFolder) -> None:
        """Stop a run: at once if it waits, after its current step if it trains.

        :raises RunError: when it has ended already.
        """
        with self.changing():
            state = folder.true_state()
            was_to_return = ends.returns(folder)
            ends.clear_return(folder)
            if state["status"] in ENDED:
                if was_to_return:
                    ends.record(folder)
                    return
                raise RunError(f"Run {folder.run_id} is {state['status']} already; there is nothing to cancel.")
            if state["status"] == "queued":
                words = "before it started" if not folder.checkpoints() else "while it waited to go on"
                folder.set_status("cancelled", f"cancelled {words}; resume queues it again")
                return
            folder.request_cancel()

    def resume(self, folder: RunFolder, *, forget: Callable[[], None] | None = None) -> bool:
        """Queue a run again so that it goes on from its newest checkpoint; False if it has finished already.

        :param forget: have it begin anew; its folder is emptied, and this forgets what came of it elsewhere.
        :raises RunError: when it still runs and was asked to stop, or a process still writes what is to be forgotten.
        """
        with self.changing():
            state = folder.true_state()
            if state["status"] == "finished":
                return False
            if state["status"] in RESUMABLE:
                if forget is not None:
                    _empty(folder)
                    forget()
                folder.clear_cancel()
                ends.clear_return(folder)
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
        ends.clear_return(folder)
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


def _read_named(path: Path) -> dict[str, Any]:
    """Read a file that names a process; empty when there is none, or it was being written as power failed."""
    try:
        return read_json(path)
    except (FileNotFoundError, ValueError):
        return {}


def _between(before: list[RunFolder], after: list[RunFolder]) -> float | None:
    """Give a place between two neighbours, of whom one or both may be missing; None if there is no number."""
    low, high = ([ends.place_of(folder.read_state()) for folder in folders] for folders in (before, after))
    if not low:
        return high[0] - _PLACE_STEP if high else time.time()
    if not high:
        return low[0] + _PLACE_STEP
    middle = low[0] + (high[0] - low[0]) / 2
    return middle if low[0] < middle < high[0] else None


def _put(folder: RunFolder, place: float) -> None:
    state = folder.read_state()
    facts = {name: value for name, value in state.items() if name not in {"status", "message", "place"}}
    folder.set_status("queued", state["message"], place=place, **facts)


def _empty(folder: RunFolder) -> None:
    """Forget what an ended run did; its process may still be leaving."""
    try:
        with folder.training().acquire(timeout=_LEAVE_SECONDS):
            folder.start_anew()
    except filelock.Timeout:
        raise RunError(
            f"A process still trains run {folder.run_id}, although it was taken for ended; wait for it, or stop it."
        ) from None
