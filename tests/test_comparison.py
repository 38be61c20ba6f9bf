import dataclasses
import json

import numpy as np
import pytest

from ftft_core.comparison import (
    ROW_COLUMNS,
    ComparedSplit,
    SplitPredictions,
    compare_runs,
    conclude,
    holm,
)
from ftft_core.errors import InputError
from tests.comparison_runs import LABELS, SPLITS, accuracy_row, compare, noisy, predictions, run


def test_rows_have_exactly_the_promised_keys_and_are_json():
    comparison = compare([run("erm", 0, [1, 0]), run("ftft", 0, [1, 1], reference_model="small", reference_layers=4)])
    records = json.loads(json.dumps(comparison.records(), allow_nan=False))
    assert len(records) == 2 * 2 * 3
    assert all(tuple(record) == ROW_COLUMNS for record in records)
    assert records[0]["reference_model"] is None
    assert records[-1]["reference_layers"] == 4


def test_mean_std_delta_and_cost_share_by_hand():
    runs = [run("erm", 0, [1, 1, 0, 0]), run("erm", 1, [1, 1, 1, 0])]
    runs += [run("ftft", s, [1, 1, 1, 1], total_flops=cost, fraction=0.33) for s, cost in ((0, 40.0), (1, 60.0))]
    comparison = compare(runs)
    row = accuracy_row(comparison, "erm")
    assert (row["mean"], row["num_seeds"], row["delta"], row["delta_low"], row["cost_share"]) == (0.625, 2, 0, 0, 1)
    assert row["std"] == pytest.approx(np.std([0.5, 0.75], ddof=1))
    row = accuracy_row(comparison, "ftft")
    assert (row["mean"], row["std"], row["delta"], row["cost_share"]) == (1.0, 0.0, 0.375, 0.5)
    assert row["delta_low"] < 0.375 < row["delta_high"]


def test_identical_methods_differ_by_nothing():
    runs = [run(method, seed, noisy(0.7, seed)) for method in ("erm", "ftft") for seed in range(3)]
    comparison = compare(runs)
    assert (comparison.rows[["delta", "delta_low", "delta_high"]] == 0).all(axis=None)
    assert not comparison.marks["marked"].any()


def test_a_large_difference_is_marked_and_a_baseline_never_is():
    runs = [run("erm", seed, noisy(0.5, seed)) for seed in range(5)]
    runs += [run("ftft", seed, noisy(0.9, 50 + seed)) for seed in range(5)]
    comparison = compare(runs)
    marked = comparison.marks["marked"] & (comparison.rows["metric"] == "accuracy")
    assert set(comparison.rows.loc[marked, "method"]) == {"ftft"}
    assert len(comparison.marks) == len(comparison.rows)
    assert comparison.marks.loc[comparison.rows["method"] == "erm", "p_value"].isna().all()


def test_one_seed_has_an_interval_that_says_what_it_leaves_out():
    comparison = compare([run("erm", 0, noisy(0.5, 0)), run("ftft", 0, noisy(0.9, 1))])
    row = accuracy_row(comparison, "ftft")
    assert np.isnan(row["std"])
    assert row["delta_low"] < row["delta"] < row["delta_high"]
    assert not comparison.marks["marked"].any()
    assert any("One seed only" in note and "leave out that seed's noise" in note for note in comparison.notes)


def test_order_of_examples_does_not_matter():
    right = noisy(0.6, 3, size=50)
    order = np.random.default_rng(1).permutation(50)
    plain = predictions(right)
    shuffled = SplitPredictions(plain.example_ids[order], plain.labels[order], plain.logits[order])
    comparison = compare(
        [run("erm", 0, {"test": plain, "far": plain}), run("ftft", 0, {"test": shuffled, "far": plain})]
    )
    assert (comparison.rows["delta"] == 0).all()
    assert (comparison.rows["delta_high"] == 0).all()


def test_same_seed_same_interval_whatever_other_splits_there_are():
    runs = [run("erm", 0, noisy(0.5, 0)), run("ftft", 0, noisy(0.6, 1))]
    alone = compare_runs(runs, SPLITS[1:], LABELS, num_resamples=400)
    both = compare(runs)
    assert accuracy_row(alone, "ftft")["delta_low"] == accuracy_row(both, "ftft")["delta_low"]


