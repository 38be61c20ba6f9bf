"""Averages of maps: reliability worked out by hand, and which average agrees best with a main model."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ftft_core.comparison import average_maps, compare_averages, runs_needed, spearman_brown
from ftft_core.errors import InputError
from tests.test_comparison_transfer import TRUTH, UP, data_map, map_like


def test_runs_needed_by_hand():
    # 0.8 = n r / (1 + (n - 1) r): for r = 0.5 that is n = 4, for r = 0.32 (the probe's seeds) n = 8.5
    assert runs_needed(0.5) == 4
    assert runs_needed(0.32) == 9
    assert spearman_brown(0.32, 9) > 0.8 > spearman_brown(0.32, 8)
    assert runs_needed(0.9) == 1
    assert runs_needed(1.0) == 1
    assert runs_needed(0.0) is None
    assert runs_needed(float("nan")) is None


def test_facts_of_an_example_are_not_averaged():
    labels = pd.Categorical(["no", "yes"], categories=["yes", "no"])
    one = data_map([0.2, 0.4]).assign(position=[3, 8], group=["news", None], predicted_label=labels)
    two = data_map([0.4, 0.8]).assign(position=[3, 8], group=["news", None], predicted_label=labels[::-1])
    average = average_maps({"a": one, "b": two})
    assert average["position"].tolist() == [3, 8]
    assert average["group"].fillna("none").tolist() == ["news", "none"]
    assert average["predicted_label"].tolist() == ["no", "yes"]
    assert list(average["predicted_label"].cat.categories) == ["yes", "no"]


def test_the_most_frequent_prediction_wins():
    votes = [["a", "b", "c"], ["b", "b", "a"], ["b", "a", "b"]]
    maps = {str(run): data_map([0.1, 0.2, 0.3]).assign(predicted_label=each) for run, each in enumerate(votes)}
    assert average_maps(maps)["predicted_label"].tolist() == ["b", "b", "c"]


def noisy(seed: int, noise: float = 0.25) -> pd.DataFrame:
    return map_like(TRUTH, noise, seed)


def test_an_average_is_held_against_single_runs_of_other_seeds():
    maps = {"m0": noisy(0), "m1": noisy(1), "s0": noisy(2), "s1": noisy(3)}
    seeds = {"m0": 0, "m1": 1, "s0": 0, "s1": 1}
    costs = {"m0": 10.0, "m1": 10.0, "s0": 2.0, "s1": 4.0}
    found = compare_averages(maps, ["m0", "m1"], {"small": ["s0", "s1"]}, seeds=seeds, costs=costs)
    rows = found.set_index("average")
    # s0 against m1, and s1 against m0: never the same seed
    each = [stats.spearmanr(maps[a]["variability"], maps[b]["variability"]).statistic for a, b in
            (("s0", "m1"), ("s1", "m0"))]  # fmt: skip
    assert rows.loc["small", "correlation"] == pytest.approx(np.mean(each))
    assert rows.loc["small", ["cost", "num_ways", "same_seed"]].tolist() == [3.0, 2, False]
    # both seeds are in this one, so nothing but the main model's runs of those seeds is left
    average = (maps["s0"]["variability"] + maps["s1"]["variability"]) / 2
    each = [stats.spearmanr(average, maps[main]["variability"]).statistic for main in ("m0", "m1")]
    assert rows.loc["small, 2 seeds", "correlation"] == pytest.approx(np.mean(each))
    assert rows.loc["small, 2 seeds", ["cost", "num_runs", "same_seed"]].tolist() == [6.0, 2, True]
    assert rows.loc["another seed of the main model", "kind"] == "main"
    # The best first, and last what shares its seed with what it is held against.
    assert found["same_seed"].tolist() == [False, False, True]
    assert found["overlap"][:2].is_monotonic_decreasing


def test_an_average_is_not_held_against_a_seed_that_is_in_it_where_it_can_be_helped():
    maps = {"m0": noisy(0), "m1": noisy(1), "s0": noisy(2), "s1": noisy(3), "s2": noisy(4)}
    seeds = {"m0": 0, "m1": 1, "s0": 0, "s1": 1, "s2": 2}
    found = compare_averages(maps, ["m0", "m1"], {"small": ["s0", "s1", "s2"]}, seeds=seeds).set_index("average")
    both = found.loc["small, 2 seeds"]
    each = [
        stats.spearmanr((maps[a]["variability"] + maps["s2"]["variability"]) / 2, maps[main]["variability"]).statistic
        for a, main in (("s0", "m1"), ("s1", "m0"))
    ]
    assert both["correlation"] == pytest.approx(np.mean(each))
    assert both[["num_ways", "same_seed"]].tolist() == [2, False]
    assert found.loc["small, 3 seeds", "same_seed"]


def test_an_average_of_two_references_beats_each():
    maps = {f"m{seed}": noisy(seed, 0.05) for seed in range(2)} | {"a": noisy(10, 0.4), "b": noisy(11, 0.4)}
    found = compare_averages(maps, ["m0", "m1"], {"a": ["a"], "b": ["b"]}).set_index("average")
    assert found.loc["a with b", "correlation"] > max(found.loc["a", "correlation"], found.loc["b", "correlation"])
    assert found.loc["a with b", "overlap"] > max(found.loc["a", "overlap"], found.loc["b", "overlap"])
    assert found["cost"].isna().all()


def test_maps_by_epoch_are_averaged_in_the_rows_that_all_have():
    early, late = noisy(5), noisy(6)
    whole = average_maps({"e": early, "l": late})
    main = noisy(7).iloc[20:].reset_index(drop=True)  # lacks the first examples
    found = compare_averages(
        {"m": main, "r": late}, ["m"], {"small": ["r"]}, epoch_maps={"r": [early, late]}
    ).set_index("average")  # fmt: skip
    expected = stats.spearmanr(whole["variability"].iloc[20:], main["variability"]).statistic
    assert found.loc["small, over its epochs", "correlation"] == pytest.approx(expected)
    assert found.loc["small, over its epochs", "runs"] == ("r",)


def test_averages_need_maps_and_a_main_model():
    with pytest.raises(InputError, match="cannot be compared") as failure:
        compare_averages({"a": data_map(UP)}, [], {"small": ["b"]}, score="varability")
    assert [problem.split(" (")[0].split(":")[0] for problem in failure.value.problems] == [
        "There is no data map of run 'b'",
        "main_runs",
        "There is no score 'varability'",
    ]
