"""Working an experiment off: with a trainer that needs no time, and with the real one."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from ftft_core.config import TRACKERS, BudgetConfig, RunConfig, missing_trackers
from ftft_core.errors import InputError, NotFoundError, RunError, WorkspaceBusyError
from ftft_core.experiments import PlannedRun, Recipe, plan_experiment, preview, run_experiment
from ftft_core.experiments import running as running_module
from ftft_core.experiments.running import stop_runs
from ftft_core.jobs import Queue
from ftft_core.run_folder import RunFolder
from ftft_core.workspace import Workspace
from tests.conftest import CommandLine, environment, write_suite_files
from tests.test_experiments import recipe_of
from tests.ui_workspace import leave_dynamics, make_workspace

DEADLINE_SECONDS = 240


class Instant:
    """Stands in for worker and trainer: what is queued is finished at once, or fails."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.trained: list[RunConfig] = []
        self.failing: Callable[[RunConfig], bool] = lambda _: False
        self.flops_of_step: Callable[[RunConfig], float] = lambda _: 1e6
        self.epochs_of: Callable[[RunConfig], bool] = lambda config: config.method in {"reference", "erm"}

    def work(self) -> None:
        for folder in self.workspace._queue.waiting():
            self.train(folder)

    def train(self, folder: RunFolder) -> None:
        config = RunConfig.model_validate(folder.read_run()["config"])
        self.trained.append(config)
        if self.failing(config):
            folder.set_status("failed", "on purpose")
            return
        if self.epochs_of(config):
            leave_dynamics(self.workspace, folder.run_id)
        steps = config.budget.max_steps or 8
        folder.write_progress(
            {
                "step": steps,
                "num_steps": steps,
                "train_flops": self.flops_of_step(config) * steps,
                "train_seconds": 1.0,
                "examples_seen": 8 * steps,
            }
        )
        stopping_flops = 5e5 if config.stop == "patience" else 0.0
        folder.set_status("finished", stopping_flops=stopping_flops, stopping_seconds=stopping_flops / 1e6)

    @property
    def methods(self) -> list[tuple[str, int]]:
        return [(config.method, config.seed) for config in self.trained]


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make_workspace(tmp_path_factory.mktemp("experiments"), with_comparison=False)