def test_without_a_baseline_differences_are_null_and_a_note_says_so():
    comparison = compare([run("ftft", 0, [1, 0, 1])])
    assert comparison.rows[["delta", "delta_low", "delta_high", "cost_share"]].isna().all(axis=None)
    assert accuracy_row(comparison, "ftft")["mean"] == pytest.approx(2 / 3)
    assert any("no 'erm' run to compare with" in note for note in comparison.notes)


def test_a_baseline_on_another_model_is_no_baseline():
    comparison = compare([run("erm", 0, [1, 0], model="small"), run("ftft", 0, [1, 1])])
    assert np.isnan(accuracy_row(comparison, "ftft")["delta"])
    assert any("no 'erm' run on its own model and layers" in note for note in comparison.notes)


def test_each_model_is_compared_with_its_own_baseline():
    runs = [run("erm", 0, [1, 0], model="small"), run("erm", 0, [1, 1]), run("ftft", 0, [1, 0])]
    assert accuracy_row(compare(runs), "ftft")["delta"] == -0.5


def test_references_are_left_out():
    comparison = compare([run("erm", 0, [1, 0]), run("reference", 0, [1, 1])])
    assert set(comparison.rows["method"]) == {"erm"}


def test_runs_of_different_budgets_are_never_averaged():
    runs = [run("erm", 0, [1, 0], facts={"max_steps": 100}), run("erm", 1, [1, 1], facts={"max_steps": 200})]
    comparison = compare(runs)
    rows = comparison.rows[(comparison.rows["split"] == "far") & (comparison.rows["metric"] == "accuracy")]
    assert rows["mean"].tolist() == [0.5, 1.0]
    assert rows["num_seeds"].tolist() == [1, 1]
    assert any("not averaged because they differ in max_steps (100 against 200)" in note for note in comparison.notes)


def test_of_several_baselines_the_one_that_agrees_in_most_facts_is_taken_and_named():
    runs = [run("erm", 0, [0, 0], facts={"rate": 1}), run("erm", 1, [1, 0], facts={"rate": 2})]
    comparison = compare([*runs, run("ftft", 0, [1, 1], facts={"rate": 2})])
    assert accuracy_row(comparison, "ftft")["delta"] == 0.5
    assert any("could be compared with 2 kinds of 'erm' runs" in note and "rate 2" in note for note in comparison.notes)


def test_the_baseline_on_all_the_data_goes_before_one_on_as_little_as_the_method():
    runs = [run("erm", 0, [0, 0]), run("erm", 1, [1, 0], fraction=0.5, total_flops=50.0)]
    comparison = compare([*runs, run("random", 0, [1, 1], fraction=0.5, total_flops=25.0)])
    assert accuracy_row(comparison, "random")["delta"] == 1.0
    assert accuracy_row(comparison, "random")["cost_share"] == 0.25


def test_what_differs_from_the_baseline_beside_the_method_is_said():
    usual = {"precision": "fp32", "training.batch_size": 32, "budget": "epochs 3"}
    other = {"precision": "bf16", "training.batch_size": 8, "budget": "max_steps 9"}
    runs = [run("erm", 0, [1, 0], facts=usual), run("random", 0, [1, 1], facts={**usual, "budget": "max_steps 9"})]
    comparison = compare([*runs, run("ftft", 0, [1, 1], facts=other)])
    (said,) = [note for note in comparison.notes if "in more than the method" in note]
    assert said.startswith("ftft ")
    assert "precision (bf16 against fp32), training.batch_size (8 against 32)." in said


def test_a_seed_run_twice_counts_once():
    first, second = run("erm", 0, [0, 0]), run("erm", 0, [1, 1])
    comparison = compare([first, second])
    assert accuracy_row(comparison, "erm")["mean"] == 1.0
    assert accuracy_row(comparison, "erm")["num_seeds"] == 1
    assert any("run more than once" in note for note in comparison.notes)


def test_a_run_without_a_split_is_shown_with_what_is_missing():
    runs = [run("erm", 0, [1, 0]), run("erm", 1, {"test": [1, 1]}), run("ftft", 0, {"test": [1, 1]})]
    comparison = compare(runs)
    assert accuracy_row(comparison, "erm")["num_seeds"] == 1
    row = accuracy_row(comparison, "ftft")
    assert row["num_seeds"] == 0
    assert np.isnan(row["mean"])
    assert any(note.startswith("Split 'far': no predictions of runs erm-1, ftft-0") for note in comparison.notes)


