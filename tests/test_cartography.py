import itertools
import math

import numpy as np
import pytest

from ftft_core.cartography import (
    DATA_MAP_COLUMNS,
    ROWS_AT_ONCE,
    SCORES,
    compute_data_map,
    gold_probabilities,
    map_doubts,
    score_named,
)
from ftft_core.dynamics import TrainingDynamics
from ftft_core.errors import InputError


def dynamics_of(logits, labels, **options):
    logits = np.asarray(logits, dtype=np.float32)
    return TrainingDynamics.from_arrays(range(logits.shape[1]), labels, logits, **options)


def softmax(row):
    top = max(row)
    weights = [math.exp(value - top) for value in row]
    return [weight / sum(weights) for weight in weights]


def plain_scores(logits, labels, counted):
    """The scores again, in plain Python and one example at a time; `logits` is (E)(N)(C) nested lists."""
    rows = []
    for n, y in enumerate(labels):
        z = [logits[e][n] for e in counted]
        p = [softmax(row) for row in z]
        gold = [row[y] for row in p]
        others = [k for k in range(len(z[0])) if k != y]
        predicted = [row.index(max(row)) for row in z]
        right = [prediction == y for prediction in predicted]
        confidence = sum(gold) / len(gold)
        mean = [sum(row[k] for row in p) / len(p) for k in range(len(z[0]))]
        row = {
            "confidence": confidence,
            "variability": math.sqrt(sum((value - confidence) ** 2 for value in gold) / len(gold)),
            "correctness": sum(right) / len(right),
            "correct_epochs": sum(right),
            "forgetting_events": sum(a and not b for a, b in itertools.pairwise(right)),
            "never_learnt": not any(right),
            "threshold_closeness": confidence * (1 - confidence),
            "aum": sum(row[y] - max(row[k] for k in others) for row in z) / len(z),
            "el2n": sum(math.dist(row, [float(k == y) for k in range(len(row))]) for row in p) / len(p),
            "loss": sum(-math.log(value) for value in gold) / len(gold),
            "entropy": sum(-sum(value * math.log(value) for value in row) for row in p) / len(p),
            "aleatoric": sum(value * (1 - value) for value in gold) / len(gold),
            "first_learnt_epoch": next((counted[i] for i, ok in enumerate(right) if ok), None),
            "prediction_flips": sum(a != b for a, b in itertools.pairwise(predicted)),
            "label_quality": mean[y] - max(mean[k] for k in others),
            "predicted_label": str(mean.index(max(mean))),
        }
        rows.append(row)
    return rows


@pytest.mark.parametrize(("seed", "num_epochs", "num_examples", "num_classes"), [
    (0, 1, 1, 2), (1, 1, 40, 3), (2, 6, 1, 3), (3, 6, 200, 3), (4, 4, 120, 7), (5, 3, 90, 2),
])  # fmt: skip
def test_scores_equal_an_independent_computation_in_plain_python(seed, num_epochs, num_examples, num_classes):
    generator = np.random.default_rng(seed)
    logits = (generator.normal(size=(num_epochs, num_examples, num_classes)) * 3).astype(np.float32)
    labels = generator.integers(0, num_classes, num_examples)
    data_map = compute_data_map(dynamics_of(logits, labels))
    expected = plain_scores(logits.astype(float).tolist(), labels.tolist(), list(range(num_epochs)))
    for name in expected[0]:
        ours = data_map[name].tolist()
        for position, row in enumerate(expected):
            if row[name] is None:
                assert ours[position] is data_map["first_learnt_epoch"].dtype.na_value
            elif isinstance(row[name], str):
                assert ours[position] == row[name]
            else:
                assert ours[position] == pytest.approx(row[name], abs=1e-6), (name, position)


