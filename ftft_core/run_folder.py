"""The folder of a run: what a training process writes, and what everyone reads to know how the run is doing.

    run.json          what is to be done; written once, when the run is queued
    state.json        status, message, process; replaced whole
    progress.json     counters and time left; replaced whole, about once a second
    history.jsonl     a line per logged optimizer step: loss, learning rate; a line per evaluation
    log.txt           what the training process printed
    subset.parquet    the examples to train on and their weights; absent for all
    checkpoint-<step> the newest place to go on from
    outbox/           Parquet files for the database; gone once taken in
    model/            the kept model, as transformers loads it
    cancel            asks the training process to stop

A file appears whole or not at all: it is written under a temporary name, synced, and renamed. This module knows
names and formats; it does not know the database, nor how training works.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

STATUSES = ("queued", "running", "finished", "failed", "cancelled", "lost")
ENDED = frozenset({"finished", "failed", "cancelled", "lost"})
RESUMABLE = frozenset({"failed", "cancelled", "lost"})

_SILENCE_SECONDS = 600.0
"""A run on another machine that wrote no progress for this long is taken for lost."""


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

    def create(self, run: dict[str, Any], *, subset: pa.Table | None = None) -> None:
        """Make the folder of a queued run; it appears whole or not at all."""
        building = self.path.with_name(f".{self.path.name}.new")
        shutil.rmtree(building, ignore_errors=True)
        (building / "outbox").mkdir(parents=True)
        draft = RunFolder(building)
        write_json(building / "run.json", run)
        if subset is not None:
            write_parquet(draft.subset, subset)
        draft.set_status("queued")
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

    def claim(self, message: str = "", *, pid: int | None = None) -> None:
        """Say that a process, this one by default, now trains the run."""
        process = psutil.Process(pid)
        self.set_status(
            "running", message, pid=process.pid, pid_started=process.create_time(), host=socket.gethostname()
        )

    def read_state(self) -> dict[str, Any]:
        """Read the state as it was written last."""
        return read_json(self.path / "state.json")

    def true_state(self) -> dict[str, Any]:
        """Read the state, and see whether a run that says it is running still has a process."""
        state = self.read_state()
        if state["status"] == "running" and not self._is_alive(state):
            # The process may have written its last word between the two looks.
            state = self.read_state()
            if state["status"] == "running":
                return {**state, "status": "lost", "message": LOST_MESSAGE}
        return state

    def runs_here(self, state: dict[str, Any]) -> bool:
        """Whether the process that a state names is, or was, one of this machine."""
        return state.get("host") == socket.gethostname()

    def _is_alive(self, state: dict[str, Any]) -> bool:
        if not self.runs_here(state):
            written = self.read_progress().get("updated_at", state["since"])
            return bool(time.time() - written < _SILENCE_SECONDS)
        try:
            process = psutil.Process(state["pid"])
            is_same = abs(process.create_time() - state["pid_started"]) < 1.0
            return is_same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    # -- progress --------------------------------------------------------------------------------------------------

    def write_progress(self, progress: dict[str, Any]) -> None:
        """Replace the counters."""
        write_json(self.path / "progress.json", {**progress, "updated_at": time.time()}, durable=False)

    def read_progress(self) -> dict[str, Any]:
        """Read the counters; empty before training started."""
        try:
            return read_json(self.path / "progress.json")
        except FileNotFoundError:
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

    def remove_leftovers(self) -> None:
        """Remove the half-written files of processes that were killed."""
        for path in [*self.path.glob(".*.new"), *self.outbox.glob(".*.new")]:
            writer = path.name.split(".")[-2]
            if path.is_file() and writer.isdigit() and not psutil.pid_exists(int(writer)):
                path.unlink(missing_ok=True)

    def outbox_files(self) -> list[Path]:
        """Finished files that wait to be taken in, oldest name first."""
        return sorted(self.outbox.glob("*.parquet")) if self.outbox.is_dir() else []

    def size_mib(self) -> float:
        """What the folder takes on disk, in MiB."""
        return sum(path.stat().st_size for path in self.path.rglob("*") if path.is_file()) / 2**20


LOST_MESSAGE = "the training process ended without a word (killed, out of memory, or power loss); resume the run"


def run_folders(runs: Path) -> Iterator[RunFolder]:
    """Give the folders of all runs under `runs`, in the order of their ids."""
    if runs.is_dir():
        for path in sorted(runs.iterdir()):
            if path.is_dir() and not path.name.startswith(".") and (path / "state.json").exists():
                yield RunFolder(path)


def write_json(path: Path, value: dict[str, Any], *, durable: bool = True) -> None:
    """Replace a JSON file whole; `durable` syncs it, so that it outlives a power loss."""
    with _replacing(path, durable=durable) as temporary:
        temporary.write_text(json.dumps(value, indent=1), encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that `write_json` wrote."""
    value = json.loads(path.read_text(encoding="utf-8"))
    assert isinstance(value, dict), path
    return value


def write_parquet(path: Path, table: pa.Table) -> None:
    """Write a Parquet file that appears whole or not at all, and outlives a power loss."""
    with _replacing(path, durable=True) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def sync_folder(folder: Path) -> None:
    """Make renames within a folder outlive a power loss."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make a file's content outlive a power loss."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


@contextmanager
def _replacing(path: Path, *, durable: bool) -> Iterator[Path]:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        yield temporary
        if durable:
            sync_file(temporary)
        os.replace(temporary, path)
        if durable:
            sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)
