import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ftft_core.comparison import (
    advise,
    average_maps,
    compare_averages,
    corrected_correlation,
    easy_share,
    jaccard_by_chance,
    reliability,
    spearman_brown,
    transfer_matrix,
)
from ftft_core.comparison.transfer import chosen_shares
from ftft_core.errors import InputError


def data_map(variability, confidence=None, *, ids=None, labels=None):
    size = len(variability)
    return pd.DataFrame(
        {
            "example_id": [str(i) for i in range(size)] if ids is None else ids,
            "label": ["yes"] * size if labels is None else labels,
            "confidence": 1 - np.asarray(variability, dtype=float) if confidence is None else confidence,
            "variability": np.asarray(variability, dtype=float),
        }
    )


def map_like(truth, noise, seed):
    return data_map(truth + np.random.default_rng(seed).normal(0, noise, len(truth)))


TRUTH = np.linspace(0, 1, 300)
UP, DOWN = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [0.6, 0.5, 0.4, 0.3, 0.2, 0.1]


def test_overlap_and_correlation_by_hand():
    # the top third of each: {4, 5}, {0, 1}, {3, 5}
    maps = {"a": data_map(UP), "b": data_map(DOWN), "c": data_map([0.1, 0.2, 0.3, 0.5, 0.4, 0.6])}
    transfer = transfer_matrix(maps, scores=["variability"])
    assert transfer.overlaps[["run_a", "run_b"]].values.tolist() == [["a", "b"], ["a", "c"], ["b", "c"]]
    assert transfer.overlaps["jaccard"].tolist() == pytest.approx([0, 1 / 3, 0])
    assert transfer.overlaps["jaccard_by_chance"].tolist() == pytest.approx([1 / 5] * 3)
    # one swap of neighbours: 1 - 6 * 2 / (6 * 35)
    assert transfer.correlations["spearman"].tolist() == pytest.approx([-1, 1 - 12 / 210, -(1 - 12 / 210)])
    # confidence is 1 - variability, so easy are {0, 1} for a, {4, 5} for b, {0, 1} for c
    assert transfer.overlaps["ambiguous_a_easy_b"].tolist() == [1.0, 0.0, 1.0]
    assert transfer.overlaps["ambiguous_b_easy_a"].tolist() == [1.0, 0.0, 0.5]
    assert transfer.ambiguous_sets["easy_share"].tolist() == [0.0, 0.0, 0.0]
    assert transfer.notes == ()


def test_ties_have_their_mean_rank_and_constants_no_correlation():
    tied, other = data_map([0.1, 0.1, 0.3, 0.3], [0.5] * 4), data_map([0.1, 0.2, 0.2, 0.4])
    spearman = transfer_matrix({"a": tied, "b": other}, scores=["variability", "confidence", "aum"]).correlations
    expected = stats.spearmanr(tied["variability"], other["variability"]).statistic
    assert spearman["spearman"].tolist()[0] == pytest.approx(expected)
    assert spearman["spearman"].isna().tolist() == [False, True, True]


def test_ties_at_the_edge_of_a_set_are_no_agreement():
    # a third of six is two: one is above all others, four tie for the other place, the last is below
    one = data_map(UP).assign(correctness=[0.5, 0.0, 0.5, 0.5, 0.5, 1.0])
    assert chosen_shares(one, "correctness", 1 / 3).tolist() == [0.25, 1, 0.25, 0.25, 0.25, 0]
    assert chosen_shares(one, "variability", 1 / 3).tolist() == [0, 0, 0, 0, 1, 1]
    # all tie in both, as of counts most do: the selections are the same, and the maps agree no more than chance
    tied = data_map(UP).assign(forgetting_events=0, never_learnt=False, prediction_flips=1)
    maps = {"a": tied, "b": tied.copy()}
    for score in ("forgetting_events", "prediction_flips"):
        (row,) = transfer_matrix(maps, scores=[score], score=score).overlaps.to_dict("records")
        assert row["jaccard"] == pytest.approx(row["jaccard_by_chance"])
    found = compare_averages(maps, ["a"], {"small": ["b"]}, score="prediction_flips")
    assert found["overlap"].tolist() == pytest.approx([1 / 5])
    # one never learnt leads both lists; the other place is drawn among five: (1 + 5 / 25) / (4 - 1.2)
    never = tied.assign(never_learnt=[True] + [False] * 5)
    (row,) = transfer_matrix({"a": never, "b": never.copy()}, score="forgetting_events").overlaps.to_dict("records")
    assert row["jaccard"] == pytest.approx(1.2 / 2.8)