def test_one_example_worked_out_by_hand():
    # Two classes, gold 0, logit differences ln 3, -ln 3 and ln 9: gold probabilities 3/4, 1/4 and 9/10.
    differences = [math.log(3), -math.log(3), math.log(9)]
    row = compute_data_map(dynamics_of([[[d, 0.0]] for d in differences], [0])).iloc[0]
    p = [0.75, 0.25, 0.9]
    mean = 1.9 / 3
    assert row["confidence"] == pytest.approx(mean, abs=1e-6)
    assert row["variability"] == pytest.approx(math.sqrt((0.75**2 + 0.25**2 + 0.9**2) / 3 - mean**2), abs=1e-6)
    assert row["correctness"] == pytest.approx(2 / 3)
    assert row["correct_epochs"] == 2
    assert row["forgetting_events"] == 1
    assert row["prediction_flips"] == 2
    assert row["first_learnt_epoch"] == 0
    assert not row["never_learnt"]
    assert row["threshold_closeness"] == pytest.approx(mean * (1 - mean), abs=1e-6)
    assert row["aum"] == pytest.approx(math.log(9) / 3, abs=1e-6)
    assert row["el2n"] == pytest.approx(math.sqrt(2) * (0.25 + 0.75 + 0.1) / 3, abs=1e-6)
    assert row["loss"] == pytest.approx(-sum(map(math.log, p)) / 3, abs=1e-6)
    assert row["entropy"] == pytest.approx(-sum(q * math.log(q) + (1 - q) * math.log(1 - q) for q in p) / 3, abs=1e-6)
    assert row["aleatoric"] == pytest.approx((0.1875 + 0.1875 + 0.09) / 3, abs=1e-6)
    assert row["label_quality"] == pytest.approx(2 * mean - 1, abs=1e-6)


def test_columns_are_those_promised_and_every_score_is_explained():
    data_map = compute_data_map(dynamics_of(np.zeros((2, 3, 2)), [0, 1, 0], label_names=["no", "yes"]))
    assert tuple(data_map.columns) == DATA_MAP_COLUMNS
    assert set(SCORES) < set(DATA_MAP_COLUMNS)
    assert all(score.formula and score.high_means for score in SCORES.values())
    assert data_map["example_id"].tolist() == ["0", "1", "2"]
    assert data_map["label"].tolist() == ["no", "yes", "no"]
    assert str(data_map["first_learnt_epoch"].dtype) == "Int64"
    assert data_map.attrs["counted_epochs"] == [0, 1]


def test_equal_logits_predict_the_lowest_class():
    data_map = compute_data_map(dynamics_of(np.zeros((2, 3, 3)), [0, 1, 2]))
    assert data_map["predicted_label"].tolist() == ["0", "0", "0"]
    assert data_map["correctness"].tolist() == [1.0, 0.0, 0.0]


def test_of_equal_logits_the_lowest_class_wins_whatever_the_gold_one():
    logits = [[[2, 2, 1], [1, 2, 2], [2, 1, 2], [1, 2, 2]]]
    data_map = compute_data_map(dynamics_of(logits, [1, 1, 2, 2]))
    assert data_map["predicted_label"].tolist() == ["0", "1", "0", "1"]
    assert data_map["correct_epochs"].tolist() == [0, 1, 0, 0]


def test_one_epoch_has_no_variability_and_no_changes():
    data_map = compute_data_map(dynamics_of([[[1.0, 0.0], [0.0, 5.0]]], [0, 0]))
    for name in ("variability", "forgetting_events", "prediction_flips"):
        assert data_map[name].tolist() == [0, 0]


def test_an_example_never_right_is_flagged_and_has_no_first_epoch():
    data_map = compute_data_map(dynamics_of([[[0.0, 1.0], [1.0, 0.0]]] * 3, [0, 0]))
    assert data_map["never_learnt"].tolist() == [True, False]
    assert data_map["first_learnt_epoch"].isna().tolist() == [True, False]
    assert data_map["forgetting_events"].tolist() == [0, 0]


def test_an_epoch_that_missed_an_example_does_not_count_but_keeps_its_number():
    logits = np.array([[[0, 1], [0, 1]], [[9, 0], [0, 0]], [[1, 0], [0, 1]]], dtype=np.float32)
    seen = np.array([[True, True], [True, False], [True, True]])
    data_map = compute_data_map(dynamics_of(logits, [0, 0], seen=seen))
    assert data_map.attrs["counted_epochs"] == [0, 2]
    assert data_map["first_learnt_epoch"].tolist()[0] == 2
    assert data_map["aum"].tolist() == [0.0, -1.0]
    assert data_map["correct_epochs"].tolist() == [1, 0]


