import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

from ftft_core.comparison import ComparedSplit, RunResult, SplitPredictions, compare_runs, group_runs
from ftft_core.comparison.pairs import compare_pair, mcnemar
from ftft_core.errors import InputError
from ftft_core.metrics import softmax

LABELS = ("no", "yes")
FAR = ComparedSplit("far", "out_of_distribution")


def predictions(right, *, gold=None, groups=None, sure=3.0):
    right = np.asarray(right, dtype=bool)
    gold = np.resize(LABELS, len(right)) if gold is None else np.asarray(gold)
    predicted = np.where(right, gold == "yes", gold != "yes").astype(int)
    ids = np.array([f"{number:04}" for number in range(len(right))], dtype=object)
    return SplitPredictions(ids, gold, np.eye(2)[predicted] * sure, groups)


def methods(first, second, **options):
    """Two methods whose seeds are right as given."""
    runs = [
        RunResult(f"{name}-{seed}", name, "m", 2, seed, 1.0, {"far": predictions(right, **options)})
        for name, seeds in (("erm", second), ("ftft", first))
        for seed, right in enumerate(seeds)
    ]
    by_name = {method.key.method: method for method in group_runs(runs)[0]}
    return by_name["ftft"], by_name["erm"], runs


def pair_of(first, second, **options):
    ftft, erm, _ = methods(first, second, **options)
    return compare_pair(ftft, erm, FAR, LABELS, num_resamples=300)


def test_outcomes_of_one_seed_by_hand():
    pair = pair_of([[1, 1, 0, 0, 1]], [[1, 0, 1, 0, 0]])
    assert pair.outcomes().tolist() == ["both_right", "won", "lost", "both_wrong", "won"]
    assert pair.counts() == {"won": 2, "lost": 1, "both_wrong": 1, "both_right": 1}
    assert pair.counts("every") == pair.counts("most")
    assert pair.example_ids.tolist() == ["0000", "0001", "0002", "0003", "0004"]


def test_most_seeds_is_more_than_half_and_every_seed_is_all_or_none():
    #            ftft: 2 of 2, 1 of 2, 0 of 2;         erm: 0 of 2, 0 of 2, 2 of 2
    pair = pair_of([[1, 1, 0], [1, 0, 0]], [[0, 0, 1], [0, 0, 1]])
    assert pair.first.right.tolist() == [1, 0.5, 0]
    assert pair.outcomes("most").tolist() == ["won", "both_wrong", "lost"]
    assert pair.outcomes("every").tolist() == ["won", None, "lost"]
    with pytest.raises(InputError, match="no rule 'some'"):
        pair.outcomes("some")


def test_half_of_the_seeds_is_settled_by_the_mean_probability():
    def sure(yes):
        ids = np.array(["0", "1"], dtype=object)
        return SplitPredictions(ids, np.array(["yes", "yes"]), np.log([[1 - share, share] for share in yes]))

    runs = [RunResult(f"ftft-{seed}", "ftft", "m", 2, seed, 1.0, {"far": sure(yes)})
            for seed, yes in enumerate([(0.9, 0.6), (0.3, 0.1)])]  # fmt: skip
    runs.append(RunResult("erm-0", "erm", "m", 2, 0, 1.0, {"far": sure((0.2, 0.2))}))
    ftft, erm = group_runs(runs)[0]
    pair = compare_pair(ftft, erm, ComparedSplit("far", "out_of_distribution"), LABELS, num_resamples=100)
    assert pair.first.right.tolist() == [0.5, 0.5]
    assert pair.outcomes().tolist() == ["won", "both_wrong"]
    assert pair.outcomes("every").tolist() == [None, None]


def test_mcnemar_is_the_exact_binomial_test():
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(5, 0) == 2 * 0.5**5
    assert mcnemar(14, 5) == pytest.approx(stats.binomtest(5, 19).pvalue)
    assert mcnemar(7, 7) == 1.0
    with pytest.raises(InputError, match="must not be negative"):
        mcnemar(-1, 2)


def test_scores_and_confusions_are_scikit_learn_s():
    rng = np.random.default_rng(0)
    gold = rng.choice(LABELS, 300, p=[0.7, 0.3])
    pair = pair_of([rng.random(300) < 0.8], [rng.random(300) < 0.6], gold=gold)
    for side in (pair.first, pair.second):
        right = side.right == 1
        predicted = np.where(right, gold, np.where(gold == "yes", "no", "yes"))
        assert side.confusion.tolist() == confusion_matrix(gold, predicted, labels=LABELS).tolist()
        assert side.scores["accuracy"][0] == accuracy_score(gold, predicted)
        assert side.scores["macro_f1"][0] == pytest.approx(f1_score(gold, predicted, average="macro"))


def test_a_confusion_is_the_mean_over_seeds():
    pair = pair_of([[1, 1, 1, 1], [0, 1, 1, 1]], [[1, 1, 1, 1]])  # gold: no, yes, no, yes
    assert pair.first.confusion.tolist() == [[1.5, 0.5], [0, 2]]
    assert pair.first.confusion.sum() == 4


