"""What a run tells the world while it trains: progress, history, and Parquet files for the database."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from ftft_core.dynamics import EpochFrame
from ftft_core.modeling.device import peak_memory_mib
from ftft_core.run_folder import RunFolder, write_parquet
from ftft_core.suites import Split
from ftft_core.training.checkpoint import Counters

_PROGRESS_SECONDS = 0.5
_HISTORY_POINTS = 200
_EVALUATION_SHARE = 1 / 3
"""A forward pass alone costs a third of a forward and a backward pass."""


@dataclass
class Reporter:
    """Writes the files that others read; only the main process of a run has an active one."""

    folder: RunFolder
    is_active: bool
    num_steps: int
    num_epochs: int
    step_tokens: float
    """Padded tokens of a training step, on average."""
    evaluation_tokens: float
    """Padded tokens of all evaluation passes that the run will make."""
    log: Callable[[Mapping[str, float], int], None]
    """Tells the run's trackers values, by name, of an optimizer step; nothing where it has none."""
    _losses: list[float] = field(default_factory=list)
    _last_progress: float = 0.0
    _evaluated_tokens: float = 0.0
    _loss: float | None = None
    _is_over: bool = False

    def step(self, counters: Counters, loss: float, learning_rate: float) -> None:
        """Tell that an optimizer step was taken; `loss` is its mean over the batch, in nats."""
        if not self.is_active:
            return
        self._losses.append(loss)
        if counters.step % max(1, self.num_steps // _HISTORY_POINTS) == 0 or counters.step == self.num_steps:
            self._loss = math.fsum(self._losses) / len(self._losses)
            self._losses.clear()
            record = {"kind": "step", "step": counters.step, "epoch": counters.epoch, "loss": self._loss}
            self.folder.append_history({**record, "learning_rate": learning_rate})
            cost = {"cost/train_flops": counters.train_flops, "cost/train_seconds": counters.train_seconds}
            told = {"train/loss": self._loss, "train/learning_rate": learning_rate, "train/epoch": counters.epoch}
            self._track({**told, **cost}, counters)
        if time.monotonic() - self._last_progress > _PROGRESS_SECONDS or counters.step == self.num_steps:
            self.progress(counters, "training")

    def progress(self, counters: Counters, stage: str) -> None:
        """Replace the progress file."""
        if not self.is_active:
            return
        self._last_progress = time.monotonic()
        done = counters.step * self.step_tokens
        remaining = 0.0 if self._is_over else (self.num_steps - counters.step) * self.step_tokens
        evaluation = max(0.0, self.evaluation_tokens - self._evaluated_tokens) * _EVALUATION_SHARE
        seconds_per_token = counters.train_seconds / done if done else None
        work = done + remaining + self.evaluation_tokens * _EVALUATION_SHARE
        self.folder.write_progress(
            {
                "stage": stage,
                "step": counters.step,
                "num_steps": self.num_steps,
                "epoch": counters.epoch,
                "num_epochs": self.num_epochs,
                "loss": self._loss,
                "fraction": (done + self._evaluated_tokens * _EVALUATION_SHARE) / work,
                "seconds_left": None if seconds_per_token is None else (remaining + evaluation) * seconds_per_token,
                "examples_seen": counters.examples_seen,
                "train_flops": counters.train_flops,
                "evaluation_flops": counters.evaluation_flops,
                "train_seconds": counters.train_seconds,
                "peak_memory_mib": peak_memory_mib(),
            }
        )

    def evaluated(self, tokens: float) -> None:
        """Tell that an evaluation pass over this many padded tokens was made."""
        self._evaluated_tokens += tokens

    def training_is_over(self, tokens: float) -> None:
        """Tell that no step follows, but evaluation passes over this many padded tokens."""
        self._is_over = True
        self.evaluation_tokens = self._evaluated_tokens + tokens

    def overlap(self, counters: Counters, overlap: float) -> None:
        """Tell how much of an epoch's selection was in that of the epoch before, as a Jaccard overlap in [0, 1]."""
        if self.is_active:
            record = {"kind": "overlap", "step": counters.step, "epoch": counters.epoch, "overlap": overlap}
            self.folder.append_history(record)
            self._track({"train/overlap": overlap}, counters)

    def dynamics(self, epoch: EpochFrame) -> None:
        """Leave the logits of one epoch for the database."""
        if self.is_active:
            leave_dynamics(self.folder, epoch)

    def errors(self, positions: NDArray[np.int64], is_error: NDArray[np.bool_], flops: float, seconds: float) -> None:
        """Keep which training examples the model got wrong, and what a pass over them cost, in the run's folder.

        :param positions: (n,) rows of the suite's training split; :param is_error: (n,).
        """
        if self.is_active:
            table = pa.table({"position": pa.array(positions, pa.int64()), "is_error": pa.array(is_error, pa.bool_())})
            cost = {"flops": repr(flops), "seconds": repr(seconds)}
            write_parquet(self.folder.errors, table.replace_schema_metadata(cost))

    def predictions(self, split: str, logits: NDArray[np.float32]) -> None:
        """Leave the logits of a split, as the kept model gives them, for the database."""
        if self.is_active:
            table = {
                "split": pa.array([split] * len(logits), pa.string()),
                "position": pa.array(np.arange(len(logits)), pa.int64()),
                "logits": _lists(logits),
            }
            write_parquet(self.folder.outbox / f"predictions-{split}.parquet", pa.table(table))

    def scores(self, counters: Counters, split: Split, scores: pd.DataFrame, *, final: bool) -> None:
        """Leave the scores of a split for the database; those of the whole split go into the history too.

        :param scores: columns group, metric, value, num_examples.
        :param final: they are of the weights that the run keeps.
        """
        if not self.is_active:
            return
        whole = scores[scores["group"].isna()]
        step = counters.kept_step if final else counters.step
        name = split.name
        record = {"kind": f"evaluation:{name}", "step": step, "epoch": counters.epoch, "split": name, "final": final}
        values = {name: float(value) for name, value in zip(whole["metric"], whole["value"], strict=True)}
        self.folder.append_history({**record, **values, "num_examples": int(whole["num_examples"].iloc[0])})
        # `dev` is the name of the split and of its role. What is final may be of an earlier step, but trackers go on.
        place = "/".join(["final"] * final + [split.role] * (split.role != name) + [name])
        self._track({f"{place}/{metric}": value for metric, value in values.items()}, counters)
        table = pa.table(
            {
                "split": pa.array([name] * len(scores), pa.string()),
                "group": pa.array(scores["group"], pa.string(), from_pandas=True),
                "step": pa.array([step] * len(scores), pa.int64()),
                "metric": pa.array(scores["metric"], pa.string()),
                "value": pa.array(scores["value"], pa.float64(), from_pandas=True),
                "final": pa.array([final] * len(scores), pa.bool_()),
            }
        )
        kind = "final" if final else f"{step:08d}"
        write_parquet(self.folder.outbox / f"scores-{kind}-{name}.parquet", table)

    def _track(self, values: Mapping[str, float], counters: Counters) -> None:
        self.log({name: value for name, value in values.items() if math.isfinite(value)}, counters.step)


def leave_dynamics(folder: RunFolder, epoch: EpochFrame) -> None:
    """Leave the logits of one epoch for the database."""
    table = {
        "epoch": pa.array(np.full(len(epoch.positions), epoch.epoch), pa.int32()),
        "position": pa.array(epoch.positions, pa.int64()),
        "logits": _lists(epoch.logits),
        "step": pa.array(epoch.steps, pa.int32(), mask=epoch.steps < 0),
    }
    write_parquet(folder.outbox / f"dynamics-{epoch.epoch:05d}.parquet", pa.table(table))


def _lists(logits: NDArray[np.float32]) -> pa.Array:
    """(n, classes) as a column of lists, without a Python object per row."""
    num_rows, num_classes = logits.shape
    offsets = pa.array(np.arange(num_rows + 1, dtype=np.int32) * num_classes)
    return pa.ListArray.from_arrays(offsets, pa.array(logits.reshape(-1), pa.float32()))
