"""Experiments: what a recipe may say, and the runs it expands to."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from ftft_core.errors import InputError
from ftft_core.experiments import PlannedRun, Recipe, mapping_of, read_recipe, seconds_left
from ftft_core.experiments.planning import model_key, plan, remarks_on_little
from ftft_core.experiments.recipe_text import values_of, yaml_of
from ftft_core.experiments.record import id_of
from ftft_core.workspace import RunProgress

DESIGN = """\
suite: hate
main_model: {model: microsoft/deberta-v3-large}
reference_model: {model: microsoft/deberta-v3-small, layers: 4, epochs: 2, stop: settled}   # or a list; all but model optional; its budget is its own
methods: [erm, erm_matched, cartography, ftft, random]
fraction: 0.33                     # or a list
epochs: 3                          # or max_steps: the full budget B of metrics.md
early_stop: 0.3333                 # share of B for methods that stop early
seeds: [0, 1, 2, 3, 4]
training: {learning_rate: 5.0e-5, batch_size: 32}                 # optional; per model with main: / reference:
"""  # noqa: E501


def recipe_of(folder: Path, **changes: Any) -> Recipe:
    """The design's recipe with some keys changed (or left out, with None), read from a file."""
    values = {**yaml.safe_load(DESIGN), **changes}
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in values.items() if value is not None}))
    return read_recipe(path)


def expand(recipe: Recipe, num_train: int = 320) -> list[PlannedRun]:
    names = [recipe.main_model, *recipe.reference_model]
    layers = {model_key(each.model, each.layers): each.layers or 12 for each in names}
    return plan(recipe, num_train=num_train, num_layers=layers)


# -- recipes -----------------------------------------------------------------------------------------------------------


def test_the_recipe_of_the_design_is_read_as_it_stands(tmp_path: Path) -> None:
    (tmp_path / "hate.yaml").write_text(DESIGN, encoding="utf-8")
    recipe = read_recipe(tmp_path / "hate.yaml")
    assert recipe.methods == ("erm", "erm_matched", "cartography", "ftft", "random")
    assert (recipe.fraction, recipe.seeds, recipe.epochs) == ((0.33,), (0, 1, 2, 3, 4), 3)
    reference = recipe.reference_model[0]
    assert (reference.layers, reference.epochs, reference.stop) == (4, 2, "settled")
    assert recipe.training.of("main").batch_size == 32


def test_lists_and_single_values_mean_the_same(tmp_path: Path) -> None:
    listed = recipe_of(tmp_path, fraction=[0.33], reference_model=[{"model": "small"}], seeds=[0])
    single = recipe_of(tmp_path, fraction=0.33, reference_model={"model": "small"}, seeds=0)
    assert listed == single


def test_training_may_differ_between_models(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, training={"learning_rate": 1e-5, "reference": {"learning_rate": 1e-4}})
    assert (recipe.training.of("main").learning_rate, recipe.training.of("reference").learning_rate) == (1e-5, 1e-4)