def test_reliability_by_hand():
    sure = float(np.log(4))  # of two labels: 0.8 against 0.2
    pair = pair_of([[1, 1, 1, 0, 0]], [[1, 1, 1, 1, 1]], sure=sure)
    filled = pair.first.calibration.dropna()
    assert filled["bin"].tolist() == [11]  # (11/15, 12/15] holds 0.8
    assert filled["confidence"].tolist() == pytest.approx([0.8])
    assert filled["accuracy"].tolist() == pytest.approx([0.6])
    assert pair.first.scores["ece"] == pytest.approx([0.2])
    assert pair.second.scores["ece"] == pytest.approx([0.2])  # too modest by as much
    assert softmax([sure, 0])[0] == pytest.approx(0.8)


def test_the_difference_is_that_of_the_table():
    rng = np.random.default_rng(1)
    ftft, erm, runs = methods([rng.random(120) < 0.8 for _ in range(3)], [rng.random(120) < 0.6 for _ in range(3)])
    table = compare_runs(runs, [FAR], LABELS, num_resamples=300).rows
    row = table[(table["method"] == "ftft") & (table["metric"] == "accuracy")].iloc[0]
    found = compare_pair(ftft, erm, FAR, LABELS, num_resamples=300).differences["accuracy"]
    assert (found.delta, found.low, found.high) == (row["delta"], row["delta_low"], row["delta_high"])


def test_groups_have_means_differences_and_intervals():
    groups = np.array(["b", "a", "b", "a", None, "b"], dtype=object)
    first = [[1, 1, 1, 1, 0, 1], [1, 1, 1, 0, 0, 1]]
    second = [[0, 1, 0, 1, 1, 0], [0, 1, 0, 0, 1, 0]]
    groups_frame = pair_of(first, second, groups=groups).groups
    found = groups_frame[groups_frame["metric"] == "accuracy"].set_index("group")
    assert found.index.tolist() == ["a", "b"]
    assert found["num_examples"].tolist() == [2, 3]
    assert found.loc["a", ["first", "second", "delta"]].tolist() == [0.75, 0.75, 0]
    assert found.loc["b", ["first", "second", "delta"]].tolist() == [1, 0, 1]
    assert found.loc["a", ["low", "high"]].tolist() == [0, 0]


def test_a_large_difference_in_a_group_is_marked_and_one_seed_never_is():
    rng = np.random.default_rng(2)
    groups = np.array(["x", "y"] * 100, dtype=object)
    good, bad = rng.random((5, 200)) < 0.95, rng.random((5, 200)) < 0.5
    assert pair_of(list(good), list(bad), groups=groups).groups.query("metric == 'accuracy'")["marked"].all()
    assert not pair_of([good[0]], [bad[0]], groups=groups).groups["marked"].any()
    # Of many groups too: the least p-value is not that of one draw.
    good, bad = rng.random((5, 3000)) < 0.97, rng.random((5, 3000)) < 0.05
    many = np.array([f"g{number % 100}" for number in range(3000)], dtype=object)
    groups = pair_of(list(good), list(bad), groups=many).groups.query("metric == 'accuracy'")
    assert (len(groups), bool(groups["marked"].all())) == (100, True)


def test_merged_labels_are_the_split_s():
    split = ComparedSplit("far", "out_of_distribution", {"not": ("b", "c")})
    logits = np.log([[0.4, 0.3, 0.3], [0.8, 0.1, 0.1]])
    given = SplitPredictions(np.array(["0", "1"], dtype=object), np.array(["not", "a"]), logits)
    runs = [RunResult(name, name, "m", 2, 0, 1.0, {"far": given}) for name in ("erm", "ftft")]
    first, second = group_runs(runs)[0]
    pair = compare_pair(first, second, split, ("a", "b", "c"), num_resamples=100)
    assert pair.labels == ("a", "not")
    assert pair.first.confusion.tolist() == [[1, 0], [0, 1]]
    assert pair.groups.empty


def test_a_method_without_predictions_is_refused_in_words():
    ftft, erm, _ = methods([[1, 0]], [[1, 1]])
    with pytest.raises(InputError, match="No run of ftft has predictions on the split 'near'"):
        compare_pair(ftft, erm, ComparedSplit("near", "in_distribution"), LABELS)


def test_only_the_seeds_with_predictions_count():
    ftft, erm, runs = methods([[1, 0], [1, 1]], [[1, 1], [1, 0]])
    without = RunResult("ftft-2", "ftft", "m", 2, 2, 1.0, {})
    ftft = group_runs([*runs, without])[0][1]
    pair = compare_pair(ftft, erm, FAR, LABELS, num_resamples=100)
    assert pair.first.seeds == (0, 1)
    assert any("no predictions of run ftft-2" in note for note in pair.notes)
