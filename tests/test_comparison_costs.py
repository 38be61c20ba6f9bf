"""What methods cost side by side, and which are on the Pareto front."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from ftft_core.comparison import conclude, cost_table, flops_together, pareto_front, to_markdown
from ftft_core.errors import InputError
from tests.comparison_runs import accuracy_row, compare, run


def test_costs_and_their_shares():
    cost = {"train_seconds": 10.0, "num_optimizer_steps": 90, "num_examples_seen": 900}
    less = {"train_seconds": 8.0, "num_optimizer_steps": 30, "num_examples_seen": None}
    runs = [run("erm", 0, [1], **cost), run("erm", 1, [1], **cost)]
    table = cost_table([*runs, run("ftft", 0, [1], total_flops=67.0, **less)]).set_index("method")
    assert table.loc["ftft", ["flops_share", "seconds_share"]].tolist() == [0.67, 0.8]
    assert table.loc["ftft", "optimizer_steps_share"] == pytest.approx(1 / 3)
    assert pd.isna(table.loc["ftft", "examples_seen_share"])
    assert table.loc["erm", "num_seeds"] == 2


def test_costs_are_shares_of_erm_whatever_scores_are_held_against():
    right = [1, 1, 0, 1]
    runs = [run("erm", 0, right), run("random", 0, right, total_flops=30.0), run("ftft", 0, right, total_flops=60.0)]
    compared = compare(runs, baseline="random")
    shares = compared.rows.drop_duplicates("method").set_index("method")["cost_share"]
    assert (compared.cost_base, shares.to_dict()) == ("erm", {"erm": 1.0, "random": 0.3, "ftft": 0.6})
    assert "at 0.60 of erm's cost in FLOPs (random 75.0" in conclude(compared)
    assert "FLOPs, share of erm" in to_markdown(compared.rows, baseline="random")
    # On a model without erm there is nothing that costs are shares of, and that is said.
    other = compare([*runs, run("random", 0, right, model="small")], baseline="random")
    (said,) = [note for note in other.notes if "cost share is left empty" in note]
    assert said.startswith("random (small, 12 layers")
    assert other.rows.query("model == 'small'")["cost_share"].isna().all()
    alone = compare(runs[1:], baseline="random")
    assert alone.cost_base == "random"
    assert accuracy_row(alone, "ftft")["cost_share"] == 2.0


def test_costs_without_a_baseline_have_no_shares():
    assert cost_table([run("ftft", 0, [1])])["flops_share"].isna().all()


def test_pareto_front_keeps_equals_and_drops_what_is_beaten():
    cost, score = [1, 2, 2, 3, 1, np.nan], [0.5, 0.7, 0.6, 0.7, 0.5, 0.9]
    assert pareto_front(cost, score).tolist() == [True, True, False, False, True, False]
    assert pareto_front([5], [0.1]).tolist() == [True]


def test_what_runs_cost_together_counts_what_they_share_once():
    runs = [run("ftft", 0, [1]), run("hard", 0, [1]), run("erm", 0, [1])]
    parts = [{"ftft-0": 10.0, "reference": 4.0}, {"hard-0": 10.0, "reference": 4.0}, {"erm-0": 30.0}]
    runs = [dataclasses.replace(each, flops_of_parts=part) for each, part in zip(runs, parts, strict=True)]
    assert flops_together(runs) == (54.0, 58.0)
    assert flops_together([*runs, run("random", 0, [1])]) is None


def test_a_cost_that_was_matched_is_the_same_cost_on_the_front():
    assert pareto_front([100, 100.1, 200], [0.5, 0.6, 0.7]).tolist() == [False, True, True]
    assert pareto_front([100, 100.1, 200], [0.6, 0.5, 0.7]).tolist() == [True, False, True]
    assert pareto_front([100, 100.1], [0.6, 0.6]).tolist() == [True, True]
    assert pareto_front([100, 100.1], [0.5, 0.6], same_cost=0).tolist() == [True, True]
    assert pareto_front([100, 102], [0.5, 0.6]).tolist() == [True, True]


def test_pareto_front_needs_pairs():
    with pytest.raises(InputError, match="one cost and one score"):
        pareto_front([1, 2], [1])