def test_all_problems_of_a_recipe_are_told_together(tmp_path: Path) -> None:
    changes = {
        "colour": "red",
        "methods": ["erm", "magic"],
        "seeds": ["x"],
        "early_stop": 0,
        "main_model": {"modell": 1},
    }
    with pytest.raises(InputError, match=r"The recipe .*recipe.yaml has \d+ problems") as caught:
        recipe_of(tmp_path, **changes)
    said = " | ".join(caught.value.problems)
    for word in ("colour: unknown key", "main_model.modell: unknown key", "main_model.model", "seeds", "early_stop"):
        assert word in said
    assert len(caught.value.problems) >= 5


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"max_steps": 10}, "exactly one of epochs and max_steps; received both"),
        ({"epochs": None}, "exactly one of epochs and max_steps; received neither"),
        ({"methods": ["erm", "magic"]}, "There is no method 'magic' (known: erm"),
        ({"methods": []}, "methods"),
        ({"fraction": "a third"}, "fraction.0"),
        ({"seeds": []}, "seeds"),
        ({"seeds": [-1]}, "seeds: received -1; allowed is 0 to"),
        ({"seeds": "0-4"}, "seeds: received '0-4'; give whole numbers, several of them as a list such as [0, 1, 2]"),
        ({"fraction": []}, "fraction"),
        ({"fraction": 0}, "fraction: received 0; allowed is above 0 and up to 1"),
        ({"fraction": [0.3, 1.5]}, "fraction: received 1.5"),
        ({"seeds": [1, 1]}, "received a seed twice"),
        ({"reference_model": None}, "A reference_model is needed by erm_matched, ftft, but missing"),
        ({"reference_model": {"model": "m", "epochs": 1, "max_steps": 3}}, "give epochs or max_steps, not both"),
        ({"reference_model": {"model": "m", "stop": "setled"}}, "Did you mean 'settled'?"),
        ({"training": {"batch_size": 0}}, "training.batch_size"),
        ({"training": {"main": {"batchsize": 3}}}, "training: main.batchsize: unknown key. Known keys: learning_rate"),
        ({"training": {"reference": {"batch_size": 0}}}, "training: reference.batch_size: "),
        ({"main_model": None}, "main_model: is required"),
    ],
)
def test_a_recipe_that_cannot_be_says_why(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        recipe_of(tmp_path, **changes)


def test_seeds_that_cannot_be_are_told_together(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has 3 problems") as caught:
        recipe_of(tmp_path, seeds=[0, "0", -1, 1.5])
    said = str(caught.value)
    for words in ("received -1; allowed is 0", "received 1.5; give whole numbers", "received a seed twice (0, 0, -1)"):
        assert words in said
    assert recipe_of(tmp_path, seeds=["3", 4.0]).seeds == (3, 4)


def test_several_contradictions_are_told_together(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has 4 problems") as caught:
        recipe_of(tmp_path, max_steps=0, methods=["magic"], fraction=0, colour="red")
    said = str(caught.value)
    for word in ("max_steps", "There is no method 'magic'", "fraction: received 0", "colour: unknown key"):
        assert word in said


def test_a_file_that_is_no_recipe_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"The recipe .*none.yaml can't be read \(No such file"):
        read_recipe(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("a: [", encoding="utf-8")
    with pytest.raises(InputError, match=r"The recipe .*bad.yaml is not valid YAML"):
        read_recipe(tmp_path / "bad.yaml")
    (tmp_path / "twice.yaml").write_text("seeds: [0]\nsuite: a\nseeds: [0, 1]\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"twice.yaml is not valid YAML \(the key 'seeds' is written twice"):
        read_recipe(tmp_path / "twice.yaml")
    assert values_of("a: &a {p: 1}\nb: {<<: *a, p: 2}\n") == {"a": {"p": 1}, "b": {"p": 2}}, "merging is no repeating"
    (tmp_path / "list.yaml").write_text("- a\n- b\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"must be a mapping of keys to values; received \['a', 'b'\]"):
        read_recipe(tmp_path / "list.yaml")


# -- planning ----------------------------------------------------------------------------------------------------------


def test_methods_share_one_reference_per_seed(tmp_path: Path) -> None:
    runs = expand(recipe_of(tmp_path, methods=["erm", "erm_matched", "cartography", "ftft", "random", "hard"]))
    counted = Counter((run.method, run.seed) for run in runs)
    assert set(counted.values()) == {1}
    names = {"erm", "erm_matched", "cartography", "ftft", "random", "hard", "reference"}
    assert set(counted) == {(method, seed) for method in names for seed in range(5)}
    places = {run.key: place for place, run in enumerate(runs)}
    assert all(places[key] < places[run.key] for run in runs for key in run.needs)
    for run in runs:
        expected = {"ftft": "reference", "hard": "reference", "cartography": "erm", "erm_matched": "ftft"}
        needed = [other for other in runs if other.key in run.needs]
        assert [(other.method, other.seed) for other in needed] == (
            [(expected[run.method], run.seed)] if run.method in expected else []
        )


def test_a_reference_without_a_budget_sees_the_data_as_often_as_the_main_model(tmp_path: Path) -> None:
    changes = {"reference_model": {"model": "tiny"}, "epochs": 4, "training": {"reference": {"batch_size": 8}}}
    (reference,) = [run for run in expand(recipe_of(tmp_path, seeds=[0], **changes)) if run.method == "reference"]
    config = reference.stand_in.config
    assert (config.budget.epochs, config.budget.max_steps) == (4, None)
    assert reference.work == 12 * 4 * 320 / 8
    in_steps = recipe_of(tmp_path, seeds=[0], **{**changes, "epochs": None, "max_steps": 90})
    (reference,) = [run for run in expand(in_steps) if run.method == "reference"]
    assert reference.stand_in.config.budget.max_steps == 90


def test_every_reference_and_fraction_makes_runs_of_its_own(tmp_path: Path) -> None:
    references = [{"model": "s", "layers": 2}, {"model": "s", "layers": 2, "epochs": 5}, {"model": "t"}]
    changes = {"reference_model": references, "fraction": [0.1, 0.5], "seeds": [7]}
    runs = expand(recipe_of(tmp_path, methods=["ftft", "random", "erm"], **changes))
    assert Counter(run.method for run in runs) == {"ftft": 6, "reference": 3, "random": 2, "erm": 1}
    assert len({run.key for run in runs}) == len(runs)


def test_fractions_that_are_nearly_alike_are_told_apart(tmp_path: Path) -> None:
    planned = expand(recipe_of(tmp_path, methods=["random"], fraction=[0.333, 0.3333], seeds=[0]))
    assert [run.key for run in planned] == ["random, 33.3 %, seed 0", "random, 33.33 %, seed 0"]


def test_runs_that_can_hardly_learn_are_remarked_on(tmp_path: Path) -> None:
    changes = {"methods": ["ftft", "random", "erm"], "fraction": [0.003, 0.5], "early_stop": 0.01, "seeds": [0, 1]}
    said = remarks_on_little(expand(recipe_of(tmp_path, **changes)))
    assert [each.split(", ", 1)[0] for each in said] == ["ftft"] * 3 + ["random"] * 3
    assert said[-3:] == [
        "random, 0.3 %: trains on 1 example, less than one batch of 32.",
        "random, 0.3 %: takes one optimizer step.",
        "random, 50 %: takes one optimizer step.",
    ]
    assert remarks_on_little(expand(recipe_of(tmp_path))) == []


def test_a_map_is_not_waited_for_in_budgets_too_short_for_it(tmp_path: Path) -> None:
    # 320 examples are 10 steps an epoch, and a third of them 4 steps.
    models = {"reference_model": {"model": "s", "stop": "settled"}, "main_model": {"model": "m", "stop": "settled"}}
    kept = {}
    for max_steps in (29, 30):
        planned = expand(recipe_of(tmp_path, **models, methods=["random", "erm"], epochs=None, max_steps=max_steps,
                                   fraction=1 / 3, seeds=[0]))  # fmt: skip
        kept[max_steps] = {run.method: run.stand_in.config.stop for run in planned}
    assert kept == {29: {"random": None, "erm": None}, 30: {"random": None, "erm": "settled"}}
    with pytest.raises(InputError, match=r"main_model.*give at least 3 epochs, or leave stop out"):
        recipe_of(tmp_path, **models, epochs=2)


def test_a_recipe_is_the_same_experiment_after_it_was_written_and_read(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, training={"weight_decay": 1, "main": {"weight_decay": 0.0, "trackers": "tensorboard"}})
    again = Recipe.model_validate(values_of(yaml_of(mapping_of(recipe)), what="it"))
    assert id_of(again) == id_of(recipe)


def test_references_that_stop_differently_are_told_apart(tmp_path: Path) -> None:
    reference = {"model": "s", "epochs": 6, "stop": "settled"}
    references = [reference, {**reference, "settled_overlap": 0.9}, {"model": "s", "epochs": 6}]
    runs = expand(recipe_of(tmp_path, methods=["reference"], reference_model=references, seeds=[0]))
    assert [run.key for run in runs] == [
        "reference, s, 6 epochs, until settled, settled_overlap 0.8, seed 0",
        "reference, s, 6 epochs, until settled, settled_overlap 0.9, seed 0",
        "reference, s, 6 epochs, seed 0",
    ]


# -- the time left -----------------------------------------------------------------------------------------------------


def progress(status: str, **said: Any) -> RunProgress:
    unknown = dict.fromkeys(RunProgress.__dataclass_fields__)
    return RunProgress(**{**unknown, "status": status, "message": "", "fraction": 0.0, "dev_scores": {}, **said})


def test_the_time_left_follows_the_pace_of_what_has_begun(tmp_path: Path) -> None:
    planned = expand(recipe_of(tmp_path, methods=["erm", "random"], seeds=[0, 1]))
    assert seconds_left(planned, {}) is None  # Nothing was measured, and nothing has begun.
    for run in planned:
        run.seconds, run.train_seconds = 100.0, 80.0
    assert seconds_left(planned, {}) == 400
    # The first took a quarter of the seconds that were expected of its steps: it was measured on a busy machine.
    fast = progress("finished", fraction=1.0, step=10, num_steps=10, seconds_elapsed=20.0)
    assert seconds_left(planned, {planned[0].key: fast}) == pytest.approx(300 / 4)
    # Two at once end in half the time, and not before the longer of the two.
    half = progress("running", fraction=0.5, step=5, num_steps=10, seconds_elapsed=40.0, seconds_left=50.0)
    three = {planned[0].key: progress("finished", fraction=1.0), planned[1].key: half, planned[2].key: half}
    assert seconds_left(planned, three) == pytest.approx((50 + 50 + 100) / 2)
    long = progress("running", fraction=0.1, step=1, num_steps=10, seconds_elapsed=8.0, seconds_left=90.0)
    ended = progress("finished", fraction=1.0)
    assert seconds_left(planned, {**three, planned[2].key: long, planned[3].key: ended}) == pytest.approx(90)
    # One that starts runs already; one that failed is not done again.
    starting = {**three, planned[2].key: progress("running"), planned[3].key: progress("failed", fraction=0.5)}
    assert seconds_left(planned, starting) == pytest.approx((50 + 100) / 2)
    # What was trained long ago, elsewhere, does not tell the pace while others run.
    old = progress("finished", fraction=1.0, step=10, num_steps=10, seconds_elapsed=1.0)
    assert seconds_left(planned, {**three, planned[0].key: old}) == pytest.approx((50 + 50 + 100) / 2)
