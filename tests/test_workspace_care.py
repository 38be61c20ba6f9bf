"""What a workspace must not do: kill strangers, forget files, or let a subset lose what made it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from ftft_core.config import BudgetConfig, RunConfig
from ftft_core.dynamics import TrainingDynamics
from ftft_core.errors import InputError, RunError
from ftft_core.jobs import queue as queue_module
from ftft_core.run_folder import RunFolder, write_json
from ftft_core.selection import Recipe, SetCondition, WhereCondition
from ftft_core.workspace import Workspace
from tests.conftest import write_suite_files


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace with one imported run of 20 examples and 3 epochs."""
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(3, 20, 2)).astype(np.float32)
    dynamics = TrainingDynamics.from_arrays(range(20), generator.integers(2, size=20), logits)
    made = Workspace(tmp_path / "workspace")
    made.import_dynamics(dynamics, name="small")
    return made


def test_removing_a_run_of_another_machine_kills_nobody_here(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_module, "_STOP_SECONDS", 0.2)
    workspace = Workspace(tmp_path / "workspace")
    workspace.add_suite("reviews", write_suite_files(tmp_path / "suite"))
    run_id = workspace.queue_run(RunConfig(suite="reviews", model=str(tiny_model), budget=BudgetConfig(epochs=1)))
    folder = RunFolder(workspace.folder / "runs" / run_id)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as stranger:
        state = {"status": "running", "message": "", "since": time.time(), "pid": stranger.pid}
        started = psutil.Process(stranger.pid).create_time()
        write_json(folder.path / "state.json", {**state, "pid_started": started, "host": f"not-{socket.gethostname()}"})
        with pytest.raises(RunError, match=r"trains on not-.* and did not stop"):
            workspace.remove_run(run_id)
        assert stranger.poll() is None
        stranger.kill()


def test_a_model_folder_of_any_name_gives_a_run_that_can_be_named(tmp_path: Path, tiny_model: Path) -> None:
    folder = tmp_path / "modèle 2"
    folder.symlink_to(tiny_model)
    workspace = Workspace(tmp_path / "workspace")
    workspace.add_suite("reviews", write_suite_files(tmp_path / "suite"))
    run_id = workspace.queue_run(RunConfig(suite="reviews", model=str(folder), budget=BudgetConfig(epochs=1)))
    config = RunConfig.model_validate_json(
        json.dumps(RunFolder(workspace.folder / "runs" / run_id).read_run()["config"])
    )
    assert config.name == workspace.run(run_id)["name"]
    assert str(config.name).isascii()


def test_a_subset_stays_while_another_is_made_from_it(workspace: Workspace) -> None:
    first = workspace.save_subset(Recipe(source_run="small", strategy="ambiguous", fraction=0.5), name="first")
    low = Recipe(source_run="small", conditions=(WhereCondition(expression="confidence < 0.9"),))
    second = workspace.save_subset(low, name="second")
    both = SetCondition(expression="first & second", operands={"first": first.subset, "second": second.subset})
    workspace.save_subset(Recipe(conditions=(both,)), name="both")
    with pytest.raises(InputError, match="others were made from it") as refused:
        workspace.remove_subset("first")
    assert refused.value.problems == ["subset both"]
    workspace.remove_subset("both")
    workspace.remove_subset("first")


def test_a_subset_made_again_says_what_would_differ(workspace: Workspace) -> None:
    kept = workspace.save_subset(Recipe(source_run="small", strategy="hard", fraction=0.4))
    assert not workspace.remake_subset(kept.name).differs
    with workspace.database.writing() as connection:
        # As if the map had changed: what was least confident is now most confident.
        connection.execute("UPDATE base.data_map SET confidence = 1 - confidence")
    made = workspace.remake_subset(kept.name)
    assert made.num_added == made.num_lost > 0
    assert made.size == kept.size


def test_an_epoch_cut_short_is_never_whole(tmp_path: Path) -> None:
    dynamics = TrainingDynamics.from_arrays(
        range(6), [0, 1] * 3, np.ones((2, 6, 2)), seen=np.array([[True] * 6, [True] * 3 + [False] * 3])
    )
    workspace = Workspace(tmp_path / "workspace")
    workspace.import_dynamics(dynamics, name="cut")
    with workspace.database.writing() as connection:
        # What is left is the half of an epoch, as of a run that was stopped in its first.
        connection.execute("DELETE FROM base.dynamics WHERE epoch = 0")
        connection.execute("DELETE FROM base.epochs WHERE epoch = 0")
    assert len(workspace.dynamics("cut").counted_epochs) == 0
    with pytest.raises(RunError, match="ended before any epoch had seen every example"):
        workspace.data_map("cut")


def test_an_unknown_cost_can_not_be_matched(workspace: Workspace) -> None:
    with pytest.raises(RunError, match="is not known, so nothing can match it"):
        workspace.total_flops("small")


def test_the_suite_of_imported_dynamics_goes_with_its_run(workspace: Workspace) -> None:
    assert workspace.suites()["suite"].tolist() == ["small"]
    workspace.remove_run("small")
    assert workspace.suites().empty


def test_a_workspace_needs_a_name() -> None:
    with pytest.raises(InputError, match="empty name; give a folder"):
        Workspace("")