def test_a_run_on_other_examples_is_not_paired():
    other = predictions([1, 1], ids=["7", "8"])
    runs = [run("erm", 0, [1, 0]), run("erm", 1, [1, 0]), run("ftft", 0, {"test": [1, 1], "far": other})]
    comparison = compare(runs)
    assert np.isnan(accuracy_row(comparison, "ftft")["mean"])
    assert any("run ftft-0 predicted other examples or gold labels" in note for note in comparison.notes)


def test_unpaired_seeds_are_told():
    one = compare([run("erm", 0, [1, 0]), run("ftft", 1, [1, 1])])
    assert any(note.startswith("ftft has seeds 1, where the baseline has 0: such differences") for note in one.notes)
    both = compare([*[run("erm", seed, [1, 0]) for seed in (0, 1)], run("ftft", 1, [1, 1]), run("jtt", 1, [1, 1])])
    assert [note for note in both.notes if note.startswith("ftft; jtt have seeds 1, where the baseline has 0, 1: ")]


def test_pairing_makes_the_interval_narrower_where_seeds_agree():
    shares = np.linspace(0.3, 0.8, 5)
    erm = [noisy(share, 1) for share in shares]
    ftft = [values | noisy(0.1, 2) for values in erm]
    paired = compare([*(run("erm", s, erm[s]) for s in range(5)), *(run("ftft", s, ftft[s]) for s in range(5))])
    apart = compare([*(run("erm", s, erm[s]) for s in range(5)), *(run("ftft", s + 9, ftft[s]) for s in range(5))])
    width = [accuracy_row(c, "ftft")["delta_high"] - accuracy_row(c, "ftft")["delta_low"] for c in (paired, apart)]
    assert width[0] < width[1] / 3


def test_unknown_flops_leave_the_cost_share_empty():
    comparison = compare([run("erm", 0, [1, 0]), run("ftft", 0, [1, 1], total_flops=None)])
    assert np.isnan(accuracy_row(comparison, "ftft")["cost_share"])
    assert any("FLOPs of some runs are not known" in note for note in comparison.notes)


def test_groups_and_coarser_labels():
    split = ComparedSplit("far", "out_of_distribution", {"no": ("b", "c")})
    logits = np.log([[0.4, 0.3, 0.3], [0.8, 0.1, 0.1]])
    given = SplitPredictions(np.array(["0", "1"]), np.array(["no", "a"]), logits, np.array(["x", None], dtype=object))
    comparison = compare_runs([run("erm", 0, {"far": given})], [split], ("a", "b", "c"), num_resamples=100)
    assert accuracy_row(comparison, "erm")["mean"] == 1.0
    assert comparison.groups[["group", "metric", "num_examples"]].values.tolist()[0] == ["x", "accuracy", 1]
    assert comparison.groups["mean"].tolist()[0] == 1.0


def test_nothing_to_compare_is_no_crash():
    comparison = compare([])
    assert comparison.records() == []
    assert "no finished run" in comparison.notes[0]
    assert conclude(comparison) == "There is nothing to conclude: no run was compared on any split."


def test_wrong_options_are_told_together():
    with pytest.raises(InputError, match="cannot be compared like that") as failure:
        compare_runs([], [*SPLITS, SPLITS[0], ComparedSplit("t", "train")], LABELS, metrics=["f1"], num_resamples=10)
    assert len(failure.value.problems) == 4
    assert "There is no metric 'f1'" in failure.value.problems[0]


def test_predictions_are_checked_when_made():
    with pytest.raises(InputError, match="example_ids 2, labels 2, logits 1"):
        SplitPredictions(np.array(["0", "1"]), np.array(["no", "no"]), np.zeros((1, 2)))
    with pytest.raises(InputError, match="example_id once"):
        SplitPredictions(np.array(["0", "0"]), np.array(["no", "no"]), np.zeros((2, 2)))


def test_what_was_given_a_methods_cost_is_its_baseline_among_several():
    runs = []
    for layers, share, flops in ((2, 0.9, 40.0), (4, 0.6, 60.0)):
        fact = {"matched.method": "ftft", "matched.reference": f"big, {layers} layers", "matched.fraction": 0.33}
        reference = {"reference_model": "big", "reference_layers": layers}
        for seed in range(2):
            ours = run("ftft", seed, noisy(0.8, seed), fraction=0.33, total_flops=flops, **reference)
            match = run("erm_matched", seed, noisy(share, seed + 5), total_flops=flops, facts=fact)
            runs += [dataclasses.replace(each, run_id=f"{each.run_id}-{layers}") for each in (ours, match)]
    rows = compare(runs, baseline="erm_matched").rows
    rows = rows[(rows["method"] == "ftft") & (rows["split"] == "far") & (rows["metric"] == "accuracy")]
    own = np.mean([noisy(0.8, seed).mean() for seed in range(2)])
    for layers, share in ((2, 0.9), (4, 0.6)):
        match = np.mean([noisy(share, seed + 5).mean() for seed in range(2)])
        assert rows.set_index("reference_layers").loc[layers, "delta"] == pytest.approx(own - match)