def test_maps_are_aligned_by_id():
    reversed_map = data_map(UP).iloc[::-1].reset_index(drop=True)
    more = pd.concat([reversed_map, data_map([0.9], ids=["extra"])], ignore_index=True)
    transfer = transfer_matrix({"a": data_map(UP), "b": more})
    assert transfer.overlaps["jaccard"].tolist() == [1.0]
    assert transfer.overlaps["num_examples"].tolist() == [6]
    assert transfer.notes == ("Run b has 1 examples that not all runs have; they were left out.",)


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(InputError, match="have no example in common"):
        transfer_matrix({"a": data_map(UP), "b": data_map(UP, ids=list("uvwxyz"))})
    with pytest.raises(InputError, match="at least two runs; received 1"):
        transfer_matrix({"a": data_map(UP)})
    with pytest.raises(InputError, match="No data maps"):
        transfer_matrix({})
    with pytest.raises(InputError, match="There is no score 'varability'"):
        transfer_matrix({"a": data_map(UP), "b": data_map(UP)}, scores=["varability"])
    with pytest.raises(InputError, match="the runs share 2"):
        transfer_matrix({"a": data_map([0.1, 0.2]), "b": data_map([0.1, 0.2])})
    with pytest.raises(InputError, match="holds an example_id twice"):
        transfer_matrix({"a": data_map(UP), "b": data_map(UP, ids=["0"] * 6)})
    with pytest.raises(InputError, match="Run b has another label for 6 of 6 examples than a"):
        transfer_matrix({"a": data_map(UP), "b": data_map(UP, labels=["no"] * 6)})


def test_that_a_low_ceiling_is_a_low_bar_is_said():
    maps = {"m0": map_like(TRUTH, 0.5, 0), "m1": map_like(TRUTH, 0.5, 1), "r": map_like(TRUTH, 0.5, 2)}
    spearman = stats.spearmanr(maps["m0"]["variability"], maps["m1"]["variability"]).statistic
    advice = advise(maps, ["m0", "m1"], {"small": ["r"]}, {"small": 1.0})
    (said,) = [each for each in advice.sentences if "mostly noise" in each]
    assert f"two seeds of the main model correlate by {spearman:.2f}" in said


def test_a_weak_reference_calls_easy_examples_ambiguous():
    assert easy_share(data_map(UP, confidence=UP)) == 1.0
    assert easy_share(data_map(UP, confidence=DOWN)) == 0.0


def test_average_of_maps_by_hand():
    one = data_map([0.2, 0.4]).assign(
        predicted_label=["yes", "no"], never_learnt=[True, True], first_learnt_epoch=pd.array([None, 1], dtype="Int64")
    )
    two = data_map([0.4, 0.8]).assign(
        predicted_label=["no", "no"], never_learnt=[True, False], first_learnt_epoch=pd.array([None, 2], dtype="Int64")
    )
    average = average_maps({"a": one, "b": two.iloc[::-1]})
    assert average["example_id"].tolist() == ["0", "1"]
    assert average["variability"].tolist() == pytest.approx([0.3, 0.6])
    assert average["predicted_label"].tolist() == ["yes", "no"]
    assert average["never_learnt"].tolist() == [True, False]
    assert average["first_learnt_epoch"].isna().tolist() == [True, False]
    assert average["first_learnt_epoch"].tolist()[1] == 1.5


def test_averaging_makes_maps_reliable_as_spearman_brown_says():
    maps = {str(seed): map_like(TRUTH, 0.3, seed) for seed in range(8)}
    single, stepped_up = reliability({name: maps[name] for name in "0123"})
    halves = [average_maps({name: maps[name] for name in names})["variability"] for names in ("0123", "4567")]
    assert single < stepped_up
    assert stats.spearmanr(*halves).statistic == pytest.approx(stepped_up, abs=0.05)


def test_reliability_needs_two_runs():
    with pytest.raises(InputError, match="at least two runs of the same model"):
        reliability({"a": data_map(UP)})


def test_runs_that_contradict_each_other_have_no_stepped_up_reliability():
    single, stepped_up = reliability({"a": data_map(UP), "b": data_map(DOWN)})
    assert single == pytest.approx(-1)
    assert np.isnan(stepped_up)


