"""The worker: gives queued runs places on devices, each with a training process of its own, and sees how they end.

It outlives whoever started it, and its trainings outlive it: one that a killed worker left behind keeps its place and
is watched by the next. Told to stop, it has its trainings write checkpoints and go back to the queue.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import filelock
import psutil

from ftft_core.errors import InputError
from ftft_core.jobs import ends
from ftft_core.jobs.devices import device_environment, find_devices
from ftft_core.jobs.queue import Queue
from ftft_core.jobs.settings import WorkerSettings, read_settings, settings_version
from ftft_core.run_folder import RunFolder, child_environment, identify, is_alive, run_folders, stale_files, write_json

_POLL_SECONDS = 0.2
_IDLE_SECONDS = 3.0
_LOCK_SECONDS = 2.0
_STOP_SECONDS = 60.0
"""How long trainings may take to write their checkpoints once the worker was told to stop."""

_BEAT_SECONDS = 3.0
"""So often the runs' states are touched: a sign of life for other machines that share the folder."""

_PAUSE_SECONDS = 10.0
"""Nothing is started for this long after starting failed, as on a full disk."""

_ONCE_TOLD = 'read -r word && exec "$@" </dev/null'
"""The training process begins once it reads a line. It is told only after the run was claimed for it: whatever moment
this process is killed in, no training goes on that the run's folder doesn't name."""

Say = Callable[[str], None]


@dataclass
class _Training:
    """A run under way on this machine."""

    folder: RunFolder
    device: str | None
    """None for a run that was started by hand; it takes a place on the first device."""
    process: subprocess.Popen[bytes] | None = None
    """None for one that another worker started."""


