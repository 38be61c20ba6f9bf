"""Looking at runs: how each is doing, its curves, its log, and what runs and waits. Read from the runs' files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from ftft_core.metrics import METRICS
from ftft_core.run_folder import RESUMABLE, RunFolder, read_json
from ftft_core.store import runs as run_store
from ftft_core.workspace.plans import Plans

_QUEUE_COLUMNS = ["run_id", "name", "status", "position", "seconds_left", "device"]
_CURVE_COLUMNS = ["step", "epoch", "what", "split", "role", "value"]
_LOG_BYTES = 400
"""A line of a log is taken to be no longer than this; of longer ones fewer are given."""


@dataclass(frozen=True)
class RunProgress:
    """How a run is doing, read from its files; what is not known yet is None."""

    status: str
    message: str
    stage: str | None
    """`training`, or which split is being evaluated."""
    step: int | None
    num_steps: int | None
    epoch: int | None
    num_epochs: int | None
    loss: float | None
    """Mean cross-entropy of the latest steps, in nats."""
    fraction: float
    """Share of the work that is done, in [0, 1]."""
    seconds_left: float | None
    seconds_elapsed: float | None
    """Seconds spent in training steps."""
    dev_scores: dict[str, float]
    """Latest scores on the dev split, by metric; those of the kept model once the run has finished."""
    updated_at: float | None
    """Unix time."""
    examples_per_second: float | None = None
    """Training examples a second, over all steps so far."""
    memory_bytes: float | None = None
    """The most memory that training held so far: the GPU's where there is one, else the process's."""
    resumed_from_step: int | None = None
    """Where its training process went on, if it did not begin anew."""
    can_resume: bool = False
    """Whether it has stopped before its end and has a checkpoint to go on from."""
    expected_seconds: float | None = None
    """What all of it was expected to take when it was queued."""
    since: float | None = None
    """Unix time of the last change of its status."""
    device: str | None = None
    """Where it is trained: cpu, cuda:0, ..."""


class RunWatching(Plans):
    """Looking at runs."""

    def runs(self, suite: str | None = None) -> pd.DataFrame:
        """Give the view `runs`, oldest first; of one suite, or of all."""
        with self.database.reading() as connection:
            return run_store.list_runs(connection, suite)

    def run(self, reference: str) -> dict[str, Any]:
        """Give one row of the view `runs`."""
        with self.database.reading() as connection:
            return run_store.read_run(connection, reference)

    def run_folder(self, reference: str) -> RunFolder:
        """Give the folder of a run."""
        if re.fullmatch(r"r[0-9a-f]{8}", reference) and (self._queue.runs / reference).is_dir():
            return self._queue.folder(reference)
        with self.database.reading() as connection:
            return self._queue.folder(run_store.find_run(connection, reference)[1])

    def progress(self, reference: str) -> RunProgress:
        """Say how a run is doing, from its files."""
        folder = self.run_folder(reference)
        try:
            state, progress = self._queue.settle(folder), folder.read_progress()
        except FileNotFoundError:  # It was imported, or its folder was deleted.
            row = self.run(reference)
            state, progress = {"status": row["status"], "message": row["message"]}, {}
        dev = [record for record in folder.read_history() if record.get("split") == "dev"]
        # Those of the kept model, once they are there: it may be older than the latest.
        latest = next((record for record in dev if record.get("final")), dev[-1] if dev else {})
        is_over = state["status"] == "finished"
        seconds, num_seen = progress.get("train_seconds"), progress.get("examples_seen")
        expected = self.expected(folder.run_id)
        memory_mib = state.get("peak_memory_mib") or progress.get("peak_memory_mib")
        return RunProgress(
            status=state["status"],
            message=state["message"],
            stage=progress.get("stage"),
            step=progress.get("step"),
            num_steps=progress.get("num_steps"),
            epoch=progress.get("epoch"),
            num_epochs=progress.get("num_epochs"),
            loss=progress.get("loss"),
            fraction=1.0 if is_over else progress.get("fraction", 0.0),
            seconds_left=0.0 if is_over else progress.get("seconds_left"),
            seconds_elapsed=seconds,
            dev_scores={str(name): float(latest[name]) for name in METRICS if name in latest},
            updated_at=progress.get("updated_at"),
            examples_per_second=num_seen / seconds if seconds and num_seen is not None else None,
            memory_bytes=None if memory_mib is None else memory_mib * 2**20,
            resumed_from_step=state.get("resumed_from_step"),
            can_resume=state["status"] in RESUMABLE and bool(folder.checkpoints()),
            expected_seconds=None if expected is None else expected.get("seconds"),
            since=state.get("since"),
            device=state.get("runs_on") or state.get("device"),
        )

    def curves(self, reference: str) -> pd.DataFrame:
        """Give what was measured while a run trained, a row each: step, epoch, what, split, role and value.

        `what` is `loss` (of training, in nats; split is None) or a metric's name; `role` is that of the split. Scores
        of the kept model stand at its step.
        """
        folder = self.run_folder(reference)
        roles = self._roles(folder)
        frame = pd.DataFrame(_curve_rows(folder.read_history(), roles), columns=_CURVE_COLUMNS, dtype=object)
        return frame.astype({"step": "int64", "epoch": "int64", "value": "float64"})

    def loss_history(self, reference: str) -> pd.DataFrame:
        """Give step, epoch, loss, learning_rate and dev_accuracy of a run; one row per logged step or evaluation."""
        records = [
            {**record, "dev_accuracy": record.get("accuracy")}
            for record in self.run_folder(reference).read_history()
            if record["kind"] == "step" or record.get("split") == "dev"
        ]
        columns = ["step", "epoch", "loss", "learning_rate", "dev_accuracy"]
        return pd.DataFrame(records, columns=columns).astype({"step": "int64"} if records else {})

    def log_tail(self, reference: str, lines: int = 20) -> str:
        """Give the last lines that a run's training process printed."""
        try:
            with self.run_folder(reference).log.open("rb") as file:
                file.seek(max(0, file.seek(0, 2) - lines * _LOG_BYTES))
                said = file.read().decode("utf-8", errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(said.splitlines()[-lines:]) if lines else ""

    def queue(self) -> pd.DataFrame:
        """Give what runs and waits: run_id, name, status, position (0 runs, 1 is next), seconds_left, device."""
        under_way, waiting = self._queue.under_way(), self._queue.waiting()
        names: dict[str, str] = {}
        if under_way or waiting:
            with self.database.reading() as connection:
                names = run_store.run_names(connection)
        rows: list[tuple[Any, ...]] = []
        for folder, state in under_way:
            left = folder.read_progress().get("seconds_left")
            device = state.get("runs_on") or state.get("device")
            rows.append((folder.run_id, names.get(folder.run_id, folder.run_id), "running", 0, left, device))
        for position, folder in enumerate(waiting, 1):
            rows.append((folder.run_id, names.get(folder.run_id, folder.run_id), "queued", position, None, None))
        return pd.DataFrame(rows, columns=_QUEUE_COLUMNS)

    def _roles(self, folder: RunFolder) -> dict[str, str]:
        """Split -> role, of the suite that a run is on; empty when its files are gone."""
        try:
            return _read_roles(self.folder / folder.read_run()["suite_folder"] / "suite.json")
        except (OSError, ValueError, KeyError):
            return {}


@lru_cache(maxsize=64)
def _read_roles(header: Path) -> dict[str, str]:
    # A suite's folder is named by its content and never changes.
    return {split["name"]: split["role"] for split in read_json(header)["splits"]}


def _curve_rows(
    records: list[dict[str, Any]], roles: dict[str, str]
) -> Iterator[tuple[int, int, str, str | None, str | None, float]]:
    for record in records:
        step, epoch, split = record["step"], record["epoch"], record.get("split")
        if record["kind"] == "step":
            yield step, epoch, "loss", None, "train", record["loss"]
        elif split is not None:
            role = roles.get(split, "dev" if split == "dev" else None)
            yield from ((step, epoch, str(name), split, role, record[name]) for name in METRICS if name in record)
