import json
import re

import numpy as np
import pytest

from ftft_core.cartography import compute_data_map
from ftft_core.config import parse
from ftft_core.dynamics import TrainingDynamics
from ftft_core.errors import InputError, NotFoundError
from ftft_core.selection import Recipe, apply_recipe, filter_mask, in_words, polygon_mask, select

TRIANGLE = [[0, 0], [0.4, 0], [0, 0.6]]


@pytest.fixture(scope="module")
def data_map():
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(4, 300, 2)) * 2
    return compute_data_map(
        TrainingDynamics.from_arrays(range(300), generator.integers(0, 2, 300), logits, label_names=["no", "yes"])
    )


def recipe(**values):
    return parse(Recipe, values, what="The recipe")


def test_a_strategy_alone_is_select(data_map):
    made = recipe(source_run="r1", strategy="ambiguous", fraction=0.33)
    assert apply_recipe(made, data_map).tolist() == select(data_map, "ambiguous", 0.33).tolist()
    assert in_words(made) == "ambiguous 33 % of run r1"
    assert in_words(made, run_name="small model") == "ambiguous 33 % of run small model"


def test_conditions_are_joined_by_and_and_the_strategy_takes_of_what_is_left(data_map):
    conditions = [
        {"kind": "polygon", "x": "variability", "y": "confidence", "points": TRIANGLE},
        {"kind": "threshold", "score": "loss", "low": 0.7},
        {"kind": "labels", "labels": ["yes"]},
        {"kind": "where", "expression": "not never_learnt"},
        {"kind": "box", "x": "variability", "y": "confidence", "x_range": [0, 0.4], "y_range": [0.5, 0.1]},
    ]
    x, y = data_map["variability"], data_map["confidence"]
    expected = (
        polygon_mask(x, y, TRIANGLE)
        & filter_mask(data_map, 'loss >= 0.7 and label == "yes" and not never_learnt and 0.1 <= confidence <= 0.5')
    )  # fmt: skip
    assert expected.sum() > 5
    everything = recipe(source_run="r1", conditions=conditions)
    assert apply_recipe(everything, data_map).tolist() == data_map["example_id"][expected].tolist()
    half = recipe(source_run="r1", conditions=conditions, strategy="hard", fraction=0.5)
    assert apply_recipe(half, data_map).tolist() == select(data_map[expected], "hard", 0.5).tolist()
    assert in_words(half) == (
        "hard 50 % of run r1, in a polygon of 3 corners on variability and confidence and with 0.7 <= loss and "
        "labelled yes and where not never_learnt and with variability in 0 to 0.4 and confidence in 0.1 to 0.5"
    )


def test_hand_made_lists_come_out_in_file_order(data_map):
    made = recipe(conditions=[{"kind": "ids", "example_ids": ["7", "2"]}])
    assert apply_recipe(made, data_map).tolist() == ["2", "7"]
    assert in_words(made) == "all in a list of 2 examples"
    with pytest.raises(NotFoundError, match="1 of 2 listed examples are not in the map: 'x'"):
        apply_recipe(recipe(conditions=[{"kind": "ids", "example_ids": ["x", "2"]}]), data_map)


def test_set_conditions_find_their_operands_by_id(data_map):
    condition = {"kind": "set", "expression": "A - B", "operands": {"A": "id-1", "B": "id-2"}}
    made = recipe(conditions=[condition])
    assert apply_recipe(made, data_map, subsets={"id-1": ["9", "3"], "id-2": ["3"]}).tolist() == ["9"]
    assert in_words(made) == "all in A - B"
    with pytest.raises(NotFoundError, match="names subsets that do not exist"):
        apply_recipe(made, data_map, subsets={"id-1": ["9"]})


def test_a_recipe_survives_json_and_makes_the_same_again(data_map):
    made = recipe(
        source_run="r1",
        epochs=2,
        conditions=[
            {"kind": "polygon", "x": "variability", "y": "confidence", "points": [[0, 0], [1 / 3, 0], [0.5, 1]]}
        ],
        strategy="random",
        fraction=0.2,
        balance="class",
        seed=5,
    )
    again = recipe(**json.loads(made.model_dump_json()))
    assert again == made
    assert apply_recipe(again, data_map).tolist() == apply_recipe(made, data_map).tolist()
    assert in_words(made).startswith("random 20 % of each label (seed 5) of run r1 at epoch 2, in a polygon")


def test_quotas_can_stand_in_a_recipe(data_map):
    made = recipe(source_run="r1", strategy="easy", quotas={"no": 3, "yes": 4})
    assert len(apply_recipe(made, data_map)) == 7
    assert in_words(made) == "easy (3 no, 4 yes) of run r1"


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({}, "needs a strategy or at least one condition"),
        ({"fraction": 0.3}, "need a strategy"),
        ({"strategy": "hard"}, "either a fraction or quotas"),
        ({"strategy": "hard", "fraction": 0.3, "quotas": {"a": 1}}, "either a fraction or quotas"),
        ({"strategy": "ambigous", "fraction": 0.3}, "no strategy 'ambigous'"),
        ({"strategy": "hard", "fraction": 1.5}, "fraction: .*it must be at most 1"),
        ({"strategy": "hard", "fraction": float("nan")}, "fraction"),
        ({"strategy": "hard", "fraction": 0.3, "bogus": 1}, "bogus: unknown key"),
        ({"conditions": [{"kind": "circle"}]}, "circle"),
        ({"conditions": [{"kind": "polygon", "x": "loss", "y": "aum", "points": [[0, 0]]}]}, "points"),
    ],
)
def test_recipes_that_make_no_sense_are_refused(values, problem):
    with pytest.raises(InputError) as caught:
        recipe(**values)
    assert any(re.search(problem, said) for said in caught.value.problems), caught.value.problems


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ({"kind": "where", "expression": "confidence > 2"}, "leaves none of 300 examples: all of run r1, where"),
        ({"kind": "threshold", "score": "lss", "low": 0}, "There is no score 'lss'"),
        ({"kind": "threshold", "score": "label", "low": 0}, "There is no score 'label'"),
        ({"kind": "labels", "labels": ["maybe"]}, "names unknown labels"),
    ],
)
def test_recipes_that_do_not_fit_the_map_are_refused(data_map, condition, message):
    with pytest.raises(InputError, match=message):
        apply_recipe(recipe(source_run="r1", conditions=[condition]), data_map)


def test_one_counted_epoch_is_refused_in_a_recipe_too(data_map):
    with pytest.raises(InputError, match="needs at least 2 counted epochs"):
        apply_recipe(recipe(source_run="r1", strategy="ambiguous", fraction=0.3), data_map, num_epochs=1)