def test_map_at_epoch_k_is_the_map_of_the_first_k_counted_epochs():
    generator = np.random.default_rng(7)
    dynamics = dynamics_of(generator.normal(size=(4, 30, 3)), generator.integers(0, 3, 30))
    first = compute_data_map(dynamics.first(2))
    assert compute_data_map(dynamics, epochs=2).equals(first)
    assert not compute_data_map(dynamics).equals(first)


@pytest.mark.parametrize("k", [0, -1, 3, True, 1.0])
def test_k_out_of_range_is_refused(k):
    with pytest.raises(InputError, match=r"epochs is .*; it must be a whole number from 1 to 2"):
        compute_data_map(dynamics_of(np.zeros((2, 1, 2)), [0]), epochs=k)


def test_dynamics_without_a_counted_epoch_are_refused():
    with pytest.raises(InputError, match="None of the 1 epochs saw every example, so none counts"):
        compute_data_map(dynamics_of(np.zeros((1, 2, 2)), [0, 0], seen=[[True, False]]))


def test_extreme_logits_stay_finite_and_precise():
    data_map = compute_data_map(dynamics_of([[[1e30, -1e30, 0], [50, 0, 0], [0, 50, 0]]], [1, 0, 0]))
    assert np.isfinite(data_map[["confidence", "el2n", "loss", "entropy", "aum"]].to_numpy()).all()
    # 1 - p in float64 would give 0 for the second example.
    assert data_map["aleatoric"][1] == pytest.approx(2 * math.exp(-50), rel=1e-9, abs=0)
    assert data_map["el2n"][1] == pytest.approx(math.exp(-50) * math.sqrt(6), rel=1e-9, abs=0)
    assert data_map["loss"][2] == pytest.approx(50, rel=1e-12)


def test_scoring_in_pieces_changes_nothing():
    generator = np.random.default_rng(3)
    num_examples = ROWS_AT_ONCE + 5
    logits, labels = generator.normal(size=(2, num_examples, 3)), generator.integers(0, 3, num_examples)
    whole = compute_data_map(dynamics_of(logits, labels))
    tail = compute_data_map(dynamics_of(logits[:, ROWS_AT_ONCE:], labels[ROWS_AT_ONCE:]))
    for name in SCORES:
        assert whole[name].tail(5).equals(tail[name].set_axis(whole.index[-5:])), name


def plain_adjusted(gold, steps, reach):
    """The score again in plain Python: gold[e][n] and steps[e][n], the mean over batches up to `reach` away."""
    found = []
    for n in range(len(gold[0])):
        rest = []
        for values, batches in zip(gold, steps, strict=True):
            near = [values[k] for k in range(len(values)) if abs(batches[k] - batches[n]) <= reach]
            rest.append(values[n] - sum(near) / len(near))
        mean = sum(rest) / len(rest)
        found.append(math.sqrt(sum((value - mean) ** 2 for value in rest) / len(rest)))
    return found


