"""The verdict: seeds grouped, the same seed told apart, and what is said of a reference that is not good enough."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ftft_core.comparison import advise, grid, judge, reliabilities, transfer_matrix
from tests.test_comparison_transfer import DOWN, TRUTH, UP, data_map, map_like


def of(maps: dict[str, pd.DataFrame], a: str, b: str) -> float:
    return float(stats.spearmanr(maps[a]["variability"], maps[b]["variability"]).statistic)


MAPS = {name: map_like(TRUTH, 0.3, seed) for seed, name in enumerate(["m0", "m1", "s0", "s1"])}
SEEDS = {"m0": 0, "m1": 1, "s0": 0, "s1": 1}
GROUPS = {"main": ["m0", "m1"], "small": ["s0", "s1"]}


def test_groups_are_compared_over_pairs_of_different_seeds():
    found = grid(transfer_matrix(MAPS, scores=["variability"]), GROUPS, SEEDS)
    assert found[["group_a", "group_b"]].values.tolist() == [["main", "main"], ["main", "small"], ["small", "small"]]
    expected = [of(MAPS, "m0", "m1"), (of(MAPS, "m0", "s1") + of(MAPS, "m1", "s0")) / 2, of(MAPS, "s0", "s1")]
    assert found["correlation"].tolist() == pytest.approx(expected)
    assert found["num_pairs"].tolist() == [1, 2, 1]
    assert found["chance"].tolist() == pytest.approx([0.2] * 3)


def test_one_seed_is_compared_with_the_same_seed_and_says_so():
    found = grid(transfer_matrix(MAPS, scores=["variability"]), {"main": ["m0"], "small": ["s0"]}, SEEDS)
    assert found["same_seed"].tolist() == [False, True, False]
    assert found["num_pairs"].tolist() == [0, 1, 0]
    assert found["overlap"].isna().tolist() == [True, False, True]
    advice = advise(MAPS, ["m0"], {"small": ["s0"]}, {}, seeds=SEEDS)
    assert "run of the same seed alone" in advice.sentences[-1]


def test_a_correlation_is_corrected_for_the_noise_of_both():
    advice = advise(MAPS, ["m0", "m1"], {"small": ["s0", "s1"]}, {"small": 1.0}, seeds=SEEDS, main_cost=4.0)
    (row,) = advice.references.to_dict("records")
    raw = (of(MAPS, "m0", "s1") + of(MAPS, "m1", "s0")) / 2
    assert row["correlation"] == pytest.approx(raw)
    assert row["corrected_correlation"] == pytest.approx(raw / np.sqrt(of(MAPS, "m0", "m1") * of(MAPS, "s0", "s1")))
    assert row["corrected_correlation"] == pytest.approx(1, abs=0.15)  # one truth behind all of them
    assert row["cost_share"] == 0.25
    assert not row["corrected_is_unsure"]


def test_a_correction_by_hardly_any_reliability_is_unsure():
    maps = {**MAPS, "s1": map_like(TRUTH, 3, 9)}
    assert 0 < of(maps, "s0", "s1") < 0.3
    advice = advise(maps, ["m0", "m1"], {"small": ["s0", "s1"], "one": ["s0"]}, {}, seeds=SEEDS)
    unsure = advice.references.set_index("reference")["corrected_is_unsure"]
    assert unsure.to_dict() == {"small": True, "one": False}, "without a second seed nothing is corrected"


def test_reliabilities_by_hand():
    found = reliabilities(transfer_matrix(MAPS, scores=["variability"]), {**GROUPS, "one": ["m0"]})
    single = of(MAPS, "m0", "m1")
    assert found["reliability_of_one"].tolist()[0] == pytest.approx(single)
    assert found["reliability_of_average"].tolist()[0] == pytest.approx(2 * single / (1 + single))
    assert found["reliability_of_one"].isna().tolist() == [False, False, True]
    assert found["runs_needed"].isna().tolist() == [False, False, True]


def test_no_reference_is_good_enough_where_the_main_model_s_seeds_agree_by_chance():
    # the ceiling is 0 here, so that anything would be "within it"
    maps = {"m0": data_map(UP), "m1": data_map(DOWN), "r": data_map([0.1, 0.6, 0.3, 0.5, 0.4, 0.2])}
    advice = advise(maps, ["m0", "m1"], {"small": ["r"]}, {})
    assert advice.needed_overlap == 0
    assert advice.chosen is None
    assert advice.sentences[0].startswith("No reference can be judged")


def test_what_a_reference_never_learnt_is_told():
    never = data_map(UP, confidence=[0.9, 0.8, 0.7, 0.6, 0.2, 0.1]).assign(never_learnt=[False] * 4 + [True] * 2)
    advice = advise({"m": data_map(UP), "r": never}, ["m"], {"small": ["r"]}, {})
    (row,) = advice.references.to_dict("records")
    assert (row["never_learnt_share"], row["easy_share"]) == (1.0, 0.0)
    assert any("small looks undertrained: it never predicted 100 %" in each for each in advice.sentences)
    # the hardest are those never learnt, of whatever model
    by_hardness = advise({"m": data_map(UP), "r": never}, ["m"], {"small": ["r"]}, {}, score="confidence")
    assert not any("undertrained" in each for each in by_hardness.sentences)
    sets = transfer_matrix({"m": data_map(UP), "r": never}).ambiguous_sets.set_index("run")
    assert sets.loc["r", ["hard_share", "never_learnt_by_chance"]].tolist() == pytest.approx([1.0, 1 / 3])
    assert np.isnan(sets.loc["m", "never_learnt_share"])


def test_sets_by_another_score():
    one = data_map(UP, confidence=[0.1, 0.2, 0.9, 0.8, 0.7, 0.6])
    other = data_map(UP, confidence=[0.9, 0.1, 0.2, 0.8, 0.7, 0.6])
    found = transfer_matrix({"a": one, "b": other}, scores=["confidence"], score="confidence")
    assert found.overlaps["jaccard"].tolist() == pytest.approx([1 / 3])  # {0, 1} and {1, 2}
    assert found.score == "confidence"


def test_without_a_reference_the_verdict_says_what_is_missing():
    transfer = transfer_matrix({"m0": MAPS["m0"], "m1": MAPS["m1"]}, scores=["variability"])
    advice = judge(transfer, ["m0", "m1"], {}, {})
    assert (advice.chosen, len(advice.references)) == (None, 0)
    assert advice.sentences[0].startswith("All runs are of the main model; two of its seeds overlap by")