@pytest.fixture
def instant(toy: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Instant:
    shutil.copytree(toy.folder, tmp_path / "workspace")
    made = Instant(Workspace(tmp_path / "workspace"))
    made.workspace.database.linger()
    monkeypatch.setattr(Queue, "ensure_worker", lambda _: made.work())
    monkeypatch.setattr(running_module, "_LONGEST_PAUSE_SECONDS", 0.0)
    return made


def toy_recipe(instant: Instant, folder: Path, **changes: Any) -> Recipe:
    model = instant.workspace.run("map-run")["model"]
    values = {"suite": "toy", "main_model": {"model": model}, "epochs": 6, "seeds": [0, 1]}
    return recipe_of(folder, **{**values, "reference_model": {"model": model, "layers": 1, "epochs": 2}, **changes})


def conduct(workspace: Workspace, recipe: Recipe) -> list[PlannedRun]:
    planned = plan_experiment(workspace, recipe)
    rounds = iter(range(200))

    def watch(_: object) -> None:
        assert next(rounds, None) is not None, [(run.key, run.status) for run in planned]

    run_experiment(workspace, planned, watch=watch)
    return planned


def test_an_experiment_trains_everything_once_and_nothing_twice(instant: Instant, tmp_path: Path) -> None:
    recipe = toy_recipe(instant, tmp_path)
    planned = conduct(instant.workspace, recipe)
    assert {run.status for run in planned} == {"finished"}
    names = ("erm", "reference", "ftft", "erm_matched", "cartography", "random")
    assert sorted(instant.methods) == sorted((name, seed) for name in names for seed in (0, 1))

    by = {(config.method, config.seed): config for config in instant.trained}
    full = 6 * 8  # 240 examples in batches of 32 are 8 steps
    assert by["erm", 0].budget.max_steps == by["cartography", 0].budget.max_steps == full
    assert by["ftft", 0].budget.max_steps == by["random", 0].budget.max_steps == 16
    assert by["erm_matched", 1].budget.max_flops == pytest.approx(1e6 * (16 + 8))
    rows = instant.workspace.runs().set_index("run_id")
    for run in planned:
        row = rows.loc[run.run_id]
        if run.method in {"ftft", "cartography"}:
            source = rows.loc[row["reference_run"]]
            assert (source["method"], source["seed"]) == ("reference" if run.method == "ftft" else "erm", run.seed)

    again = conduct(instant.workspace, recipe)
    assert [run.run_id for run in again] == [run.run_id for run in planned]
    assert len(instant.trained) == 12
    # One method more trains that one alone; another path of the same model is the same model.
    model = Path(recipe.main_model.model)
    other = {"model": str(model.parent / "." / ".." / model.parent.name / model.name)}
    more = toy_recipe(instant, tmp_path, methods=["erm", "hard"], main_model=other)
    conduct(instant.workspace, more)
    assert instant.methods[12:] == [("hard", 0), ("hard", 1)]


@pytest.fixture
def one_by_one(instant: Instant, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Has nothing trained by itself, and gives what trains the run that is next."""
    monkeypatch.setattr(Queue, "ensure_worker", lambda _: None)

    def train_the_next() -> None:
        for folder in instant.workspace._queue.waiting()[:1]:
            instant.train(folder)

    return train_the_next


def test_a_seed_is_complete_before_the_next_one_begins(
    instant: Instant, tmp_path: Path, one_by_one: Callable[[], None]
) -> None:
    planned = plan_experiment(instant.workspace, toy_recipe(instant, tmp_path))
    run_experiment(instant.workspace, planned, watch=lambda _: one_by_one())
    assert {run.status for run in planned} == {"finished"}
    assert [seed for _, seed in instant.methods] == sorted(seed for _, seed in instant.methods)


def test_a_run_that_somebody_removes_is_missing_alone(
    instant: Instant, tmp_path: Path, one_by_one: Callable[[], None]
) -> None:
    planned = plan_experiment(instant.workspace, toy_recipe(instant, tmp_path, methods=["random", "erm"]))
    (first,) = [run for run in planned if (run.method, run.seed) == ("random", 0)]

    def watch(_: object) -> None:
        if first.status == "finished":
            instant.workspace.remove_run(str(first.run_id))
        one_by_one()

    with pytest.raises(RunError) as failure:
        run_experiment(instant.workspace, planned, watch=watch)
    assert failure.value.problems == ["random, seed 0: removed (somebody removed it)"]
    assert Counter(run.status for run in planned) == {"finished": 3, "removed": 1}
    stop_runs(instant.workspace, planned)  # which has nothing to stop, and does not stumble over it


def test_a_database_that_is_busy_makes_no_run_fail(
    instant: Instant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit, refusals = Workspace.submit, iter(range(2))

    def refuse_twice(workspace: Workspace, config: RunConfig) -> str:
        if next(refusals, None) is not None:
            raise WorkspaceBusyError("Another process has had the database open for 30 seconds.")
        return submit(workspace, config)

    monkeypatch.setattr(Workspace, "submit", refuse_twice)
    planned = conduct(instant.workspace, toy_recipe(instant, tmp_path, methods=["erm"]))
    assert {run.status for run in planned} == {"finished"}


def test_main_models_that_stop_by_patience_cost_what_they_looked_at(instant: Instant, tmp_path: Path) -> None:
    model = instant.workspace.run("map-run")["model"]
    stopping = {"stop": "patience", "patience": 5, "evaluate_every": 7}
    reference = {"model": model, "layers": 1, "epochs": 4, "stop": "settled", "settled_overlap": 0.6}
    changes = {"main_model": {"model": model, **stopping}, "reference_model": reference, "seeds": [0]}
    conduct(instant.workspace, toy_recipe(instant, tmp_path, methods=["erm", "erm_matched", "ftft"], **changes))
    by = {config.method: config for config in instant.trained}
    assert (by["erm"].stop, by["erm"].patience, by["ftft"].evaluate_every) == ("patience", 5, 7)
    assert by["reference"].stop_values == {"stop": "settled", "settled_overlap": 0.6, "settled_fraction": 1 / 3}
    # What it is to match is a cost, so it has nothing to stop it; and that cost holds the passes over dev.
    assert by["erm_matched"].stop is None
    assert by["erm_matched"].budget.max_flops == pytest.approx(1e6 * (16 + 8) + 5e5)


def test_runs_that_were_trained_by_hand_are_used(instant: Instant, tmp_path: Path) -> None:
    recipe = toy_recipe(instant, tmp_path, methods=["ftft"], seeds=[0])
    conduct(instant.workspace, recipe)
    planned = plan_experiment(instant.workspace, recipe)
    row = instant.workspace.run(str(planned[1].run_id))
    subset = instant.workspace.subset(row["subset"])
    by_name = RunConfig.model_validate_json(row["config"]).model_copy(
        update={"subset": subset.name, "reference": None, "name": "mine"}
    )
    instant.workspace.remove_run(row["run_id"])
    mine = instant.workspace.submit(by_name)
    assert conduct(instant.workspace, recipe)[1].run_id == mine


def test_a_budget_in_epochs_is_the_one_in_steps_that_it_comes_to(instant: Instant, tmp_path: Path) -> None:
    recipe = toy_recipe(instant, tmp_path, methods=["erm"], seeds=[0])
    training = recipe.training.of("main")
    model = recipe.main_model.model
    others = [BudgetConfig(epochs=5), BudgetConfig(max_flops=6e6)]
    watched = training.model_copy(update={"snapshots": 3, "checkpoint_seconds": 9.0, "trackers": ("tensorboard",)})
    for budget in (*others, BudgetConfig(epochs=6)):
        mine = instant.workspace.submit(RunConfig(suite="toy", model=model, budget=budget, training=watched))
    assert [run.run_id for run in conduct(instant.workspace, recipe)] == [mine]
    in_steps = toy_recipe(instant, tmp_path, methods=["erm"], seeds=[0], epochs=None, max_steps=48)
    assert [run.run_id for run in conduct(instant.workspace, in_steps)] == [mine]
    assert len(instant.trained) == 3


def test_a_tracker_that_is_not_installed_is_told_before_anything_starts(instant: Instant, tmp_path: Path) -> None:
    lacked = next((name for name in TRACKERS if missing_trackers([name])), None)
    if lacked is None:
        pytest.skip("every tracker is installed")
    logged = toy_recipe(instant, tmp_path, methods=["erm"], seeds=[0], training={"main": {"trackers": [lacked]}})
    problems = preview(instant.workspace, logged).problems
    assert len([problem for problem in problems if f"`pip install {lacked}`" in problem]) == 1
    assert instant.trained == []


def test_imported_runs_do_not_stand_in_the_way(instant: Instant, tmp_path: Path) -> None:
    workspace = instant.workspace
    workspace.import_dynamics(workspace.dynamics("map-run"), name="imported", suite="toy")
    conduct(workspace, toy_recipe(instant, tmp_path, methods=["erm"], seeds=[0]))
    assert instant.methods == [("erm", 0)]


def test_what_depends_on_a_failed_run_is_skipped_and_the_rest_finishes(instant: Instant, tmp_path: Path) -> None:
    instant.failing = lambda config: config.method == "reference" and config.seed == 0
    recipe = toy_recipe(instant, tmp_path)
    planned = plan_experiment(instant.workspace, recipe)
    with pytest.raises(
        RunError, match=r"3 of 12 runs did not finish; once the reasons are gone, run the experiment again"
    ) as caught:
        run_experiment(instant.workspace, planned, watch=lambda _: None)
    said = " | ".join(caught.value.problems)
    assert "failed (on purpose)" in said
    assert said.count("skipped (it needs a run that did not finish: ") == 2
    assert {run.status for run in planned if run.seed == 1} == {"finished"}
    assert {run.method for run in planned if run.status == "skipped"} == {"ftft", "erm_matched"}

    # Again: the failed one is resumed, and what it held up follows.
    instant.failing = lambda _: False
    assert {run.status for run in conduct(instant.workspace, recipe)} == {"finished"}
    assert instant.methods[10:] == [("reference", 0), ("ftft", 0), ("erm_matched", 0)]


def test_a_selection_that_cannot_be_made_fails_its_run_alone(instant: Instant, tmp_path: Path) -> None:
    instant.epochs_of = lambda config: config.method == "erm"  # References record nothing.
    recipe = toy_recipe(instant, tmp_path, seeds=[0])
    planned = plan_experiment(instant.workspace, recipe)
    with pytest.raises(RunError, match=r"2 of 6 runs did not finish") as caught:
        run_experiment(instant.workspace, planned, watch=lambda _: None)
    assert "ended before any epoch had seen every example" in caught.value.problems[0]
    assert {run.method for run in planned if run.status == "finished"} == {"erm", "reference", "cartography", "random"}


def test_an_end_that_comes_while_we_look_is_not_missed(
    instant: Instant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run ends right after the database was brought up to date: the next look must see it."""
    waiting: list[RunFolder] = []
    monkeypatch.setattr(Queue, "ensure_worker", lambda queue: waiting.extend(queue.waiting()))
    advance = running_module._advance

    def advance_then_finish(*arguments: Any, **settings: Any) -> None:
        advance(*arguments, **settings)
        while waiting:
            instant.train(waiting.pop())

    monkeypatch.setattr(running_module, "_advance", advance_then_finish)
    planned = conduct(instant.workspace, toy_recipe(instant, tmp_path, methods=["ftft", "erm_matched"], seeds=[0]))
    assert {run.status for run in planned} == {"finished"}


def test_a_plan_needs_its_suite_and_models(instant: Instant, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="There is no suite 'hate'"):
        plan_experiment(instant.workspace, toy_recipe(instant, tmp_path, suite="hate"))
    model = instant.workspace.run("map-run")["model"]
    with pytest.raises(InputError, match="layers: received 9, but model"):
        plan_experiment(instant.workspace, toy_recipe(instant, tmp_path, main_model={"model": model, "layers": 9}))


# -- the real thing ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_stopped_experiment_goes_on_and_its_costs_match(bare: CommandLine, tmp_path: Path, tiny_model: Path) -> None:
    folder = tmp_path / "workspace"
    workspace = Workspace(folder)
    workspace.add_suite("reviews", write_suite_files(tmp_path / "suite", num_train=240))
    recipe = {
        "suite": "reviews",
        "main_model": {"model": str(tiny_model)},
        "reference_model": {"model": str(tiny_model), "layers": 1, "max_steps": 400},
        "methods": ["ftft", "erm_matched"],
        "epochs": 3,
        "training": {"batch_size": 4, "learning_rate": 1e-3, "checkpoint_seconds": 0.5},
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")

    command = [sys.executable, "-m", "ftft_core", "experiment", str(path), "--no-warm-up", "--json"]
    with subprocess.Popen(command, env=environment(folder), stdout=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not any((run / "progress.json").exists() for run in (folder / "runs").iterdir()):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        stdout, _ = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 1, stdout
    assert "Stopped; the same command goes on from here" in stdout
    reference = workspace.runs().iloc[0]
    assert (reference["method"], reference["status"]) == ("reference", "cancelled")
    while any(str(folder) in " ".join(each.info["cmdline"] or []) for each in psutil.process_iter(["cmdline"])):
        assert time.monotonic() < deadline, "no process may be left"
        time.sleep(0.2)

    answer = bare("experiment", path, "--no-warm-up", "--json")
    assert answer.exit_code == 0, answer.stdout
    assert set(answer.json) == {"suite", "runs"}
    assert [run["status"] for run in answer.json["runs"]] == ["finished"] * 3
    rows = workspace.runs().set_index("method")
    assert rows.loc["reference", "run_id"] == reference["run_id"]
    assert rows.loc["reference", "resumed_from_step"] > 0
    assert rows.loc["reference", "num_optimizer_steps"] == 400
    assert rows.loc["ftft", "num_optimizer_steps"] == 60  # A third of 3 epochs of 60 steps.

    # Within one step of what FTFT cost with its reference; a long batch costs up to twice what the mean one does.
    matched = rows.loc["erm_matched"]
    cost = rows.loc["ftft", "train_flops"] + rows.loc["reference", "train_flops"]
    assert matched["train_flops"] == pytest.approx(
        cost, abs=2 * matched["train_flops"] / matched["num_optimizer_steps"]
    )

    before = [run["run_id"] for run in answer.json["runs"]]
    again = bare("experiment", path, "--json")
    assert [run["run_id"] for run in again.json["runs"]] == before
    assert len(workspace.runs()) == 3
