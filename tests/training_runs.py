"""Queued runs without a database or a worker: made, trained and read in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from ftft_core import suites
from ftft_core.config import BudgetConfig, RunConfig, TrainingConfig
from ftft_core.run_folder import RunFolder
from ftft_core.training.checkpoint import Counters
from ftft_core.training.loop import Stopped, fit
from ftft_core.training.setup import Setup, prepare


def never() -> bool:
    return False


def after(steps: int) -> Callable[[], bool]:
    """Ask to stop after this many steps."""
    left = iter(range(1, steps + 1))
    return lambda: next(left) == steps


@dataclass(frozen=True)
class Trained:
    """What a run that was trained to its end gave."""

    setup: Setup
    counters: Counters
    weights: dict[str, torch.Tensor]
    outbox: dict[str, pd.DataFrame]

    def logits(self, name: str) -> np.ndarray:
        return np.stack(self.outbox[name]["logits"].to_list())

    @property
    def dynamics(self) -> dict[str, pd.DataFrame]:
        return {name: table for name, table in self.outbox.items() if name.startswith("dynamics")}


class Runs:
    """Queues and trains runs on one suite."""

    def __init__(self, folder: Path, spec: Path, model: Path) -> None:
        # More threads gain nothing on models this small, and lose much on a busy machine.
        torch.set_num_threads(1)
        self.folder = folder
        self.model = model
        self.suite = suites.load_suite("reviews", spec)
        suites.write_suite(self.suite, folder / "suites" / self.suite.fingerprint)

    def queue(
        self,
        run_id: str,
        *,
        budget: dict[str, Any] | None = None,
        subset: pa.Table | None = None,
        guide: pa.Table | None = None,
        **values: Any,
    ) -> RunFolder:
        """Queue a run; values are fields of RunConfig or of its `training`."""
        training = {key: values.pop(key) for key in list(values) if key in TrainingConfig.model_fields}
        # The rates are high enough that every step shows in the last bits; small batches make several steps an epoch.
        training = {"learning_rate": 1e-3, "batch_size": 16, "precision": "fp32", "warmup_fraction": 0.2, **training}
        config = RunConfig(
            **{"suite": "reviews", "model": str(self.model), "layers": 2, **values},
            budget=BudgetConfig(**(budget or {"epochs": 2})),
            training=TrainingConfig(**training),
        )
        folder = RunFolder(self.folder / "runs" / run_id)
        run = {
            "run_id": run_id,
            "suite_folder": f"suites/{self.suite.fingerprint}",
            "suite_fingerprint": self.suite.fingerprint,
            "config": config.model_dump(mode="json"),
        }
        folder.create(run, subset=subset, guide=guide)
        return folder

    def train(self, run_id: str, **values: Any) -> Trained:
        """Queue a run and train it without interruption."""
        return finish(self.queue(run_id, **values))


def finish(folder: RunFolder) -> Trained:
    """Train a queued or interrupted run to its end."""
    setup = prepare(folder)
    counters = fit(setup, stop_requested=never)
    return Trained(setup, counters, weights_of(setup), read_outbox(folder))


def interrupt(folder: RunFolder, stop_requested: Callable[[], bool]) -> None:
    """Train a run until it is stopped."""
    try:
        fit(prepare(folder), stop_requested=stop_requested)
    except Stopped:
        return
    raise AssertionError("the run was not stopped")


def weights_of(setup: Setup) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in setup.parts.model.state_dict().items()}


def read_outbox(folder: RunFolder) -> dict[str, pd.DataFrame]:
    return {path.stem: pq.read_table(path).to_pandas() for path in folder.outbox_files()}


def assert_same_tables(left: dict[str, pd.DataFrame], right: dict[str, pd.DataFrame]) -> None:
    """Bit for bit, and the same files."""
    assert sorted(left) == sorted(right)
    for name, table in left.items():
        for column in table.columns:
            if column == "logits":
                values, others = (np.stack(each[column].to_list()) for each in (table, right[name]))
                np.testing.assert_array_equal(values, others, err_msg=name)
            else:
                pd.testing.assert_series_equal(table[column], right[name][column], check_exact=True, obj=name)


def assert_same_weights(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert left.keys() == right.keys()
    assert [name for name in left if not torch.equal(left[name].cpu(), right[name].cpu())] == []
