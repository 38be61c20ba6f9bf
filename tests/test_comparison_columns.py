import numpy as np
import pandas as pd
import pytest

from ftft_core.comparison import RunResult, group_runs
from ftft_core.comparison.columns import MissingRun, fact_words, make_columns
from ftft_core.comparison.efficiency import first_reach, mean_curves
from ftft_core.comparison.runs import column_id, short_model
from ftft_core.errors import InputError


def run(method, seed=0, **fields):
    facts = fields.pop("facts", {})
    return RunResult(f"{method}-{seed}", method, seed=seed, predictions={}, facts=facts,
                     **{"model": "org/big", "num_layers": 12, "fraction": 1.0, **fields})  # fmt: skip


def columns(runs, unfinished=()):
    given = [(each, MissingRun(each.run_id, each.run_id, each.seed, "failed", "disk full")) for each in unfinished]
    return make_columns(group_runs(runs)[0], given)


def test_a_method_alone_needs_no_detail():
    assert [column.name for column in columns([run("erm"), run("erm", 1), run("newer")])] == ["erm", "newer"]


def test_versions_are_named_by_what_differs():
    slow, fast = {"training.learning_rate": 2e-5, "budget": "epochs 3"}, {"training.learning_rate": 5e-5}
    found = columns(
        [run("erm", facts=slow), run("erm", facts={**fast, "budget": "max_steps 1"}), run("erm", facts=fast)]
    )
    assert [column.detail for column in found] == [
        "learning rate 2e-05; 3 epochs", "learning rate 5e-05; 1 step", "learning rate 5e-05; budget not stated",
    ]  # fmt: skip
    less = {"fraction": 0.25, "reference_model": "small", "reference_layers": 2}
    found = columns(
        [run("ftft", **less), run("ftft", **{**less, "fraction": 0.5}), run("ftft", **{**less, "reference_layers": 4})]
    )
    assert [column.detail for column in found] == [
        "from small, 2 layers; 25 %",
        "from small, 2 layers; 50 %",
        "from small, 4 layers; 25 %",
    ]
    assert [column.detail for column in columns([run("erm"), run("erm", model="tiny")])] == [
        "big, 12 layers",
        "tiny, 12 layers",
    ]


def test_no_two_columns_have_one_name():
    found = columns([run("erm", model="a/big"), run("erm", model="b/big")])
    assert [column.detail for column in found] == ["a/big, 12 layers", "b/big, 12 layers"]
    rates = [run("erm", facts={"training.learning_rate": rate}) for rate in (2e-5, 2.0000001e-5)]
    found = columns(rates)
    assert [column.detail for column in found] == [f"learning rate 2e-05; {each.id[-6:]}" for each in found]
    assert found[0].name != found[1].name


def test_a_column_s_id_is_the_same_whatever_else_is_there():
    (alone,) = columns([run("erm", facts={"budget": "epochs 3"})])
    both = columns([run("erm", facts={"budget": "epochs 4"}), run("erm", 1, facts={"budget": "epochs 3"})])
    assert alone.id == both[1].id != both[0].id
    assert column_id(run("erm")) == column_id(run("erm", 7))


def test_what_has_not_finished_is_told_in_its_column_or_in_one_of_its_own():
    found = columns([run("erm"), run("erm", 1)], [run("erm", 2), run("ftft", 0), run("ftft", 1)])
    assert [(column.title, column.num_seeds, column.num_wanted) for column in found] == [("erm", 2, 3), ("ftft", 0, 2)]
    assert found[0].missing[0].words == "seed 2 failed: disk full"


def test_a_seed_that_finished_later_is_not_missing():
    (column,) = columns([run("erm")], [run("erm")])
    assert column.missing == ()


def test_facts_in_words():
    assert fact_words("suite_fingerprint", "81c0f2d4") == "data 81c0f2"
    assert fact_words("reference.budget", "epochs 1") == "reference 1 epoch"
    assert fact_words("stop", "none") == "whole budget"
    assert fact_words("focal_gamma", 2.0) == "focal gamma 2"
    assert short_model("/models/mini/") == "mini"


def points(column, seed, values, *, costs=None, end=None):
    costs = [10.0 * (place + 1) for place in range(len(values))] if costs is None else costs
    last = len(values) - 1
    rows = [
        (column, f"{column}-{seed}", seed, step if step < last else (end or last), cost, value, step == last)
        for step, (cost, value) in enumerate(zip(costs, values, strict=True))
    ]
    return pd.DataFrame(rows, columns=["column", "run_id", "seed", "step", "cost", "value", "is_end"])


def test_mean_curves_by_hand():
    frame = pd.concat([points("erm", 0, [0.5, 0.6, 0.8]), points("erm", 1, [0.7, 0.8, 0.8], end=9)])
    curves = mean_curves(frame)
    assert curves["mean"].tolist() == pytest.approx([0.6, 0.7, 0.8])
    assert curves["cost"].tolist() == [10, 20, 30]
    assert curves["std"].tolist() == pytest.approx([np.sqrt(0.02), np.sqrt(0.02), 0])
    assert curves["is_end"].tolist() == [False, False, True]


def test_places_that_not_every_seed_has_are_left_out():
    frame = pd.concat([points("erm", 0, [0.5, 0.6, 0.8]), points("erm", 1, [0.7, 0.8])])
    assert mean_curves(frame)["num_seeds"].tolist() == [2, 2]
    assert mean_curves(frame)["mean"].tolist() == pytest.approx([0.6, 0.8])


def test_the_share_at_which_the_baseline_s_best_is_reached():
    frame = pd.concat([
        points("erm", 0, [0.5, 0.75, 0.7], costs=[40, 80, 100]),
        points("ftft", 0, [0.6, 0.75], costs=[30, 45]),
        points("random", 0, [0.5, 0.7], costs=[10, 20]),
    ])  # fmt: skip
    found = first_reach(mean_curves(frame), "erm").set_index("column")
    assert found["target"].tolist() == [0.75] * 3
    assert found.loc["erm", "share"] == 0.8
    assert found.loc["ftft", "share"] == 0.45
    assert np.isnan(found.loc["random", "share"])
    assert found.loc["random", "best"] == 0.7


def test_of_an_error_the_lowest_is_the_best():
    frame = pd.concat([points("erm", 0, [0.2, 0.1]), points("ftft", 0, [0.1, 0.3])])
    found = first_reach(mean_curves(frame), "erm", higher_is_better=False).set_index("column")
    assert found["target"].tolist() == [0.1, 0.1]
    assert found.loc["ftft", "share"] == 0.5


def test_a_baseline_without_a_curve_is_refused():
    with pytest.raises(InputError, match="'erm' has no curve"):
        first_reach(mean_curves(points("ftft", 0, [1])), "erm")
