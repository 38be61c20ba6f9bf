"""Runs for the tests of transfer: three models on the suite toy, whose maps agree as far as they share what is hard.

Nothing is trained: dynamics are drawn, and the workspace takes them in as it would a training process's.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa

from ftft_core.config import BudgetConfig, RunConfig
from ftft_core.run_folder import write_parquet
from ftft_core.workspace import Workspace
from tests.copies import copy_of
from tests.ui_workspace import NUM_EPOCHS, NUM_TRAIN, finish, make_workspace, model_of

MAIN_RUNS = ("main-0", "main-1", "main-2")
SMALL_RUNS = ("small-0", "small-1")
WEAK_RUN = "weak-0"
PROBE = "probe"
NUM_PROBED = 96
MAIN, SMALL, WEAK = "tiny-model, 2 layers", "tiny-model, 1 layer", "weak-model, 2 layers"
COSTS = {"main": 6e9, "small": 1.5e9, "weak": 0.5e9, "probe": 0.2e9}


def make_transfer_workspace(folder: Path) -> Workspace:
    """Make the workspace: three seeds of a main model, two of a good cheap reference, one of a weak one, a probe."""
    return copy_of(_make, folder)


def _make(folder: Path) -> Workspace:
    workspace = make_workspace(folder, with_comparison=False)
    add_transfer_runs(workspace, folder)
    return workspace


def add_transfer_runs(workspace: Workspace, folder: Path) -> None:
    """Add those runs to the suite toy of a workspace from `make_workspace`."""
    tiny, weak = model_of(workspace), folder / "weak-model"
    shutil.copytree(tiny, weak)
    shared = np.random.default_rng(1).normal(1.2, 1.2, NUM_TRAIN)
    for seed, name in enumerate(MAIN_RUNS):
        run = _queue(workspace, tiny, name, "erm", seed)
        leave_epochs(workspace, run, shared, noise=0.3, seed=seed)
        finish(workspace, run, flops=COSTS["main"])
    for seed, name in enumerate(SMALL_RUNS):
        run = _queue(workspace, tiny, name, "reference", seed, layers=1)
        leave_epochs(workspace, run, shared, noise=0.2, seed=10 + seed)
        finish(workspace, run, flops=COSTS["small"])
    run = _queue(workspace, weak, WEAK_RUN, "reference", 7)
    # It learns the easiest only in the end, and the others not at all.
    leave_epochs(workspace, run, shared - 1.0, noise=0.1, seed=20, is_late=True)
    finish(workspace, run, flops=COSTS["weak"])
    run = _queue(workspace, tiny, PROBE, "erm", 5, max_steps=3)
    leave_epochs(workspace, run, shared, noise=0.3, seed=30, num_epochs=1, num_seen=NUM_PROBED)
    finish(workspace, run, flops=COSTS["probe"])


def leave_epochs(
    workspace: Workspace,
    run: str,
    ease: np.ndarray,
    *,
    noise: float,
    seed: int,
    num_epochs: int = NUM_EPOCHS,
    num_seen: int = NUM_TRAIN,
    is_late: bool = False,
) -> None:
    """Leave logits of the first examples at every epoch; those that are neither easy nor hard waver."""
    random = np.random.default_rng(seed)
    own = ease + random.normal(0, noise, NUM_TRAIN)
    labels = np.array([row % 3 == 0 for row in range(NUM_TRAIN)], dtype=int)
    for epoch in range(num_epochs):
        sure = 2.0 * (not is_late or epoch == num_epochs - 1)
        margins = own * sure + random.normal(0, 0.1 if is_late else 1.0, NUM_TRAIN)
        logits = np.stack([np.where(labels == label, margins, -margins) / 2 for label in (0, 1)], axis=1)[:num_seen]
        table = {
            "epoch": pa.array(np.full(num_seen, epoch), pa.int32()),
            "position": pa.array(np.arange(num_seen), pa.int64()),
            "logits": pa.array(logits.astype(np.float32).tolist(), pa.list_(pa.float32())),
            "step": pa.array(np.random.default_rng([seed, epoch]).permutation(num_seen) // 16, pa.int32()),
        }
        write_parquet(workspace.run_folder(run).outbox / f"dynamics-{epoch:05d}.parquet", pa.table(table))


def _queue(
    workspace: Workspace,
    model: Path,
    name: str,
    method: str,
    seed: int,
    *,
    layers: int | None = None,
    max_steps: int | None = None,
) -> str:
    budget = BudgetConfig(max_steps=max_steps) if max_steps else BudgetConfig(epochs=NUM_EPOCHS)
    return workspace.queue_run(
        RunConfig(suite="toy", model=str(model), layers=layers, name=name, method=method, seed=seed, budget=budget)
    )