@pytest.mark.parametrize(("num_examples", "batch_size", "reach"), [(120, 8, 1), (2000, 16, 8), (3000, 100, 2)])
def test_adjusted_variability_takes_off_what_the_model_gave_at_the_same_time(num_examples, batch_size, reach):
    generator = np.random.default_rng(5)
    logits = generator.normal(size=(3, num_examples, 2)).astype(np.float32)
    labels = generator.integers(0, 2, num_examples)
    steps = np.array([generator.permutation(num_examples) // batch_size for _ in range(3)])
    dynamics = TrainingDynamics.from_arrays(map(str, range(num_examples)), labels, logits, steps=steps)
    gold = gold_probabilities(logits, labels)
    shown = slice(0, 60)
    expected = plain_adjusted(gold.tolist(), steps.tolist(), reach)
    assert compute_data_map(dynamics)["adjusted_variability"].tolist()[shown] == pytest.approx(
        expected[shown], abs=1e-6
    )


def test_examples_that_differ_only_in_when_they_were_seen_vary_by_it_alone():
    num_examples, num_batches = 3000, 100
    generator = np.random.default_rng(6)
    steps = np.array([generator.permutation(num_examples) % num_batches for _ in range(2)])
    learnt = np.linspace(0, 3, 2 * num_batches)  # of every example alike, batch by batch
    margin = learnt[steps + num_batches * np.arange(2)[:, None]]
    logits = np.stack([margin, np.zeros_like(margin)], axis=2).astype(np.float32)
    dynamics = TrainingDynamics.from_arrays(
        map(str, range(num_examples)), np.zeros(num_examples, int), logits, steps=steps
    )
    data_map = compute_data_map(dynamics)
    assert data_map["variability"].quantile(0.9) > 0.15
    assert data_map["adjusted_variability"].max() < 0.02


def test_adjusted_variability_is_not_known_without_the_order_of_every_epoch():
    dynamics = dynamics_of(np.zeros((2, 3, 2)), [0, 0, 1])
    assert compute_data_map(dynamics)["adjusted_variability"].isna().all()
    steps = np.array([[0, 0, 1], [-1, -1, -1]])
    half = TrainingDynamics.from_arrays("abc", [0, 0, 1], np.zeros((2, 3, 2)), steps=steps)
    assert compute_data_map(half)["adjusted_variability"].isna().all()
    assert compute_data_map(half, epochs=1)["adjusted_variability"].notna().all()


def test_a_map_of_when_examples_were_seen_says_so():
    generator = np.random.default_rng(7)
    num_examples, num_batches = 3000, 100
    steps = np.array([generator.permutation(num_examples) % num_batches for _ in range(2)])
    learnt = np.linspace(0, 4, 2 * num_batches)[steps + num_batches * np.arange(2)[:, None]]
    margin = learnt + generator.normal(0, 0.3, (2, num_examples))
    logits = np.stack([margin, np.zeros_like(margin)], axis=2).astype(np.float32)
    labels = np.arange(num_examples) % 2
    logits[:, labels == 1] = logits[:, labels == 1, ::-1]
    ids = [str(each) for each in range(num_examples)]
    (doubt,) = map_doubts(compute_data_map(TrainingDynamics.from_arrays(ids, labels, logits, steps=steps)))
    assert "Variability shows when examples were seen" in doubt
    assert map_doubts(compute_data_map(TrainingDynamics.from_arrays(ids, labels, logits))) == ()


def test_an_unknown_score_is_told_with_the_nearest():
    assert score_named("aum").high_means == "easy"
    with pytest.raises(InputError, match=r"There is no score 'variabilty' .* Did you mean 'variability'"):
        score_named("variabilty")


def map_of(gold_margins, labels, *, epochs=3, shift=0.0):
    """A map whose examples have a margin of the gold label each, moved by `shift` from one epoch to the next."""
    margins = np.array([np.array(gold_margins, dtype=float) + shift * epoch for epoch in range(epochs)])
    gold = np.array(labels)
    logits = np.stack([np.where(gold == label, margins, 0.0) for label in (0, 1)], axis=2)
    return compute_data_map(dynamics_of(logits, labels))


def test_a_map_that_can_be_used_is_not_doubted():
    labels = [0, 1] * 50
    assert map_doubts(map_of(np.linspace(-3, 3, 100), labels, shift=1.0)) == ()


def test_a_model_no_better_than_a_constant_guess_is_told():
    labels = [0] * 60 + [1] * 40
    # It says 0 for 97 of 100 examples, and is right for the 60 and for the other 3.
    margins = np.array([1.0] * 60 + [-4.0] * 37 + [1.0] * 3)
    (said,) = map_doubts(map_of(margins, labels, shift=1.0))
    assert said.startswith("The model hardly learnt these labels: its mean prediction is right for 6")
    assert "and '0' for all of them would be for 60 %" in said
    # One that is spared a tenth of that guess's 40 errors has learnt something.
    assert map_doubts(map_of(np.array([1.0] * 60 + [-4.0] * 36 + [1.0] * 4), labels, shift=1.0)) == ()


def test_a_map_in_which_nothing_moves_is_told_and_one_epoch_is_no_such_map():
    labels = [0, 1] * 50
    margins = [4.0] * 90 + [-4.0] * 10
    (said,) = map_doubts(map_of(margins, labels))
    assert said.startswith("Hardly any prediction changed between epochs: variability is at most 0.00 for nine in ten")
    assert map_doubts(map_of(margins, labels, epochs=1)) == ()
    assert map_doubts(map_of([1.0] * 100, [0] * 100, shift=-1.0)) == (), "one label alone has no guess to beat"
