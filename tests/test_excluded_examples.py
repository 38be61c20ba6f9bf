"""Examples that are excluded from training are trained on by no run that is queued afterwards."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from ftft_core.config import BudgetConfig, RunConfig
from ftft_core.errors import InputError
from ftft_core.run_folder import RunFolder
from ftft_core.selection import Recipe
from ftft_core.workspace import Workspace
from tests.conftest import write_suite_files


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace(tmp_path / "workspace")
    made.add_suite("reviews", write_suite_files(tmp_path / "suite"))
    return made


def queue(workspace: Workspace, model: Path, **given: object) -> tuple[RunFolder, RunConfig]:
    """Queue a run that nobody starts, and give its folder and configuration."""
    config = RunConfig(suite="reviews", model=str(model), budget=BudgetConfig(epochs=1), **given)  # type: ignore[arg-type]
    folder = RunFolder(workspace.folder / "runs" / workspace.queue_run(config))
    return folder, RunConfig.model_validate_json(json.dumps(folder.read_run()["config"]))


def test_a_run_on_everything_leaves_them_out(workspace: Workspace, tiny_model: Path) -> None:
    whole, config = queue(workspace, tiny_model)
    assert not whole.subset.exists()
    assert config.excluded is None
    workspace.mark_positions("reviews", np.array([1, 3]), "exclude", author="mia")
    folder, config = queue(workspace, tiny_model, name="without")
    num_train = int(workspace.suites().set_index("suite").loc["reviews", "num_train"])
    kept = pq.read_table(folder.subset)
    assert kept["position"].to_pylist() == [row for row in range(num_train) if row not in (1, 3)]
    assert set(kept["weight"].to_pylist()) == {1.0}
    assert config.excluded is not None
    assert config.excluded.num_examples == 2
    assert workspace.run("without")["fraction"] == 1.0


def test_so_does_a_run_on_a_subset_and_only_if_it_holds_one(workspace: Workspace, tiny_model: Path) -> None:
    subset = workspace.save_subset(Recipe(strategy="random", fraction=0.5), name="half", suite="reviews").subset
    members = workspace.subset_positions("half").tolist()
    num_train = int(workspace.suites().set_index("suite").loc["reviews", "num_train"])
    outside = next(row for row in range(num_train) if row not in members)
    workspace.mark_positions("reviews", np.array([outside]), "exclude", author="mia")
    folder, config = queue(workspace, tiny_model, subset=subset, method="random")
    assert config.excluded is None
    workspace.mark_positions("reviews", np.array(members[:1]), "exclude", author="mia")
    folder, config = queue(workspace, tiny_model, subset=subset, method="random")
    assert config.excluded is not None
    assert config.excluded.num_examples == 1
    assert pq.read_table(folder.subset)["position"].to_pylist() == members[1:]


def test_excluding_all_of_them_is_refused(workspace: Workspace, tiny_model: Path) -> None:
    num_train = int(workspace.suites().set_index("suite").loc["reviews", "num_train"])
    workspace.mark_positions("reviews", np.arange(num_train), "exclude", author="mia")
    with pytest.raises(InputError, match="those excluded from training left out; there is nothing to train on"):
        queue(workspace, tiny_model)
