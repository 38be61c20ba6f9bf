import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from ftft_core.errors import InputError
from ftft_core.metrics import (
    METRICS,
    accuracy,
    calibration_bin,
    expected_calibration_error,
    log_softmax,
    macro_f1,
    merge_label_probabilities,
    probabilities_and_gold,
    score_split,
    softmax,
)

NLI = ("entailment", "neutral", "contradiction")
TO_TWO = {"non-entailment": ("neutral", "contradiction")}


def test_log_softmax_survives_large_logits():
    found = log_softmax([[1000.0, -1000.0], [0.0, np.log(3)]])
    np.testing.assert_allclose(found, [[0.0, -2000.0], [np.log(0.25), np.log(0.75)]])
    assert log_softmax(np.empty((0, 3))).shape == (0, 3)


def test_softmax_survives_large_logits():
    np.testing.assert_allclose(softmax([[1000.0, 1000.0], [0.0, np.log(3)]]), [[0.5, 0.5], [0.25, 0.75]])


def test_merged_probabilities_are_added_and_unlisted_labels_stand_for_themselves():
    merged, names = merge_label_probabilities([[0.4, 0.3, 0.3]], NLI, TO_TWO)
    assert names == ("entailment", "non-entailment")
    assert merged.tolist() == [pytest.approx([0.4, 0.6])]  # the largest single label was entailment


def test_without_a_map_nothing_changes():
    merged, names = merge_label_probabilities([[0.4, 0.3, 0.3]], NLI, None)
    assert names == NLI
    assert merged.tolist() == [[0.4, 0.3, 0.3]]


def test_all_problems_of_a_label_map_are_told_together():
    with pytest.raises(InputError, match="does not fit the suite's labels") as failure:
        merge_label_probabilities([[0.4, 0.3, 0.3]], NLI, {"no": ("neutrl", "neutral"), "other": ("neutral",)})
    assert "Did you mean 'neutral'" in failure.value.problems[0]
    assert "already part of 'no'" in failure.value.problems[1]


def test_columns_must_fit_the_labels():
    with pytest.raises(InputError, match="one column per label"):
        merge_label_probabilities([[0.4, 0.6]], NLI, None)


def test_hand_worked_scores():
    probabilities = [[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.3, 0.7]]
    gold = [0, 1, 1, 1]
    assert accuracy(probabilities, gold) == 0.75
    # label 0: right 1, predicted 2, gold 1 -> 2/3; label 1: right 2, predicted 2, gold 3 -> 4/5
    assert macro_f1(probabilities, gold) == pytest.approx((2 / 3 + 4 / 5) / 2)
    # four bins of one example: |0.9-1| + |0.6-0| + |0.8-1| + |0.7-1|, over 4
    assert expected_calibration_error(probabilities, gold) == pytest.approx((0.1 + 0.6 + 0.2 + 0.3) / 4)


def test_gaps_within_a_calibration_bin_cancel():
    assert expected_calibration_error([[0.55, 0.45], [0.55, 0.45]], [0, 1]) == pytest.approx(0.05)


def test_calibration_bins_hold_their_upper_edge():
    assert calibration_bin([0.0, 1 / 15, 1 / 15 + 1e-9, 9 / 15, 1.0]).tolist() == [0, 0, 1, 8, 14]


def test_one_example():
    assert [function([[0.25, 0.75]], [1]) for function in METRICS.values()] == [1.0, 1.0, 0.25]


def test_of_equal_probabilities_the_first_label_is_predicted():
    assert accuracy([[0.5, 0.5], [0.5, 0.5]], [0, 1]) == 0.5


def test_single_label_split_is_not_punished_for_other_predictions_twice():
    # gold only has label 0; one of two is predicted as label 1: F1 = 2 * 1 / (2 + 1)
    assert macro_f1([[0.9, 0.1], [0.1, 0.9]], [0, 0]) == pytest.approx(2 / 3)


def test_no_examples_have_no_score():
    assert all(np.isnan(function(np.zeros((0, 2)), [])) for function in METRICS.values())
    assert score_split(np.zeros((0, 3)), [], NLI)["value"].isna().all()


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    probabilities = softmax(rng.normal(size=(50, 4)))
    gold = rng.integers(0, 3, size=50)  # the fourth label is predicted but never gold
    predicted = probabilities.argmax(axis=1)
    assert accuracy(probabilities, gold) == pytest.approx(accuracy_score(gold, predicted))
    assert macro_f1(probabilities, gold) == pytest.approx(
        f1_score(gold, predicted, labels=np.unique(gold), average="macro", zero_division=0)
    )


def test_metrics_refuse_shapes_that_do_not_fit():
    with pytest.raises(InputError, match=r"received shapes \(1, 2\) and \(2,\)"):
        accuracy([[0.5, 0.5]], [0, 1])


def test_score_split_with_groups_and_merged_labels():
    logits = np.log([[0.4, 0.3, 0.3], [0.8, 0.1, 0.1], [0.8, 0.1, 0.1]])
    scores = score_split(
        logits, ["non-entailment", "entailment", "non-entailment"], NLI, label_map=TO_TWO, groups=["b", "a", None]
    )
    assert list(scores.columns) == ["group", "metric", "value", "num_examples"]
    accuracies = scores[scores["metric"] == "accuracy"]
    assert accuracies["group"].tolist() == [None, "a", "b"]
    assert accuracies["value"].tolist() == pytest.approx([2 / 3, 1.0, 1.0])
    assert accuracies["num_examples"].tolist() == [3, 1, 1]


def test_a_group_called_none_is_a_group():
    scores = score_split([[1.0, 0.0]], ["a"], ("a", "b"), groups=["None"])
    assert scores["group"].tolist() == [None] * 3 + ["None"] * 3


def test_gold_labels_must_be_known():
    with pytest.raises(InputError, match="not labels of the split") as failure:
        score_split([[1.0, 0.0]], ["c"], ("a", "b"))
    assert failure.value.problems == ["There is no label 'c' (known: a, b)."]


def test_lengths_must_agree():
    with pytest.raises(InputError, match="1 rows of logits and 2 gold labels"):
        probabilities_and_gold([[1.0, 0.0]], ["a", "a"], ("a", "b"))
    with pytest.raises(InputError, match="2 groups for 1 examples"):
        score_split([[1.0, 0.0]], ["a"], ("a", "b"), groups=["x", "y"])
