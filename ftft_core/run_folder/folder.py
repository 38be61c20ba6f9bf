"""Names and formats of what is in a run's folder.

run.json          what is to be done; written once, when the run is queued
state.json        status, message, process, place in the queue; replaced whole
progress.json     counters and time left; replaced whole, about once a second
history.jsonl     a line per logged optimizer step: loss, learning rate; a line per evaluation
log.txt           what the training process printed
subset.parquet    the examples to train on and their weights; absent for all
guide.parquet     what the run's method takes from its reference, by position; written once, absent for most methods
errors.parquet    which training examples the model got wrong after its first epoch, if the run was to find out
checkpoint-<step> the newest place to go on from
outbox/           Parquet files for the database; gone once taken in
model/            the kept model, as transformers loads it
trackers/         what experiment trackers write, TensorBoard's files among it, and what they were told; mostly absent
cancel            asks the training process to stop
.training.lock    held by the training process as long as it lives, so that a run never has two
.reserve          a little room on the disk, given up to say that the disk is full; gone when the run has ended

Whether a run that says it is running has a process is told here too.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import pyarrow as pa

from ftft_core.run_folder.files import read_json, stale_files, sync_folder, write_json, write_parquet
from ftft_core.run_folder.processes import boot_id, count_oom_kills, identify, is_alive, is_stopped
from ftft_core.run_folder.trouble import LOW_MIB, disk_full_words, free_mib, refused_words

STATUSES = ("queued", "running", "finished", "failed", "cancelled", "lost")
ENDED = frozenset({"finished", "failed", "cancelled", "lost"})
RESUMABLE = frozenset({"failed", "cancelled", "lost"})

_SILENCE_SECONDS = 600.0
"""A run on another machine that gave no sign of life for this long is taken for lost."""

_QUIET_SECONDS = 15.0
"""One that gave none for this long may be lost, or its machine asleep."""

_RESERVE_BYTES = 65536
_KEPT_FACTS = ("device", "runs_on", "place")
"""Facts of a state that stay when a process claims the run."""

LOST_MESSAGE = "the training process ended without a word (killed, out of memory, or power loss); resume the run"


@dataclass(frozen=True)
class RunFolder:
    """Paths and files of one run."""

    path: Path

    @property
    def run_id(self) -> str:
        """The run's id, which is the folder's name."""
        return self.path.name

    @property
    def outbox(self) -> Path:
        """Where files for the database wait."""
        return self.path / "outbox"

    @property
    def model(self) -> Path:
        """Where the kept model lies."""
        return self.path / "model"

    @property
    def log(self) -> Path:
        """What the training process printed."""
        return self.path / "log.txt"

    @property
    def subset(self) -> Path:
        """The examples to train on; absent for all."""
        return self.path / "subset.parquet"

    @property
    def guide(self) -> Path:
        """What the method takes from the reference; absent for methods that take no more than a subset."""
        return self.path / "guide.parquet"

    @property
    def errors(self) -> Path:
        """Which training examples were wrong after the first epoch; absent for runs that were not to find out."""
        return self.path / "errors.parquet"

    @property
    def trackers(self) -> Path:
        """Where experiment trackers write, and what is known of them; absent for runs without any."""
        return self.path / "trackers"

    def create(
        self,
        run: dict[str, Any],
        *,
        subset: pa.Table | None = None,
        guide: pa.Table | None = None,
        place: float | None = None,
    ) -> None:
        """Make the folder of a queued run; it appears whole or not at all.

        :param place: its place in the queue; runs with lower ones come first. The time when left out.
        """
        building = self.path.with_name(f".{self.path.name}.new")
        shutil.rmtree(building, ignore_errors=True)
        (building / "outbox").mkdir(parents=True)
        draft = RunFolder(building)
        write_json(building / "run.json", run)
        if subset is not None:
            write_parquet(draft.subset, subset)
        if guide is not None:
            write_parquet(draft.guide, guide)
        facts: dict[str, Any] = {} if place is None else {"place": place}
        draft.set_status("queued", **facts)
        os.rename(building, self.path)
        sync_folder(self.path.parent)

    def read_run(self) -> dict[str, Any]:
        """Read what is to be done."""
        return read_json(self.path / "run.json")

    # -- state -----------------------------------------------------------------------------------------------------

    def set_status(self, status: str, message: str = "", **facts: Any) -> None:
        """Replace the state; `facts` are kept beside the status until the next change."""
        assert status in STATUSES, status
        write_json(self.path / "state.json", {"status": status, "message": message, "since": time.time(), **facts})

    def claim(self, message: str = "", *, pid: int | None = None, **facts: Any) -> None:
        """Say that a process, this one by default, now trains the run."""
        with suppress(FileNotFoundError):
            state = self.read_state()
            facts = {**{name: state[name] for name in _KEPT_FACTS if name in state}, **facts}
        facts |= {**identify(pid), "host": socket.gethostname(), "oom_kills": count_oom_kills()}
        self.set_status("running", message, **facts)

    def training(self) -> filelock.FileLock:
        """A lock that a training process holds as long as it lives."""
        return filelock.FileLock(self.path / ".training.lock", timeout=0)

    def is_held(self) -> bool:
        """Whether a training process holds the run, whatever its state says."""
        if not (self.path / ".training.lock").exists():
            return False
        try:
            with self.training():
                return False
        except filelock.Timeout:
            return True

    def read_state(self) -> dict[str, Any]:
        """Read the state as it was written last; one that can't be read, as after damage to the disk, counts as lost.

        :raises FileNotFoundError: when there is none, as of a run that is being removed.
        """
        path = self.path / "state.json"
        try:
            return read_json(path)
        except ValueError:
            message = "what its state was can't be read (its file is damaged); resume the run"
            return {"status": "lost", "message": message, "since": path.stat().st_mtime}

    def has_readable_state(self) -> bool:
        """Whether the state is there and whole."""
        try:
            read_json(self.path / "state.json")
        except (FileNotFoundError, ValueError):
            return False
        return True

    def true_state(self) -> dict[str, Any]:
        """Read the state, and see whether a run that says it is running still has a process."""
        state = self.read_state()
        if state["status"] != "running":
            return state
        if not self._is_alive(state):
            # The process may have written its last word between the two looks.
            state = self.read_state()
            if state["status"] == "running" and not self._is_alive(state):
                return {**state, "status": "lost", "message": self.why_lost(state)}
        elif self.runs_here(state) and is_stopped(state["pid"]):
            return {**state, "message": f"its process is paused; `kill -CONT {state['pid']}` lets it go on"}
        elif not self.runs_here(state) and (seconds := self._silent_seconds(state)) > _QUIET_SECONDS:
            words = f"nothing was heard of it for {seconds:.0f} s; its machine {state.get('host')} may sleep or be off"
            return {**state, "message": words}
        return state

    def runs_here(self, state: dict[str, Any]) -> bool:
        """Whether the process that a state names is, or was, one of this machine."""
        return state.get("host") == socket.gethostname()

    def _is_alive(self, state: dict[str, Any]) -> bool:
        if not self.runs_here(state):
            return self._silent_seconds(state) < _SILENCE_SECONDS
        return is_alive(state)

    def _silent_seconds(self, state: dict[str, Any]) -> float:
        """Seconds since a run on another machine wrote progress, or the worker there touched its state."""
        touched = (self.path / "state.json").stat().st_mtime
        return max(0.0, time.time() - max(touched, self.read_progress().get("updated_at", state["since"])))

    def why_lost(self, state: dict[str, Any]) -> str:
        """Say what probably ended a process that could not say it."""
        if not self.runs_here(state):
            return LOST_MESSAGE
        if free_mib(self.path) < LOW_MIB:
            return f"the training process ended without a word, and {disk_full_words(self.path)}"
        if not os.access(self.path, os.W_OK):
            return f"the training process ended without a word, and {refused_words(self.path)}"
        if state.get("boot") not in (None, boot_id()):
            return "the machine was restarted, or lost power, while the run trained; resume the run"
        kills = count_oom_kills()
        if kills is not None and state.get("oom_kills") is not None and kills > state["oom_kills"]:
            return OOM_MESSAGE
        return LOST_MESSAGE

    # -- progress --------------------------------------------------------------------------------------------------

    def write_progress(self, progress: dict[str, Any]) -> None:
        """Replace the counters."""
        write_json(self.path / "progress.json", {**progress, "updated_at": time.time()}, durable=False)

    def read_progress(self) -> dict[str, Any]:
        """Read the counters; empty before training started.

        They are not synced, so that after a power loss an empty file may be all that is there.
        """
        try:
            return read_json(self.path / "progress.json")
        except (FileNotFoundError, ValueError):
            return {}

    def append_history(self, record: dict[str, Any]) -> None:
        """Add one line to the history."""
        with (self.path / "history.jsonl").open("ab+") as file:
            # A process that was killed may have left half a line, which must not swallow this one.
            is_whole = file.tell() == 0 or (file.seek(-1, os.SEEK_END), file.read(1))[1] == b"\n"
            file.write(("" if is_whole else "\n").encode() + json.dumps(record).encode() + b"\n")

    def read_history(self) -> list[dict[str, Any]]:
        """Read the history, in the order of steps; of a step that was repeated after a resume, the last record."""
        try:
            lines = (self.path / "history.jsonl").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        records: dict[tuple[str, int], dict[str, Any]] = {}
        for line in lines:
            # The last line may be half written.
            with suppress(json.JSONDecodeError):
                record = json.loads(line)
                records[record["kind"], record["step"]] = record
        return sorted(records.values(), key=lambda record: record["step"])

    # -- stopping --------------------------------------------------------------------------------------------------

    def request_cancel(self) -> None:
        """Ask the training process to write a checkpoint and stop."""
        (self.path / "cancel").touch()

    def clear_cancel(self) -> None:
        """Withdraw the request."""
        (self.path / "cancel").unlink(missing_ok=True)

    @property
    def cancel_requested(self) -> bool:
        """Whether the run was asked to stop."""
        return (self.path / "cancel").exists()

    def remove_leftovers(self) -> list[Path]:
        """Remove the half-written files of processes that were killed; give them.

        For whoever trains the run, or knows that nobody does: half a checkpoint is left by no one else.
        """
        stale = stale_files([self.path, self.outbox, self.trackers])
        for path in stale:
            path.unlink(missing_ok=True)
        for path in self.half_written_folders():
            shutil.rmtree(path)
            stale.append(path)
        return stale

    def half_written_folders(self) -> list[Path]:
        """Checkpoints and models that are being written, or were when their process was killed."""
        return [path for path in [*self.path.glob(".checkpoint-*"), self.path / ".model.new"] if path.is_dir()]

    def checkpoints(self) -> list[Path]:
        """Whole checkpoints, the newest last."""
        found = [path for path in self.path.glob("checkpoint-*") if path.is_dir()]
        return sorted(found, key=lambda path: int(path.name.rpartition("-")[2]))

    def finished_leftovers(self) -> list[Path]:
        """What a run that has finished needs no more, and that a kill at its very end leaves behind."""
        names = ("best.safetensors", ".reserve", "cancel")
        files = [self.path / name for name in names if (self.path / name).exists()]
        return [*self.checkpoints(), *self.half_written_folders(), *files]

    def tidy(self) -> list[Path]:
        """Remove what a finished run needs no more; give it."""
        leftovers = self.finished_leftovers() if self.read_state()["status"] == "finished" else []
        for path in leftovers:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        return leftovers

    def start_anew(self) -> None:
        """Forget what a run that has ended did so far, but its log."""
        for path in [*self.checkpoints(), self.model, self.trackers, *self.half_written_folders()]:
            shutil.rmtree(path, ignore_errors=True)
        names = ("best.safetensors", ".reserve", "cancel", "progress.json", "history.jsonl", "errors.parquet")
        for path in [*(self.path / name for name in names), *self.outbox.glob("*")]:
            path.unlink(missing_ok=True)

    def hold_reserve(self) -> None:
        """Keep a little room, so that a last word can be written when the disk is full."""
        path = self.path / ".reserve"
        if not path.exists():
            path.write_bytes(os.urandom(_RESERVE_BYTES))

    def release_reserve(self) -> None:
        """Give that room up."""
        (self.path / ".reserve").unlink(missing_ok=True)

    def outbox_files(self) -> list[Path]:
        """Finished files that wait to be taken in, oldest name first."""
        return sorted(self.outbox.glob("*.parquet")) if self.outbox.is_dir() else []

    def size_mib(self) -> float:
        """What the folder takes on disk, in MiB."""
        return disk_use_mib(self.path)


OOM_MESSAGE = (
    "the system ended the training process, most likely because memory ran out; end other programs and resume the run, "
    "or train it anew with a smaller batch_size or max_length (`ftft train --like RUN --batch-size N`)"
)


def run_folders(runs: Path) -> Iterator[RunFolder]:
    """Give the folders of all runs under `runs`, in the order of their ids."""
    if runs.is_dir():
        for path in sorted(runs.iterdir()):
            if path.is_dir() and not path.name.startswith(".") and (path / "state.json").exists():
                yield RunFolder(path)


def disk_use_bytes(*paths: Path) -> int:
    """What files and folders take on disk; a file with two names counts once, and one that just went away not."""
    sizes: dict[tuple[int, int], int] = {}
    for path in itertools.chain.from_iterable((path, *path.rglob("*")) for path in paths):
        with suppress(FileNotFoundError):
            facts = path.lstat()
            if not stat.S_ISDIR(facts.st_mode):
                sizes[facts.st_dev, facts.st_ino] = facts.st_size
    return sum(sizes.values())


def disk_use_mib(folder: Path) -> float:
    """What a folder takes on disk, in MiB; a file with two names counts once."""
    return disk_use_bytes(folder) / 2**20