def test_spearman_brown_by_hand():
    assert spearman_brown(0.5, 2) == pytest.approx(2 / 3)
    assert spearman_brown(0.8, 1) == 0.8
    with pytest.raises(InputError, match="received r = -1 and n = 2"):
        spearman_brown(-1, 2)


def test_correlation_corrected_for_noise_by_hand():
    assert corrected_correlation(0.4, 0.8, 0.5) == pytest.approx(0.4 / np.sqrt(0.4))
    assert np.isnan(corrected_correlation(0.4, 0.0, 0.5))


def test_chance_overlap_is_what_random_selections_have():
    rng = np.random.default_rng(0)
    maps = {name: data_map(rng.random(6000)) for name in "ab"}
    assert transfer_matrix(maps, scores=()).overlaps["jaccard"][0] == pytest.approx(jaccard_by_chance(1 / 3), abs=0.02)


def test_the_cheapest_reference_within_the_ceiling_is_named():
    maps = {"big-0": map_like(TRUTH, 0.2, 0), "big-1": map_like(TRUTH, 0.2, 1)}
    maps |= {"base-0": map_like(TRUTH, 0.05, 2), "small-0": map_like(TRUTH, 0.05, 3), "tiny-0": map_like(TRUTH, 5, 4)}
    references = {"base": ["base-0"], "small": ["small-0"], "tiny": ["tiny-0"]}
    advice = advise(maps, ["big-0", "big-1"], references, {"base": 50.0, "small": 20.0, "tiny": 1.0})
    assert advice.chosen == "small"
    assert advice.references["reference"].tolist() == ["tiny", "small", "base"]
    assert advice.references["good_enough"].tolist() == [False, True, True]
    assert advice.sentences[0].startswith("small is the cheapest reference that is good enough")
    assert "one pair of seeds" in advice.sentences[1]


def test_none_may_be_good_enough():
    maps = {"m0": map_like(TRUTH, 0.01, 0), "m1": map_like(TRUTH, 0.01, 1), "r": map_like(TRUTH, 1, 2)}
    advice = advise(maps, ["m0", "m1"], {"small": ["r"]}, {})
    assert advice.chosen is None
    assert advice.sentences[0].startswith("No reference is as good as another seed of the main model: small overlaps")
    assert not any("mostly noise" in each for each in advice.sentences)


def test_without_a_second_seed_no_ceiling_is_known():
    advice = advise({"m": data_map(UP), "r": data_map(UP)}, ["m"], {"small": ["r"]}, {"small": 1.0})
    assert (advice.chosen, advice.needed_overlap) == (None, None)
    assert advice.sentences[0].startswith("No second seed of the main model: no ceiling is known")
    assert advice.references["good_enough"].isna().all()


def test_a_reference_full_of_easy_examples_is_called_too_weak():
    weak = data_map(UP, confidence=UP)
    advice = advise({"m": data_map(UP), "r": weak}, ["m"], {"small": ["r"]}, {})
    assert "small looks too weak: 100 %" in advice.sentences[-1]


def test_advice_needs_maps_runs_and_references():
    with pytest.raises(InputError, match="Transfer cannot be judged") as failure:
        advise({"a": data_map(UP)}, [], {"small": ["b"], "none": []}, {})
    assert [problem.split(":")[0].split(" (")[0] for problem in failure.value.problems] == [
        "There is no data map of run 'b'",
        "main_runs",
        "references",
    ]


def test_runs_of_one_suite_are_matched_by_their_rows():
    whole = data_map(UP).assign(position=range(len(UP)))
    part = whole.iloc[2:].reset_index(drop=True)
    transfer = transfer_matrix({"whole": whole, "part": part}, scores=["variability"])
    by_id = transfer_matrix(
        {"whole": whole.drop(columns="position"), "part": part.drop(columns="position")}, scores=["variability"]
    )
    pd.testing.assert_frame_equal(transfer.overlaps, by_id.overlaps)
    assert transfer.correlations["spearman"].tolist() == pytest.approx([1.0])
    assert transfer.notes == ("Run whole has 2 examples that not all runs have; they were left out.",)


def test_rows_of_another_suite_are_matched_by_their_ids():
    one = data_map(UP, ids=list("abcdef")).assign(position=range(6))
    other = data_map(UP[::-1], ids=list("fedcba")).assign(position=range(6))
    found = transfer_matrix({"one": one, "other": other}, scores=["variability"]).correlations
    assert found["spearman"].tolist() == pytest.approx([1.0])
