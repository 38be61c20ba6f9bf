"""Experiments with every method: what they expand to, what they share, and that all of them finish and cost."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ftft_core.config import METHODS, RunConfig, parse
from ftft_core.errors import InputError
from ftft_core.experiments import PlannedRun, Recipe, plan_experiment, read_recipe, run_experiment
from ftft_core.experiments import running as running_module
from ftft_core.experiments.planning import model_key, plan
from ftft_core.jobs import Queue
from ftft_core.run_folder import RunFolder, write_parquet
from ftft_core.training.__main__ import main
from ftft_core.workspace import Workspace
from tests.conftest import ROOT, write_suite_files
from tests.ui_workspace import NUM_TRAIN, leave_dynamics, make_workspace

COMPARED = [name for name in METHODS if name != "reference"]
RECIPE: dict[str, Any] = {
    "suite": "s",
    "main_model": {"model": "big"},
    "reference_model": [{"model": "small", "epochs": 2}],
    "methods": COMPARED,
    "epochs": 6,
}


def recipe_of(**changes: Any) -> Recipe:
    values = {key: value for key, value in {**RECIPE, **changes}.items() if value is not None}
    return parse(Recipe, values, what="The recipe")


def expand(recipe: Recipe, **settings: Any) -> list[PlannedRun]:
    models = [recipe.main_model, *recipe.reference_model]
    layers = {model_key(each.model, each.layers): each.layers or 12 for each in models}
    return plan(recipe, num_train=320, num_layers=layers, **settings)


def config_of(run: PlannedRun) -> RunConfig:
    """The configuration of a run that needs no workspace to be made."""
    return run.make_config(None, {key: f"id of {key}" for key in run.needs})  # type: ignore[arg-type]


# -- what a recipe expands to ------------------------------------------------------------------------------------------


def test_every_method_is_one_run_and_all_share_one_reference() -> None:
    runs = expand(recipe_of())
    assert Counter(run.method for run in runs) == dict.fromkeys(METHODS, 1)
    by = {run.method: run for run in runs}
    reference = by["reference"].key
    for method in ("ftft", "hard", "easy", "forgetting", "el2n", "aum", "jtt", "poe", "curriculum"):
        assert by[method].needs == (reference,)
    assert by["cartography"].needs == (by["erm"].key,)
    assert by["erm_matched"].needs == (by["ftft"].key,)
    assert not any(by[method].needs for method in ("erm", "random", "focal", "reference"))


def test_methods_on_all_the_data_have_the_full_budget_and_no_fractions() -> None:
    references = [{"model": "small"}, {"model": "small", "layers": 2}]
    runs = expand(recipe_of(fraction=[0.1, 0.5], reference_model=references))
    counted = Counter(run.method for run in runs)
    assert [counted[method] for method in ("jtt", "poe", "curriculum", "focal", "erm")] == [2, 2, 2, 1, 1]
    assert [counted[method] for method in ("ftft", "cartography", "random")] == [4, 2, 2]
    for run in runs:
        if run.method in {"jtt", "poe", "curriculum", "focal"}:
            config = config_of(run)
            assert (config.budget.max_steps, config.subset) == (60, None)  # 320 examples in batches of 32, 6 epochs
            assert config.reference == (None if run.method == "focal" else f"id of {run.needs[0]}")


def test_the_weight_of_errors_is_that_of_the_recipe() -> None:
    for given, used in ((None, 5.0), (20, 20.0)):
        runs = {run.method: run for run in expand(recipe_of(error_weight=given))}
        assert config_of(runs["jtt"]).error_weight == used
        assert config_of(runs["poe"]).error_weight is None


def test_references_look_for_their_errors_only_for_jtt() -> None:
    for methods, looks in ((["ftft", "poe"], False), (["ftft", "jtt"], True)):
        runs = {run.method: run for run in expand(recipe_of(methods=methods))}
        assert config_of(runs["reference"]).error_pass is looks


def test_a_reference_that_is_there_goes_on_to_serve_the_others() -> None:
    runs = expand(recipe_of(methods=["ftft", "jtt", "poe"]), is_there=lambda config: not config.error_pass)
    references = {run.key: config_of(run).error_pass for run in runs if run.method == "reference"}
    assert references == {
        "reference, small, seed 0": False,
        "reference, small, with its errors, seed 0": True,
    }
    needs = {run.method: run.needs[0] for run in runs if run.needs}
    assert needs["ftft"] == needs["poe"] == "reference, small, seed 0"
    assert needs["jtt"] == "reference, small, with its errors, seed 0"


def test_what_a_recipe_can_not_ask_of_these_methods_is_told_at_once() -> None:
    with pytest.raises(InputError) as caught:
        recipe_of(reference_model=None, methods=["erm", "jtt", "poe", "focal", "curriculum"], fraction=2, epochs=None)
    assert "A reference_model is needed by jtt, poe, curriculum, but missing" in caught.value.problems
    assert len(caught.value.problems) == 3
    with pytest.raises(InputError) as caught:
        recipe_of(
            methods=["jtt"],
            error_weight=0.5,
            reference_model=[{"model": "r", "epochs": 0.5}, {"model": "r", "epochs": 1}],
        )
    assert caught.value.problems == [
        "error_weight: received 0.5; it must be at least 1.",
        "reference_model: received 0.5 epochs; method jtt looks for errors after the first one, so give at least 1",
    ]
    with pytest.raises(InputError) as caught:
        recipe_of(
            methods=["ftft", "cartography", "poe"],
            epochs=1,
            reference_model=[{"model": "r"}, {"model": "s", "epochs": 2}],
        )
    assert caught.value.problems == [
        "epochs: received 1; cartography chooses by what changes from epoch to epoch, so give at least 2",
        "reference_model: received 1 epochs; ftft chooses by what changes from epoch to epoch, so give at least 2",
    ]
    with pytest.raises(InputError, match=r"received 0\.5 epochs; a map takes an epoch that saw every example"):
        recipe_of(methods=["poe", "el2n"], reference_model={"model": "r", "epochs": 0.5})
    with pytest.raises(InputError, match="error_weight: only method jtt knows it, and is not among the methods"):
        recipe_of(error_weight=5, methods=["erm", "ftft"])
    assert recipe_of(methods=["erm", "focal"], reference_model=None).methods == ("erm", "focal")


@pytest.mark.parametrize(
    ("method", "steps", "said"),
    [
        ("jtt", 9, "reference small is 9 steps, but an epoch has 10: method jtt looks for errors after the first one"),
        ("poe", 9, "reference small is 9 steps, but an epoch has 10: a map takes an epoch that saw every example"),
        ("ftft", 19, "reference small is 19 steps, but an epoch has 10: ftft chooses by what changes"),
    ],
)
def test_a_reference_of_too_few_steps_is_told_before_anything_starts(method: str, steps: int, said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        expand(recipe_of(methods=[method], reference_model=[{"model": "small", "max_steps": steps}]))
    assert expand(recipe_of(methods=[method], reference_model=[{"model": "small", "max_steps": steps + 1}]))


def test_matched_erm_needs_the_map_that_ftft_needs() -> None:
    with pytest.raises(InputError, match="received 1 epochs; ftft chooses by what changes from epoch to epoch"):
        recipe_of(methods=["erm", "erm_matched"], reference_model={"model": "r", "epochs": 1})


def test_every_budget_that_is_too_short_is_told_and_what_is_excluded_makes_no_steps() -> None:
    references = [{"model": "small", "max_steps": 19}, {"model": "smaller", "max_steps": 15}]
    recipe = recipe_of(methods=["ftft"], reference_model=references)
    with pytest.raises(InputError) as caught:
        expand(recipe)
    assert [problem[:32] for problem in caught.value.problems] == [
        "The budget of reference small is", "The budget of reference smaller ",
    ]  # fmt: skip
    # Of 320 examples 96 are excluded: 7 steps of 32 are left of an epoch of 10.
    assert expand(recipe, num_excluded=96)


def test_a_budget_of_too_few_steps_for_the_main_model_s_own_map_is_told() -> None:
    recipe = recipe_of(methods=["cartography"], reference_model=None, epochs=None, max_steps=19)
    with pytest.raises(InputError, match=r"budget of erm is 19 steps, but an epoch has 10: .* at least 2 \(20 steps\)"):
        expand(recipe)


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_recipes_expand(path: Path) -> None:
    recipe = read_recipe(path)
    runs = expand(recipe)
    assert {run.method for run in runs} >= set(recipe.methods)
    assert {run.seed for run in runs} == set(recipe.seeds)
    assert len({run.key for run in runs}) == len(runs)


def test_a_shipped_recipe_has_every_method() -> None:
    assert set(read_recipe(ROOT / "recipes" / "sample_all_methods.yaml").methods) == set(COMPARED)


# -- what runs share, with a trainer that needs no time ----------------------------------------------------------------


def test_runs_with_and_without_looking_for_errors_are_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = make_workspace(tmp_path, with_comparison=False)
    trained: list[str] = []

    def train(queue: Queue) -> None:
        for folder in queue.waiting():
            config = RunConfig.model_validate(folder.read_run()["config"])
            trained.append(config.method + " looking" * config.error_pass)
            leave_dynamics(workspace, folder.run_id)
            if config.error_pass:
                table = pa.table({"position": np.arange(NUM_TRAIN), "is_error": np.arange(NUM_TRAIN) % 5 == 0})
                write_parquet(folder.errors, table.replace_schema_metadata({"flops": "1.0", "seconds": "1.0"}))
            folder.write_progress(
                {"step": 8, "num_steps": 8, "train_flops": 1e6, "train_seconds": 1.0, "examples_seen": 8}
            )
            folder.set_status("finished")

    monkeypatch.setattr(Queue, "ensure_worker", train)
    monkeypatch.setattr(running_module, "_LONGEST_PAUSE_SECONDS", 0.0)
    model = workspace.run("map-run")["model"]

    def conduct(*methods: str, layers: int) -> list[str]:
        reference = {"model": model, "layers": layers, "epochs": 2}
        changes = {"suite": "toy", "main_model": {"model": model}, "reference_model": reference, "methods": methods}
        trained.clear()
        run_experiment(workspace, plan_experiment(workspace, recipe_of(**changes)), watch=lambda _: None)
        return sorted(trained)

    # One that looked serves those that don't need it to.
    assert conduct("jtt", layers=1) == ["jtt", "reference looking"]
    assert conduct("poe", layers=1) == ["poe"]
    # One that did not look is used as it is; jtt alone has another.
    assert conduct("poe", layers=2) == ["poe", "reference"]
    assert conduct("poe", "jtt", layers=2) == ["jtt", "reference looking"]
    assert conduct("poe", "jtt", layers=2) == []


# -- the real thing ----------------------------------------------------------------------------------------------------


def test_every_method_trains_finishes_and_is_compared(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trained in this process, so that a library is loaded once for all runs."""
    workspace = Workspace(tmp_path / "workspace")
    workspace.add_suite("reviews", write_suite_files(tmp_path / "suite"))

    def train(queue: Queue) -> None:
        for folder in queue.waiting():
            assert main(RunFolder(folder.path)) == 0, folder.read_state()["message"]

    monkeypatch.setattr(Queue, "ensure_worker", train)
    monkeypatch.setattr(running_module, "_LONGEST_PAUSE_SECONDS", 0.0)
    recipe = recipe_of(
        suite="reviews",
        main_model={"model": str(tiny_model), "layers": 2},
        reference_model={"model": str(tiny_model), "layers": 1, "epochs": 2},
        epochs=3,
        training={"batch_size": 16, "learning_rate": 1e-3, "precision": "fp32"},
    )
    planned = plan_experiment(workspace, recipe)
    run_experiment(workspace, planned, watch=lambda _: None)
    assert {run.status for run in planned} == {"finished"}
    rows = workspace.runs().set_index("method")
    assert rows.index.is_unique
    assert set(rows.index) == set(METHODS)
    steps = {"erm": 18, "cartography": 18, "jtt": 18, "poe": 18, "focal": 18, "curriculum": 18, "ftft": 6, "hard": 6}
    assert rows["num_optimizer_steps"][list(steps)].to_dict() == steps
    assert (rows["fraction"][["jtt", "poe", "focal", "curriculum"]] == 1).all()
    # Of a curriculum's three epochs the first saw only a part.
    assert rows["counted_epochs"][["erm", "jtt", "poe", "focal", "curriculum"]].tolist() == [3, 3, 3, 3, 2]

    report = workspace.compare("reviews")
    for split in ("dev", "test", "shifted"):
        whole = report.rows[(report.rows["split"] == split) & (report.rows["metric"] == "accuracy")]
        assert set(whole["method"]) == set(COMPARED), split
    # Own training, the reference's, and for jtt alone the pass over the training examples.
    costs = report.costs.set_index("method")["flops"]
    own, reference = rows["train_flops"], rows.loc["reference", "train_flops"]
    looked = rows.loc["jtt", "selecting_flops"]
    assert 0 < looked < reference
    assert (rows["selecting_flops"].drop("jtt") == 0).all()
    for method in COMPARED:
        extra = {"erm": 0, "focal": 0, "random": 0, "erm_matched": 0, "cartography": own["erm"]}.get(method, reference)
        assert costs[method] == pytest.approx(own[method] + extra + (looked if method == "jtt" else 0)), method
    assert workspace.total_flops(rows.loc["jtt", "run_id"]) == pytest.approx(costs["jtt"])
