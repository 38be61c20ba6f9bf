"""A workspace to plan in: suites, subsets and runs of a tiny model, and copies of it that something is wrong with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ftft_core.config import RunConfig
from ftft_core.planning.__main__ import main as warm_up
from ftft_core.planning.folder import WarmUpFolder
from ftft_core.selection import Recipe
from ftft_core.suites import Suite
from ftft_core.workspace import Workspace
from tests.conftest import make_rows, write_suite_files

NUM_TRAIN = 96
TINY_POSITIONS = 64
"""Tokens that the tiny model takes."""


def make_planning_workspace(folder: Path, model: Path) -> Workspace:
    """Suites `reviews` and `other` with a random third each, `long` with texts that the model can't take, a run."""
    import pandas as pd

    workspace = Workspace(folder / "workspace")
    workspace.add_suite("reviews", write_suite_files(folder / "reviews", num_train=NUM_TRAIN))
    workspace.add_suite("other", write_suite_files(folder / "other", num_train=40))
    rows = pd.DataFrame(make_rows(60, seed=3))
    long = rows.assign(text=[" ".join([text] * 30) for text in rows["text"]])
    parts = {"train": rows[:40], "dev": rows[40:]}
    workspace.keep_suite(Suite.from_frames("long", long[:40], rows[40:]))
    workspace.keep_suite(Suite.from_frames("long-test", **parts, out_of_distribution={"essays": long[40:]}))
    for suite, name in (("reviews", "third"), ("other", "foreign")):
        workspace.save_subset(Recipe(strategy="random", fraction=1 / 3), suite=suite, name=name)
    workspace.queue_run(config(model, name="taken"))
    workspace.queue_run(config(model, suite="other", name="elsewhere"))
    return workspace


def config(model: Path, **changes: Any) -> RunConfig:
    """A run of the tiny model on `reviews`; changes are fields, flat or nested."""
    from ftft_core.planning.asked import as_config

    found, problems = as_config({"suite": "reviews", "model": str(model), "batch_size": 16, "epochs": 2, **changes})
    assert found is not None, problems
    assert not problems
    return found


def spoilt(model: Path, folder: Path, spoil: Callable[[Path], object]) -> Path:
    """A copy of a model that something was done to."""
    shutil.copytree(model, folder)
    spoil(folder)
    return folder


def change_config(model: Path, **changes: object) -> None:
    """Change fields of a model's `config.json`."""
    path = model / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")


def with_head(model: Path, *labels: str) -> None:
    """Say in a model's config that it brings a head for these labels."""
    id2label = {str(index): label for index, label in enumerate(labels)}
    change_config(model, id2label=id2label, architectures=["BertForSequenceClassification"])


def measure_here(workspace: Workspace, asked: RunConfig) -> int:
    """Make the warm-up of a run in this process, which has torch already; give its exit status."""
    folder = folder_of(workspace, asked)
    folder.path.parent.mkdir(exist_ok=True)
    folder.create()
    return warm_up(folder.path)


def folder_of(workspace: Workspace, asked: RunConfig) -> WarmUpFolder:
    """The folder of a run's warm-up."""
    (run,) = workspace._measurable([asked])
    assert run.folder is not None
    return run.folder