@dataclass
class Worker:
    """Works off a queue; one at a time."""

    queue: Queue
    until_idle: bool = True
    say: Say = lambda _: None
    """Told what happens, a line each."""
    worked: dict[str, str] = field(default_factory=dict)
    """Id -> status of the runs that ended while this worker watched."""
    _trainings: dict[str, _Training] = field(default_factory=dict)
    _settings: WorkerSettings = field(default_factory=WorkerSettings)
    _settings_version: int | None = -1
    _num_stops: int = 0
    _paused_until: float = 0.0
    _beat_at: float = 0.0

    def work(self) -> bool:
        """Work until nothing has waited for a few seconds, or until told to stop; False if another worker is alive."""
        # Waiting a little: others hold the lock for a moment to see whether a worker is alive.
        lock = self.queue.working(timeout_seconds=_LOCK_SECONDS)
        try:
            lock.acquire()
        except filelock.Timeout:
            return False
        with self._listening():
            try:
                with suppress(OSError):  # A full disk keeps nobody from watching what trains.
                    write_json(self.queue.worker_file, {**identify(), "host": socket.gethostname()})
                self.queue.starting.unlink(missing_ok=True)
                self._tidy()
                self._work(lock)
            finally:
                lock.release()
        return True

    @property
    def was_stopped(self) -> bool:
        """Whether it was told to stop."""
        return self._num_stops > 0

    def _work(self, lock: filelock.FileLock) -> None:
        idle_since = time.monotonic()
        while not self._num_stops:
            self._watch()
            self._fill_places()
            if self._trainings:
                idle_since = time.monotonic()
            elif self.until_idle and time.monotonic() - idle_since > _IDLE_SECONDS:
                # Under this lock nobody queues a run and looks for a worker, so none can slip in between.
                with self.queue.changing():
                    if not self.queue.waiting():
                        self.queue.worker_file.unlink(missing_ok=True)
                        lock.release()
                        return
            time.sleep(_POLL_SECONDS)
        self._hand_back()
        self.queue.worker_file.unlink(missing_ok=True)

    # -- watching --------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """See which trainings have ended, and adopt those that others started."""
        under_way = {folder.run_id: (folder, state) for folder, state in self.queue.under_way()}
        watched = dict(self._trainings)
        for run_id, training in watched.items():
            if training.process is not None:
                status = training.process.poll()
                if status is not None:
                    self._end(training, status)
            elif run_id not in under_way:
                self._end(training, None)
        for run_id, (folder, state) in under_way.items():
            if run_id not in watched and folder.runs_here(state):
                self._trainings[run_id] = _Training(folder, state.get("runs_on"))
                self.say(f"run {_name(folder)} trains already; it is watched")
        if time.monotonic() - self._beat_at > _BEAT_SECONDS:
            self._beat_at = time.monotonic()
            for training in self._trainings.values():
                with suppress(OSError):
                    os.utime(training.folder.path / "state.json")

    def _end(self, training: _Training, exit_status: int | None) -> None:
        del self._trainings[training.folder.run_id]
        # The run may have been removed, or the disk be full: whoever looks is told so all the same.
        with suppress(OSError):
            with self.queue.changing():
                state = ends.record(training.folder, exit_status=exit_status)
            self.worked[training.folder.run_id] = state["status"]
            said = f": {state['message']}" if state["message"] else ""
            self.say(f"run {_name(training.folder)} is {state['status']}{said}")

    def _tidy(self) -> None:
        """Take up what a killed worker left: half-written files, and runs whose end nobody recorded."""
        for path in stale_files([self.queue.workspace]):
            path.unlink(missing_ok=True)
        for folder in run_folders(self.queue.runs):
            with suppress(OSError):
                for path in stale_files([folder.path]):
                    path.unlink(missing_ok=True)
                if ends.needs_word(folder, folder.true_state()):
                    with self.queue.changing():
                        ends.record(folder)

    # -- starting --------------------------------------------------------------------------------------------------

    def _fill_places(self) -> None:
        """Start what waits, the first in the queue first, as long as a device has a place."""
        if time.monotonic() < self._paused_until:
            return
        for folder in self.queue.waiting():
            device = self._free_device()
            if device is None:
                return
            with suppress(FileNotFoundError):
                if folder.is_held():
                    continue  # Its last process is just leaving.
                try:
                    self._start(folder, device)
                except (OSError, psutil.Error) as failure:
                    self._paused_until = time.monotonic() + _PAUSE_SECONDS
                    self.say(f"run {_name(folder)} could not be started ({failure}); trying again")
                    return

    def _free_device(self) -> str | None:
        settings = self._current_settings()
        devices = settings.devices or find_devices()
        taken = Counter(training.device or devices[0] for training in self._trainings.values())
        free = [device for device in devices if taken[device] < settings.runs_per_device]
        return min(free, key=lambda device: taken[device], default=None)

    def _current_settings(self) -> WorkerSettings:
        version = settings_version(self.queue.workspace)
        if version != self._settings_version:
            self._settings_version = version
            try:
                self._settings = _that_exist(read_settings(self.queue.workspace), self.say)
            except InputError as error:
                self.say(f"{error}; going on with {self._settings.runs_per_device} per device")
        return self._settings

    def _start(self, folder: RunFolder, device: str) -> None:
        with self.queue.changing():
            state = folder.read_state()
            if state["status"] != "queued":
                return
            with folder.log.open("ab") as log:
                process = subprocess.Popen(
                    ["/bin/sh", "-c", _ONCE_TOLD, "sh", sys.executable, "-m", "ftft_core.training", str(folder.path)],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    env={**child_environment(), **device_environment(device)},
                )
            assert process.stdin is not None
            try:
                # Claimed for the child at once, so that nobody takes the run for waiting while the child still imports.
                attempts = state.get("attempts", 0) + 1
                facts: dict[str, Any] = {"place": ends.place_of(state), "attempts": attempts}
                folder.claim("starting", pid=process.pid, runs_on=device, **facts)
                process.stdin.write(b"go\n")
            finally:
                with suppress(BrokenPipeError):
                    process.stdin.close()
        self._trainings[folder.run_id] = _Training(folder, device, process)
        self.say(f"run {_name(folder)} starts on {device}")

    # -- stopping --------------------------------------------------------------------------------------------------

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Count the signals that tell the worker to stop."""

        def stop(_signal: int, _frame: FrameType | None) -> None:
            self._num_stops += 1

        before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _hand_back(self) -> None:
        """Have the trainings write checkpoints and go back to the queue; told to stop once more, kill them."""
        self._watch()
        order = {folder.run_id: number for number, folder in enumerate(self.queue.running())}
        ours = [training for training in self._trainings.values() if training.device is not None]
        ours.sort(key=lambda training: order.get(training.folder.run_id, 0))
        if ours:
            noun = f"{len(ours)} run{'s' * (len(ours) != 1)}"
            self.say(f"stopping: {noun} to write a checkpoint and go back to the queue (once more kills at once)")
        first = self.queue.next_place() - len(ours)
        for number, training in enumerate(ours):
            with suppress(OSError), self.queue.changing():
                # One that was asked to stop for good does not come back.
                if training.folder.true_state()["status"] == "running" and not training.folder.cancel_requested:
                    ends.ask_to_return(training.folder, first + number)
            _send(training, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        is_killed = False
        while any(training.folder.run_id in self._trainings for training in ours):
            if not is_killed and (self._num_stops > 1 or time.monotonic() > deadline):
                is_killed = True
                for training in ours:
                    _send(training, signal.SIGKILL)
            time.sleep(_POLL_SECONDS / 4)
            self._watch()


def work_off(queue: Queue, *, until_idle: bool = True, say: Say | None = None) -> bool:
    """Work off a queue; see `Worker.work`."""
    return Worker(queue, until_idle, say or _to_stderr).work()


def _to_stderr(line: str) -> None:
    sys.stderr.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")


def _that_exist(settings: WorkerSettings, say: Say) -> WorkerSettings:
    """Leave out devices that this machine doesn't have; without any left, use those that it has."""
    if settings.devices is None:
        return settings
    known = {*find_devices(), "cpu"}
    kept = tuple(device for device in settings.devices if device in known)
    if kept != settings.devices:
        missing = ", ".join(device for device in settings.devices if device not in known)
        say(f"the settings name {missing}, which this machine doesn't have; using {', '.join(kept or find_devices())}")
    return settings.model_copy(update={"devices": kept or None})


def _send(training: _Training, number: signal.Signals) -> None:
    """Send a signal to a training process, if it is still the one that the run's state names."""
    with suppress(FileNotFoundError, ProcessLookupError, KeyError):
        state = training.folder.read_state()
        if state["status"] == "running" and is_alive(state):
            os.kill(state["pid"], number)


def _name(folder: RunFolder) -> str:
    with suppress(OSError, ValueError, KeyError):
        return f"{folder.read_run()['config']['name']} ({folder.run_id})"
    return folder.run_id