def test_plain_fine_tuning_on_a_part_is_held_against_that_on_everything():
    whole = [run("erm", seed, noisy(0.8, seed)) for seed in range(2)]
    part = [run("erm", seed, noisy(0.6, seed + 9), fraction=0.33, total_flops=33.0) for seed in range(2)]
    part = [dataclasses.replace(each, run_id=f"part-{each.seed}") for each in part]
    rows = compare([*part, *whole]).rows
    rows = rows[(rows["split"] == "far") & (rows["metric"] == "accuracy")].set_index("fraction")
    assert rows["cost_share"].to_dict() == pytest.approx({0.33: 0.33, 1.0: 1.0})
    assert rows.loc[1.0, "delta"] == 0
    assert rows.loc[0.33, "delta"] == pytest.approx(rows.loc[0.33, "mean"] - rows.loc[1.0, "mean"])


def test_one_seed_takes_no_mark_from_others():
    runs = [run("erm", seed, noisy(0.6, 10 * seed)) for seed in range(3)]
    runs += [run("ftft", seed, noisy(0.8, 10 * seed)) for seed in range(3)]
    single = [run(method, 0, noisy(0.6, 77)) for method in ("random", "hard", "easy", "el2n", "aum", "jtt", "poe")]
    alone, beside = (compare(each, num_resamples=2000) for each in (runs, [*runs, *single]))
    of_ftft = [each.marks[(each.rows["method"] == "ftft").to_numpy()]["p_holm"].tolist() for each in (alone, beside)]
    assert of_ftft[0] == of_ftft[1]


def test_however_many_methods_there_are_some_can_be_marked():
    names = ("ftft", "random", "hard", "easy", "el2n", "aum", "jtt", "poe", "focal", "curriculum", "forgetting")
    splits = tuple(ComparedSplit(f"far{number}", "out_of_distribution") for number in range(6))

    def given(share, seed):
        return {split.name: noisy(share, [seed, number], size=60) for number, split in enumerate(splits)}

    runs = [run("erm", seed, given(0.3, seed)) for seed in range(3)]
    runs += [run(name, seed, given(0.95, seed)) for name in names for seed in range(3)]
    tests = len(names) * len(splits)
    assert 2 / 201 * tests > 0.05  # Counting 200 draws could not mark one of so many.
    assert compare_runs(runs, splits, LABELS, metrics=("accuracy",), num_resamples=200).marks["marked"].any()


def test_marks_of_averages_are_corrected_for_all_of_them():
    splits = tuple(ComparedSplit(name, "out_of_distribution") for name in ("far", "farther"))
    splits = (*splits, ComparedSplit("near", "in_distribution"))

    def given(share, seed):
        return {split.name: noisy(share, [seed, number], size=200) for number, split in enumerate(splits)}

    shares = {"erm": 0.5, "ftft": 0.95, "random": 0.55, "hard": 0.5, "easy": 0.44, "el2n": 0.56, "aum": 0.64}
    runs = [
        run(name, seed, given(share, 10 * number + seed))
        for number, (name, share) in enumerate(shares.items())
        for seed in range(4)
    ]
    averages = compare_runs(runs, splits, LABELS, metrics=("accuracy",)).averages
    of_one_split = averages["role"] == "in_distribution"
    assert averages.loc[of_one_split | (averages["method"] == "erm"), "p_value"].isna().all()
    tested = averages[~of_one_split & (averages["method"] != "erm")]
    corrected = holm(tested["p_value"].to_numpy())
    np.testing.assert_allclose(tested["p_holm"], corrected)
    assert tested["marked"].tolist() == (corrected <= 0.05).tolist()
    # The correction takes something away: more intervals exclude zero than are marked.
    excluding = (tested["delta_low"] > 0) | (tested["delta_high"] < 0)
    assert 0 < tested["marked"].sum() < excluding.sum()
