"""What sets a selection apart: shares, scores, curves, label issues, and the sentences about them, by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from ftft_core.errors import InputError
from ftft_core.profile import (
    contrast,
    curve_quartiles,
    describe,
    given_against_predicted,
    label_issues,
    length_quantiles,
    percent,
    percentiles,
    profile_source,
    rank_scores,
    run_probabilities,
    shares,
)
from ftft_core.profile import scores as scores_module


def labels(*names: str | None, categories: list[str] | None = None) -> pd.Series:
    return pd.Series(pd.Categorical(names, categories=categories or sorted({name for name in names if name})))


def mask_of(size: int, *rows: int) -> np.ndarray:
    mask = np.zeros(size, dtype=bool)
    mask[list(rows)] = True
    return mask


def small_map(size: int = 200, *, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    codes = random.integers(0, 2, size)
    return pd.DataFrame(
        {
            "position": np.arange(size),
            "label": pd.Categorical.from_codes(codes, ["neg", "pos"]),
            "predicted_label": pd.Categorical.from_codes(codes, ["neg", "pos"]),
            "group": pd.Categorical([None] * size, categories=[]),
            "confidence": random.random(size),
            "variability": random.random(size) / 2,
            "first_learnt_epoch": np.where(random.random(size) < 0.2, np.nan, random.integers(0, 4, size)),
        }
    )


def test_shares_count_every_category_in_both_parts():
    found = shares(labels("a", "a", "b", "b", "b", "c", categories=["c", "b", "a", "d"]), mask_of(6, 0, 1, 2, 5))
    assert found["value"].tolist() == ["c", "b", "a", "d"]
    assert found["num_selected"].tolist() == [1, 1, 2, 0]
    assert found["num_rest"].tolist() == [0, 2, 0, 0]
    assert found["share_selected"].tolist() == [0.25, 0.25, 0.5, 0]
    assert found["lift"].tolist()[:3] == [np.inf, 0.25, np.inf]
    assert np.isnan(found["lift"][3])


def test_shares_leave_missing_values_out_and_are_empty_where_all_are_missing():
    found = shares(labels("a", None, "a", "b"), mask_of(4, 0, 1))
    assert found["share_selected"].tolist() == [1, 0]
    assert shares(labels(None, None, categories=["a"]), mask_of(2, 0)).empty
    assert shares(labels(None, None, categories=[]), mask_of(2, 0)).empty


@pytest.mark.parametrize(("rows", "missing"), [((), "share_selected"), ((0, 1), "share_rest")])
def test_a_part_without_examples_has_no_shares(rows, missing):
    assert shares(labels("a", "b"), mask_of(2, *rows))[missing].isna().all()


def test_a_mask_of_another_map_is_refused():
    with pytest.raises(InputError, match="one true or false for each of the map's 2 examples; received bool of shape"):
        shares(labels("a", "b"), np.ones(3, dtype=bool))
    with pytest.raises(InputError, match="received int64"):
        shares(labels("a", "b"), np.array([0, 1]))


def test_given_against_predicted_counts_the_selection_alone():
    given, predicted = labels("a", "a", "b", "b"), labels("a", "b", "b", "b")
    found = given_against_predicted(given, predicted, mask_of(4, 0, 1, 2))
    assert found.loc["a"].to_dict() == {"a": 1, "b": 1}
    assert found.loc["b"].to_dict() == {"a": 0, "b": 1}
    assert (found.index.name, found.columns.name) == ("label", "predicted_label")
    assert given_against_predicted(given, predicted, mask_of(4)).to_numpy().sum() == 0


def test_of_150_labels_the_most_frequent_keep_a_row_and_nothing_is_lost():
    names = [f"label {number:03}" for number in range(150)]
    codes = np.concatenate([np.arange(150), np.repeat([7, 3, 140], 20)])
    given = pd.Series(pd.Categorical.from_codes(codes, names))
    found = given_against_predicted(given, given, np.ones(len(codes), dtype=bool))
    assert found.shape == (13, 13)
    assert {names[3], names[7], names[140], "138 others"} <= set(found.index)
    assert found.index.tolist()[:-1] == sorted(found.index.tolist()[:-1])
    assert found.to_numpy().sum() == len(codes)
    assert found.loc["138 others", "138 others"] == 138
    assert len(shares(given, np.ones(len(codes), dtype=bool))) == 150


def test_length_quantiles_of_both_parts():
    found = length_quantiles(np.array([1, 2, 3, 10], dtype=np.int32), mask_of(4, 0, 1, 2))
    assert found.loc["selected", ["num_examples", "median", "p25"]].tolist() == [3, 2, 1.5]
    assert found.loc["rest", "p95"] == 10
    assert length_quantiles(np.array([5]), mask_of(1, 0)).loc["rest"].isna().sum() == 5


def test_contrast_by_hand_with_ties():
    found = contrast(rank_scores(pd.DataFrame({"loss": [1.0, 2.0, 2.0, 3.0]})), mask_of(4, 2, 3))
    # Pairs (selected, rest): 2>1, 2=2, 3>1, 3>2: three and a half of four.
    assert found.loc[0, ["score", "num_selected", "num_rest"]].tolist() == ["loss", 2, 2]
    assert found.loc[0, ["median_selected", "median_rest", "probability_higher"]].tolist() == [2.5, 1.5, 0.875]


def test_contrast_is_the_area_under_the_roc_curve():
    random = np.random.default_rng(1)
    data_map = pd.DataFrame({"loss": random.random(500), "forgetting_events": random.integers(0, 3, 500)})
    mask = random.random(500) < data_map["loss"]
    found = contrast(rank_scores(data_map), mask).set_index("score")
    for name in data_map:
        assert found.loc[name, "probability_higher"] == pytest.approx(roc_auc_score(mask, data_map[name]))
        assert found.loc[name, "median_selected"] == data_map[name][mask].median()
        assert found.loc[name, "median_rest"] == data_map[name][~mask].median()
    assert found.index[0] == "loss"


def test_more_values_than_ranks_are_ranked_closely(monkeypatch):
    monkeypatch.setattr(scores_module, "MOST_RANKS", 100)
    random = np.random.default_rng(2)
    values = np.concatenate([random.random(4_000), np.full(1_000, 0.5)])
    mask = random.random(5_000) < values
    found = contrast(rank_scores(pd.DataFrame({"loss": values})), mask)
    assert found.loc[0, "probability_higher"] == pytest.approx(roc_auc_score(mask, values), abs=0.005)
    assert found.loc[0, "median_selected"] == pytest.approx(np.median(values[mask]), abs=0.01)


def test_missing_scores_are_left_out():
    ranked = rank_scores(pd.DataFrame({"first_learnt_epoch": pd.array([0, None, 2, None], dtype="Int64")}))
    found = contrast(ranked, mask_of(4, 1, 2))
    assert found.loc[0, ["num_selected", "num_rest", "probability_higher"]].tolist() == [1, 1, 1]
    nothing = contrast(ranked, mask_of(4, 1, 3))
    assert np.isnan(nothing.loc[0, "probability_higher"])
    assert np.isnan(nothing.loc[0, "median_selected"])


def test_a_score_that_is_the_same_everywhere_tells_nothing():
    found = contrast(rank_scores(pd.DataFrame({"loss": np.ones(10)})), mask_of(10, 1, 2))
    assert found.loc[0, ["probability_higher", "z"]].tolist() == [0.5, 0]


def test_percentiles_of_one_example():
    ranked = rank_scores(pd.DataFrame({"loss": [1.0, 2.0, 2.0, 3.0], "aum": [np.nan, 1, 2, 3]}))
    assert percentiles(ranked, 1)["loss"] == pytest.approx(0.5)  # one lower, one equal, of three
    assert percentiles(ranked, 3)["loss"] == 1
    assert np.isnan(percentiles(ranked, 0)["aum"])
    assert np.isnan(percentiles(rank_scores(pd.DataFrame({"loss": [1.0]})), 0)["loss"])
    with pytest.raises(InputError, match="There is no row 4; the map has rows 0 to 3"):
        percentiles(ranked, 4)


def test_curves_are_quartiles_of_the_selected():
    gold = np.array([[0.0, 0.1, 0.2, 0.9], [0.5, 0.5, 0.5, 0.1]], dtype=np.float32)
    found = curve_quartiles(gold, mask_of(4, 0, 1, 2))
    np.testing.assert_allclose(found.to_numpy(), [[0.05, 0.1, 0.15], [0.5, 0.5, 0.5]], atol=1e-7)
    assert curve_quartiles(gold, mask_of(4)).isna().all(axis=None)
    assert curve_quartiles(gold[:1], mask_of(4, 3))["median"].tolist() == pytest.approx([0.9])


def test_run_probabilities_of_one_epoch():
    found = run_probabilities(np.array([[[0, np.log(3)]]], dtype=np.float32), np.array([1]), ["no", "yes"], [4])
    assert found.epochs.tolist() == [4]
    assert found.gold.tolist() == [[pytest.approx(0.75)]]
    assert found.mean.tolist() == [[pytest.approx(0.25), pytest.approx(0.75)]]


def test_label_issues_by_hand():
    # Thresholds: mean of a over those labelled a is 0.6, of b over those labelled b 0.7.
    mean = np.array([[0.9, 0.1], [0.3, 0.7], [0.6, 0.4], [0.2, 0.8], [0.4, 0.6]], dtype=np.float32)
    found = label_issues(mean, np.array([0, 0, 0, 1, 1]), ["a", "b"])
    assert found["is_issue"].tolist() == [False, True, False, False, False]
    assert found["suggested_label"].tolist()[1] == "b"
    assert found["suggested_label"].isna().sum() == 4
    np.testing.assert_allclose(found["quality"], [0.8, -0.4, 0.2, 0.6, 0.2], atol=1e-6)


def test_a_label_that_no_example_has_is_never_suggested():
    mean = np.array([[0.1, 0.1, 0.8], [0.2, 0.7, 0.1]], dtype=np.float32)
    found = label_issues(mean, np.array([0, 1]), ["a", "b", "c"])
    assert not found["is_issue"].any()


def test_label_issues_refuse_shapes_that_do_not_go_together():
    with pytest.raises(InputError, match="received probabilities of shape \\(2, 2\\), 2 labels and 3 names"):
        label_issues(np.full((2, 2), 0.5, np.float32), np.array([0, 1]), ["a", "b", "c"])


def described(data_map: pd.DataFrame, mask: np.ndarray) -> list[str]:
    return describe(profile_source(data_map), mask).sentences


def test_sentences_name_what_is_beyond_noise():
    data_map = small_map(2_000)
    is_neg = data_map["label"] == "neg"
    random = np.random.default_rng(5)
    mask = np.where(is_neg, random.random(2_000) < 0.6, random.random(2_000) < 0.2)
    data_map.loc[mask, "variability"] += 0.3
    sentences = described(data_map, mask)
    assert sentences[0].startswith("Twice as many 'neg' as elsewhere (7")
    assert sentences[1].startswith("Variability higher than in 9")
    assert "median 0.5" in sentences[1]
    assert len(sentences) == 2


def test_a_random_selection_is_said_to_be_like_the_rest():
    for seed in range(5):
        data_map = small_map(1_000, seed=seed)
        mask = np.random.default_rng(seed + 50).random(1_000) < 0.3
        sentences = described(data_map, mask)
        assert sentences == [f"Nothing sets these {mask.sum()} examples apart from the rest beyond chance."]


def test_scores_that_say_the_same_are_named_once():
    data_map = small_map(1_000)
    data_map["loss"] = -np.log(data_map["confidence"])
    said = described(data_map, (data_map["confidence"] < 0.2).to_numpy())
    assert [sentence.split()[0] for sentence in said] == ["Confidence"]
    assert "lower than in nearly all of the rest" in said[0]


def test_what_is_only_here_and_not_here():
    data_map = small_map(400)
    is_neg = (data_map["label"] == "neg").to_numpy()
    assert described(data_map, is_neg)[0] == "Only 'neg' here (100 % against 0 %)."
    data_map["group"] = pd.Categorical(np.where(np.arange(400) < 200, "x", "y"))
    random = np.random.default_rng(0)
    assert described(data_map, (np.arange(400) >= 200) & (random.random(400) < 0.5))[-1].startswith(
        "Only in the group 'y' here (100 %"
    )


def test_label_issues_are_told_whenever_there_are_any():
    data_map = small_map(100)
    issues = pd.DataFrame({"is_issue": mask_of(100, 3, 4, 60)})
    source = profile_source(data_map, issues=issues)
    assert (
        describe(source, mask_of(100, 3, 4, 5)).sentences[-1] == "2 of 3 are probable label errors (1 % of the rest)."
    )
    assert describe(source, mask_of(100, 3, 4, 60)).sentences[-1].endswith("(none of the rest).")
    assert describe(source, mask_of(100, 60)).sentences[-1].startswith("1 of 1 is a probable label error")
    assert describe(source, mask_of(100, 7)).num_issues == (0, 3)


def test_nothing_everything_and_one():
    source = profile_source(small_map(50), issues=pd.DataFrame({"is_issue": mask_of(50, 1)}))
    nothing, everything = describe(source, np.zeros(50, dtype=bool)), describe(source, np.ones(50, dtype=bool))
    assert nothing.sentences == ["Nothing is selected."]
    assert np.isnan(nothing.share_misread[0])
    assert everything.sentences == [
        "All 50 examples are selected: there is no rest to compare with.",
        "1 of 50 is a probable label error.",
    ]
    assert everything.scores["probability_higher"].isna().all()
    one = describe(source, mask_of(50, 9))
    assert one.sentences == ["Nothing sets this example apart from the rest beyond chance."]
    assert one.scores["num_selected"].max() == 1
    alone = describe(profile_source(small_map(1)), np.ones(1, dtype=bool))
    assert alone.sentences == ["The only example is selected: there is no rest to compare with."]
    assert (alone.words, alone.lengths, alone.curves, alone.num_issues) == (None, None, None, None)


@pytest.mark.parametrize(
    ("share", "words"),
    [(0, "0 %"), (0.0004, "under 0.1 %"), (0.004, "0.4 %"), (0.333, "33 %"), (0.999, "over 99 %"), (1, "100 %")],
)
def test_shares_in_words(share, words):
    assert percent(share) == words
