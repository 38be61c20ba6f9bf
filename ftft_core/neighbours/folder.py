"""The files of a suite's embeddings: `suites/<fingerprint>/neighbours/`.

    progress.json     how far the process is, and which it is; replaced whole
    log.txt           what the process printed
    <model>-<hash>/   one embedding: of one model, cut at one length
        embeddings.npy   (N, d) float16, each of length 1, in the order of the training split
        neighbours.npy   (N, k) int32: positions of the k nearest others, nearest first
        cosines.npy      (N, k) float16: how near they are
        splits/<name>/   the same two of another split of M texts: (M, k) of the training texts nearest to each
        about.json       what it was made with; its presence says that the embedding is whole

Nothing here imports torch.
"""

from __future__ import annotations

import hashlib
import json
import re
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import psutil

from ftft_core.errors import InputError, NotFoundError, one_of
from ftft_core.modeling.checkpoints import locate_model
from ftft_core.run_folder import read_json, write_json
from ftft_core.suites import TRAIN, split_names

NUM_NEIGHBOURS = 10
MAX_LENGTH = 128
"""Tokens that are read of a text or a pair, unless more or fewer are asked for."""

SPLITS = "splits"
FORMAT_VERSION = 1
RUN_PREFIX = "run:"

_STOPPED = "the process ended without a word (killed, out of memory, or power loss); start it again to go on"
_SILENCE_SECONDS = 120.0
"""A process on another machine that wrote no progress for this long is taken for stopped."""


@dataclass(frozen=True)
class EmbeddingState:
    """How the embedding that was started last is doing; what is not known yet is None."""

    status: str
    """`none` (never started), `running`, `finished`, `failed`, `cancelled`, or `stopped` (its process is gone)."""
    message: str = ""
    model: str | None = None
    stage: str | None = None
    """`starting`, `embedding`, `neighbours`, or `splits` (the training texts nearest to those of the other splits)."""
    done: int = 0
    """Examples that this stage has done."""
    total: int = 0
    seconds_left: float | None = None
    """Of this stage."""
    updated_at: float | None = None
    """Unix time."""

    @property
    def fraction(self) -> float:
        """Share of this stage that is done, in [0, 1]."""
        return 1.0 if self.status == "finished" else self.done / self.total if self.total else 0.0


@dataclass(frozen=True)
class NeighboursFolder:
    """Paths and small files of one suite's embeddings."""

    suite_folder: Path

    @property
    def path(self) -> Path:
        """Where everything is."""
        return self.suite_folder / "neighbours"

    @property
    def log(self) -> Path:
        """What the process printed."""
        return self.path / "log.txt"

    def embedding(self, model: str, location: str, max_length: int) -> Path:
        """Give the folder of one embedding; another one if the files of a local model changed."""
        stem = re.sub(r"[^A-Za-z0-9.-]+", "-", Path(model).name)[-40:].strip("-.") or "model"
        facts = [FORMAT_VERSION, NUM_NEIGHBOURS, model, max_length, _stamp(location)]
        return self.path / f"{stem}-{hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]}"

    def is_complete(self, embedding: Path) -> bool:
        """Whether an embedding has all its files; one that lacks some is completed, not made again."""
        others = [name for name in split_names(self.suite_folder) if name != TRAIN]
        found = [embedding, *(embedding / SPLITS / name for name in others)]
        files = [folder / name for folder in found for name in ("neighbours.npy", "cosines.npy")]
        return all(file.exists() for file in (embedding / "about.json", embedding / "embeddings.npy", *files))

    def finished(self, model: str | None = None) -> list[dict[str, Any]]:
        """Give what is said `about` each whole embedding, and its `folder`; the one that was made last is last."""
        found = [{**read_json(path), "folder": path.parent} for path in self.path.glob("*/about.json")]
        found = [about for about in found if model in (None, about["model"])]
        return sorted(found, key=lambda about: float(about["finished_at"]))

    def newest(self, suite: str, model: str | None) -> dict[str, Any]:
        """Give the whole embedding that was made last; of this model, or of any.

        :raises NotFoundError: when there is none.
        """
        found = self.finished(model)
        if found:
            return found[-1]
        if model is not None and (others := sorted({str(about["model"]) for about in self.finished()})):
            raise NotFoundError(
                f"The texts of suite '{suite}' were not embedded by '{model}', but by {one_of(others)}; "
                f"`ftft neighbours build {suite} --model {model}` does it."
            )
        raise NotFoundError(
            f"The texts of suite '{suite}' were not embedded yet, so nobody knows their neighbours; "
            f"`ftft neighbours build {suite}` does it once."
        )

    # -- progress --------------------------------------------------------------------------------------------------

    def changing(self) -> filelock.FileLock:
        """A lock for starting and stopping; for moments only."""
        return self._lock(".starting.lock", timeout_seconds=30)

    def working(self) -> filelock.FileLock:
        """A lock that the process holds as long as it lives."""
        return self._lock(".working.lock", timeout_seconds=0)

    def _lock(self, name: str, *, timeout_seconds: float) -> filelock.FileLock:
        return filelock.FileLock(self.path / name, timeout=timeout_seconds)

    def write_progress(self, status: str, *, pid: int | None = None, durable: bool = False, **facts: Any) -> None:
        """Replace the progress with that of a process, this one by default."""
        process = psutil.Process(pid)
        owner = {"pid": process.pid, "pid_started": process.create_time(), "host": socket.gethostname()}
        value = {"status": status, **facts, **owner, "updated_at": time.time()}
        write_json(self.path / "progress.json", value, durable=durable)

    def read_progress(self) -> dict[str, Any]:
        """Read the progress as it was written last; empty when nothing was ever started."""
        try:
            return read_json(self.path / "progress.json")
        except FileNotFoundError:
            return {}

    def state(self) -> EmbeddingState:
        """Say how it is doing, and see whether what says it is running still has a process."""
        progress = self.read_progress()
        if progress.get("status") == "running" and not is_alive(progress):
            # It may have written its last word between the two looks.
            progress = self.read_progress()
            if progress.get("status") == "running":
                progress = {**progress, "status": "stopped", "message": _STOPPED, "seconds_left": None}
        names = ("message", "model", "stage", "done", "total", "seconds_left", "updated_at")
        known = {name: progress[name] for name in names if name in progress}
        return EmbeddingState(status=str(progress.get("status", "none")), **known)


def is_alive(progress: dict[str, Any]) -> bool:
    """Whether the process that a progress names still lives."""
    if progress.get("host") != socket.gethostname():
        return bool(time.time() - progress["updated_at"] < _SILENCE_SECONDS)
    try:
        process = psutil.Process(progress["pid"])
        is_same = abs(process.create_time() - progress["pid_started"]) < 1.0
        return is_same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def locate(workspace: Path, model: str) -> str:
    """Give the folder or hub name of a model; `run:ID` is the model that a run kept.

    :raises InputError: when there is no such folder, or the run kept no model.
    """
    if not model.startswith(RUN_PREFIX):
        return locate_model(model)
    folder = workspace / "runs" / model.removeprefix(RUN_PREFIX) / "model"
    if not (folder / "config.json").is_file():
        raise InputError(
            f"Run '{model.removeprefix(RUN_PREFIX)}' keeps no model: it has not finished, was imported, or its files "
            "were deleted. Embed with another run, or with a model such as minilm."
        )
    return str(folder)


def _stamp(location: str) -> list[list[str | int]]:
    """Sizes and times of a local model's files: a model that is trained anew in place is another model."""
    files = sorted(path for path in Path(location).glob("*") if path.suffix in {".safetensors", ".json"})
    return [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in files]
