"""A warm-up's folder in the workspace: what is asked, how it is doing, and what it found.

`plans/<key>/` looks like a run's folder to those who load and train (`run.json`, and `subset.parquet` where only a
sample of a large suite is looked at), and has beside that

    progress.json     the process that warms up, and what it is doing; it is believed as long as that process lives
    lengths.parquet   tokens of the examples that were looked at
    measured.json     what was found, or why nothing was; written last
    log.txt           what the process printed

The key is made of everything that the numbers depend on, so a warm-up is made again when any of it changes.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ftft_core.config import BudgetConfig, RunConfig, TrainingConfig
from ftft_core.modeling.checkpoints import locate_model
from ftft_core.planning.machine import Machine
from ftft_core.planning.models import stamp_of
from ftft_core.run_folder import RunFolder, identify, is_alive, read_json, write_json, write_parquet

FORMAT_VERSION = 3
"""Grows when a warm-up finds other things than before, or finds them otherwise."""

MOST_EXAMPLES = 20_000
"""Training examples that are tokenised; of a larger suite a sample."""

_LIBRARIES = ("torch", "transformers", "tokenizers")
_LOCK_SECONDS = 30.0


@dataclass(frozen=True, eq=False)
class WarmUp:
    """What a warm-up found."""

    numbers: dict[str, Any]
    """See `training.measuring`; empty when it failed."""
    lengths: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    """(n,) tokens by split, of all examples or of a sample."""
    positions: NDArray[np.int64] | None = None
    """Rows of the training split that `lengths["train"]` is of, ascending; None for all."""
    failure: str | None = None
    """Why it came to nothing."""
    is_refusal: bool = False
    """Whether it failed because model, data and configuration do not fit together."""
    ended_at: float = 0.0
    """Unix time."""

    @property
    def has_timings(self) -> bool:
        """Whether steps were timed; not when they did not fit into the memory that was free."""
        return bool(self.numbers.get("fits"))


@dataclass(frozen=True)
class WarmUpFolder:
    """Paths and files of one warm-up."""

    path: Path
    request: dict[str, Any] = field(default_factory=dict, compare=False)
    """What is to be tried out, for who starts it."""

    @property
    def log(self) -> Path:
        """What the process printed."""
        return self.path / "log.txt"

    def create(self) -> None:
        """Write what is to be tried out."""
        self.path.mkdir(parents=True, exist_ok=True)
        request = dict(self.request)
        num_train = request.pop("num_train")
        if num_train > MOST_EXAMPLES:
            rows = np.sort(np.random.default_rng(0).permutation(num_train)[:MOST_EXAMPLES])
            weights = pa.array(np.ones(len(rows)), pa.float64())
            write_parquet(self.path / "subset.parquet", pa.table({"position": pa.array(rows), "weight": weights}))
        write_json(self.path / "run.json", {"run_id": self.path.name, **request})

    def write_progress(self, stage: str, share: float, *, pid: int | None = None) -> None:
        """Say what a process, this one by default, is doing, and which share of it is done."""
        write_json(self.path / "progress.json", {**identify(pid), "stage": stage, "share": share}, durable=False)

    def doing(self) -> str | None:
        """Say what the process is doing; None when there is none that lives."""
        try:
            progress = read_json(self.path / "progress.json")
        except (FileNotFoundError, ValueError):
            return None
        if not is_alive(progress):
            return None
        return f"{progress['stage']} ({100 * progress['share']:.0f} %)"

    def died(self) -> str | None:
        """Give the last words of a process that ended without a result; None when there was no such process."""
        if not (self.path / "progress.json").exists() or self.doing() is not None or self.result() is not None:
            return None
        with suppress(FileNotFoundError):
            lines = self.log.read_text(encoding="utf-8", errors="replace").split("\n")
            return next((line.strip() for line in reversed(lines) if line.strip()), "")
        return ""

    def keep(self, warm_up: WarmUp) -> None:
        """Write what was found."""
        if warm_up.lengths:
            positions = warm_up.positions
            table = {
                "split": pa.array(
                    np.concatenate([[name] * len(lengths) for name, lengths in warm_up.lengths.items()]), pa.string()
                ),
                "tokens": pa.array(np.concatenate(list(warm_up.lengths.values())), pa.int32()),
            }
            num_rows = len(table["tokens"])
            rows = np.full(num_rows, -1) if positions is None else np.resize(positions, num_rows)
            write_parquet(self.path / "lengths.parquet", pa.table({**table, "position": pa.array(rows, pa.int64())}))
        found = {"failure": warm_up.failure, "is_refusal": warm_up.is_refusal, "ended_at": time.time()}
        write_json(self.path / "measured.json", {**found, "numbers": warm_up.numbers})

    def result(self) -> WarmUp | None:
        """Give what was found; None when nothing was yet."""
        try:
            return _read_result(self.path, (self.path / "measured.json").stat().st_mtime_ns)
        except (OSError, ValueError, KeyError, pa.ArrowException):
            # Half of it may be gone while somebody deletes the folder: then it is measured again.
            return None

    def remove_leftovers(self) -> None:
        """Remove what a process that was killed left; a checkpoint takes much room."""
        RunFolder(self.path).remove_leftovers()
        for path in self.path.glob("checkpoint-*"):
            shutil.rmtree(path, ignore_errors=True)


def warm_up_folder(plans: Path, config: RunConfig, suite: dict[str, Any], machine: Machine) -> WarmUpFolder:
    """Give the folder of the warm-up that tells what a run will take.

    :param plans: the workspace's folder of warm-ups.
    :param suite: name, fingerprint, num_train, and folder of the suite's texts relative to the workspace.
    """
    location = locate_model(config.model)
    model = str(Path(location).resolve()) if Path(location).is_dir() else location
    training = config.training
    key = [
        FORMAT_VERSION,
        model,
        stamp_of(location),
        config.layers,
        training.batch_size,
        training.precision,
        training.max_length,
        [machine.device, machine.device_name, machine.num_threads],
        suite["fingerprint"],
        [_version(name) for name in _LIBRARIES],
    ]
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
    tried = RunConfig(
        suite=config.suite,
        model=model,
        layers=config.layers,
        budget=BudgetConfig(epochs=1),
        training=TrainingConfig(
            batch_size=training.batch_size, precision=training.precision, max_length=training.max_length
        ),
    )
    request = {
        "suite_folder": suite["folder"],
        "suite_fingerprint": suite["fingerprint"],
        "config": tried.model_dump(mode="json"),
        "num_train": suite["num_train"],
    }
    return WarmUpFolder(plans / digest, request)


def read_positions(folder: Path) -> NDArray[np.int64] | None:
    """Give the rows of the training split that a warm-up looks at; None for all."""
    path = folder / "subset.parquet"
    return pq.read_table(path)["position"].to_numpy().astype(np.int64) if path.exists() else None


def changing_lock(plans: Path) -> filelock.FileLock:
    """Give the lock for starting warm-ups; held for moments only."""
    return filelock.FileLock(plans / ".changing.lock", timeout=_LOCK_SECONDS)


def measuring_lock(plans: Path) -> filelock.FileLock:
    """Give the lock that a process that warms up holds as long as it lives: two would disturb each other."""
    return filelock.FileLock(plans / ".measuring.lock", timeout=0.3)


def read_wanted(plans: Path) -> list[str]:
    """Give the keys of the warm-ups that were asked for last."""
    with suppress(FileNotFoundError, ValueError):
        return [str(key) for key in read_json(plans / "wanted.json")["keys"]]
    return []


@lru_cache(maxsize=128)
def _read_result(path: Path, _written: int) -> WarmUp:
    found = read_json(path / "measured.json")
    lengths: dict[str, NDArray[np.int64]] = {}
    positions = None
    if found["numbers"]:
        table = pq.read_table(path / "lengths.parquet").to_pandas()
        lengths = {
            str(name): part["tokens"].to_numpy(dtype=np.int64) for name, part in table.groupby("split", sort=False)
        }
        rows = table.loc[table["split"] == "train", "position"].to_numpy(dtype=np.int64)
        positions = None if len(rows) and rows[0] < 0 else rows
    return WarmUp(found["numbers"], lengths, positions, found["failure"], found["is_refusal"], float(found["ended_at"]))


@lru_cache(maxsize=8)
def _version(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return ""
