"""The workspace in Python: references of runs, imported runs, progress, and what training refuses."""

from __future__ import annotations

import math
import re
import shutil
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from ftft_core.config import BudgetConfig, RunConfig
from ftft_core.errors import InputError, NameTakenError, NotFoundError
from ftft_core.jobs import Queue
from ftft_core.run_folder import RunFolder, write_parquet
from ftft_core.selection import IdsCondition, Recipe, SetCondition
from ftft_core.workspace import Workspace
from tests.conftest import write_suite_files
from tests.ui_workspace import NUM_TRAIN, finish, leave_predictions, make_workspace, queue


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make_workspace(tmp_path_factory.mktemp("workspace"))


@pytest.fixture
def workspace(toy: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A copy; nothing that is queued in it is ever trained."""
    monkeypatch.setattr(Queue, "ensure_worker", lambda _: None)
    shutil.copytree(toy.folder, tmp_path / "workspace")
    return Workspace(tmp_path / "workspace")


def config(workspace: Workspace, **changes: object) -> RunConfig:
    values = {"suite": "toy", "model": workspace.run("map-run")["model"], "method": "ftft", **changes}
    return RunConfig.model_validate(values)


def combined(workspace: Workspace, expression: str, *names: str) -> str:
    operands = {name: workspace.subset(name).subset for name in names}
    return workspace.save_subset(Recipe(conditions=(SetCondition(expression=expression, operands=operands),))).subset


def selected(workspace: Workspace, run: str, strategy: str) -> str:
    return workspace.save_subset(Recipe(source_run=run, strategy=strategy, fraction=0.5), name=f"{run}-{strategy}").name


# -- references --------------------------------------------------------------------------------------------------------


def test_the_reference_is_the_run_that_the_subset_came_from(workspace: Workspace) -> None:
    source = workspace.run("map-run")["run_id"]
    run = workspace.submit(config(workspace, subset="ambiguous-33"))
    row = workspace.run(run)
    assert (row["reference_run"], row["fraction"]) == (source, 79 / NUM_TRAIN)
    kept = RunConfig.model_validate_json(row["config"])
    assert (kept.subset, kept.reference) == (row["subset"], source)  # Ids: names may be given anew.


def test_the_reference_is_found_through_combined_subsets(workspace: Workspace) -> None:
    hard, easy = (selected(workspace, "map-run", strategy) for strategy in ("hard", "easy"))
    once = combined(workspace, f"{hard} | {easy}", hard, easy)
    twice = combined(workspace, f"{once} - ambiguous-33", once, "ambiguous-33")
    run = workspace.submit(config(workspace, subset=twice))
    assert workspace.run(run)["reference_run"] == workspace.run("map-run")["run_id"]


def test_the_reference_must_be_named_where_it_does_not_follow(workspace: Workspace) -> None:
    workspace.import_dynamics(workspace.dynamics("map-run"), name="other", suite="toy")
    other = selected(workspace, "other", "hard")
    by_two = combined(workspace, f"{other} | ambiguous-33", other, "ambiguous-33")
    by_hand = workspace.save_subset(Recipe(conditions=(IdsCondition(example_ids=("3", "5")),)), suite="toy").subset
    for subset in (by_two, by_hand):
        with pytest.raises(InputError, match=r"Method 'ftft' needs to know .* Name the run with --reference"):
            workspace.submit(config(workspace, subset=subset))
        run = workspace.submit(config(workspace, subset=subset, reference="map-run"))
        assert workspace.run(run)["reference_run"] == workspace.run("map-run")["run_id"]
    # A method that costs no reference has none.
    assert workspace.run(workspace.submit(config(workspace, subset=by_two, method="random")))["reference_run"] is None


def test_a_reference_on_another_suite_is_refused(workspace: Workspace) -> None:
    workspace.import_dynamics(workspace.dynamics("map-run"), name="alien")
    with pytest.raises(InputError, match="Reference 'alien' is a run on suite 'alien', not on 'toy'"):
        workspace.submit(config(workspace, subset="ambiguous-33", reference="alien"))
    with pytest.raises(NotFoundError, match="There is no run 'map'"):
        workspace.submit(config(workspace, subset="ambiguous-33", reference="map"))


def test_an_imported_reference_leaves_the_cost_unknown(workspace: Workspace) -> None:
    workspace.import_dynamics(workspace.dynamics("map-run"), name="other", suite="toy")
    subset = selected(workspace, "other", "hard")
    run = queue(workspace, Path(workspace.run("map-run")["model"]), name="costless", method="ftft", subset=subset)
    leave_predictions(workspace, run, skill=1.0, seed=0)
    finish(workspace, run, flops=2e9)
    report = workspace.compare("toy")
    of_it = report.rows[report.rows["reference_model"] == "imported"]
    assert len(of_it) == 12
    assert of_it["cost_share"].isna().all()
    assert of_it["delta"].notna().any()
    costs = report.costs[report.costs["reference_model"] == "imported"].iloc[0]
    assert math.isnan(costs["flops"])
    assert math.isnan(costs["optimizer_steps"])
    assert any("FLOPs of some runs are not known" in note for note in report.notes)


# -- imported dynamics -------------------------------------------------------------------------------------------------


def test_imported_dynamics_may_speak_of_a_part_of_the_training_data(workspace: Workspace) -> None:
    whole = workspace.dynamics("map-run")
    part = replace(
        whole,
        example_ids=whole.example_ids[10:40],
        labels=whole.labels[10:40],
        logits=whole.logits[:, 10:40],
        seen=whole.seen[:, 10:40],
    )
    run = workspace.import_dynamics(part, name="part", suite="toy")
    data_map = workspace.data_map(run)
    assert data_map["example_id"].tolist() == [str(row) for row in range(10, 40)]
    assert workspace.run(run)["fraction"] == 30 / NUM_TRAIN
    full = workspace.data_map("map-run").iloc[10:40]
    np.testing.assert_array_equal(data_map["variability"], full["variability"])


def test_dynamics_of_other_data_are_refused_whole(workspace: Workspace) -> None:
    dynamics = workspace.dynamics("map-run")
    ids = dynamics.example_ids.copy()
    ids[0] = "stranger"
    with pytest.raises(InputError, match=r"(?s)do not belong to suite 'toy'.*1 of 240 ids .* such as stranger"):
        workspace.import_dynamics(replace(dynamics, example_ids=ids), name="x", suite="toy")
    with pytest.raises(InputError, match=r"(?s)240 gold labels differ from the suite's, the first of '0'"):
        workspace.import_dynamics(replace(dynamics, labels=1 - dynamics.labels), name="x", suite="toy")
    with pytest.raises(InputError, match=r"name: received '\.\./x'"):
        workspace.import_dynamics(dynamics, name="../x")
    with pytest.raises(NameTakenError, match="A suite named 'toy' is there already"):
        workspace.import_dynamics(dynamics, name="toy")
    assert "x" not in set(workspace.runs()["name"])
    assert set(workspace.suites()["suite"]) == {"toy"}


# -- subsets, suites, progress -----------------------------------------------------------------------------------------


def test_a_subset_has_a_free_name_of_its_own(workspace: Workspace) -> None:
    recipe = Recipe(source_run="map-run", strategy="hard", fraction=0.25)
    names = [workspace.save_subset(recipe).name for _ in range(3)]
    assert names == ["hard-25", "hard-25-2", "hard-25-3"]
    found = workspace.find_or_save_subset(recipe.model_copy(update={"source_run": workspace.run("map-run")["run_id"]}))
    assert found.name == "hard-25"
    for name in ("", "a b", "-x", "x" * 101):
        with pytest.raises(InputError, match=re.escape(f"name: received '{name}'; allowed are letters")):
            workspace.save_subset(recipe, name=name)


def test_two_suites_of_the_same_data_share_their_files(workspace: Workspace, tmp_path: Path) -> None:
    spec = write_suite_files(tmp_path / "data")
    first, second = (workspace.add_suite(name, spec) for name in ("one", "two"))
    assert first.fingerprint == second.fingerprint
    folder = workspace.folder / "suites" / first.fingerprint
    workspace.remove_suite("one")
    assert folder.is_dir()
    workspace.remove_suite("two")
    assert not folder.exists()


def test_progress_of_a_run_that_waits_is_mostly_unknown(workspace: Workspace) -> None:
    run = workspace.submit(config(workspace, method="erm", name="waits"))
    progress = workspace.progress("waits")
    assert (progress.status, progress.fraction) == ("queued", 0.0)
    assert (progress.step, progress.seconds_left, progress.loss, progress.dev_scores) == (None, None, None, {})
    assert workspace.loss_history(run).empty
    assert workspace.log_tail(run) == ""
    queue_frame = workspace.queue()
    assert queue_frame[["name", "status", "position"]].to_numpy().tolist() == [["waits", "queued", 1]]


def test_progress_of_a_finished_run_is_whole(workspace: Workspace) -> None:
    progress = workspace.progress("erm-0")
    assert (progress.status, progress.fraction, progress.seconds_left) == ("finished", 1.0, 0.0)
    assert progress.dev_scores == {"accuracy": 0.75, "macro_f1": 0.7, "ece": 0.1}
    history = workspace.loss_history("erm-0")
    assert list(history.columns) == ["step", "epoch", "loss", "learning_rate", "dev_accuracy"]
    assert history["dev_accuracy"].dropna().tolist() == [0.75]


def test_a_state_that_another_process_wrote_since_is_not_overwritten(workspace: Workspace) -> None:
    run = workspace.submit(config(workspace, method="erm", name="raced"))
    folder = workspace.run_folder(run)
    folder.claim("training")
    settle = Queue.settle

    def settle_then_finish(queue: Queue, looked_at: RunFolder) -> dict[str, object]:
        state = settle(queue, looked_at)
        if looked_at.run_id == run:
            folder.set_status("finished")
        return state

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Queue, "settle", settle_then_finish)
        workspace.sync()
    assert workspace.run(run)["status"] == "finished"


# -- what training refuses ---------------------------------------------------------------------------------------------


@pytest.fixture
def signals() -> Iterator[None]:
    """Training listens to signals: this process gets its own ways back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize("change", ["rows", "garbage"])
def test_a_run_on_data_that_were_changed_fails(
    workspace: Workspace, tmp_path: Path, tiny_model: Path, change: str
) -> None:
    from ftft_core.training.__main__ import main

    suite = workspace.add_suite("reviews", write_suite_files(tmp_path / "data"))
    budget = BudgetConfig(max_steps=1)
    run = workspace.submit(RunConfig(suite="reviews", model=str(tiny_model), budget=budget, name="doubtful"))
    path = workspace.folder / "suites" / suite.fingerprint / "train.parquet"
    if change == "rows":
        write_parquet(path, pq.read_table(path).slice(1))
    else:
        path.write_bytes(b"garbage")
    assert main(workspace.run_folder(run)) == 1
    workspace.sync()
    row = workspace.run(run)
    assert row["status"] == "failed"
    assert "train" in row["message"]
    assert re.search(r"changed|can't be read|cannot be read", row["message"]), row["message"]
