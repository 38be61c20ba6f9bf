import numpy as np
import pytest

from ftft_core.comparison import SeedScores, difference, holm
from ftft_core.comparison.bootstrap import _resampling_counts, _t_quantiles, example_replicates
from ftft_core.errors import InputError
from ftft_core.metrics import METRICS, softmax


def scores(points, *, seeds=None, spread=0.0, size=1000, seed=0):
    points = np.asarray(points, dtype=float)
    noise = np.random.default_rng(seed).normal(0, spread, (len(points), size)) if spread else np.zeros((1, size))
    return SeedScores(tuple(seeds or range(len(points))), points, points[:, None] + noise)


def test_replicates_are_the_metrics_of_the_resampled_examples(monkeypatch):
    rng = np.random.default_rng(0)
    probabilities, gold = softmax(rng.normal(size=(40, 4))), rng.integers(0, 3, size=40)
    counts = _resampling_counts(20, 40, np.random.default_rng(5))
    for block in (40 * 7, 10**6):  # in three blocks, and at once; each block draws on
        monkeypatch.setattr("ftft_core.comparison.bootstrap.MAX_COUNTS_AT_ONCE", block)
        found = example_replicates([probabilities], gold, num_resamples=20, rng=np.random.default_rng(5))
        for resample in range(7):
            rows = np.repeat(np.arange(40), counts[resample].astype(int))
            for name, function in METRICS.items():
                assert found[name][0, resample] == pytest.approx(function(probabilities[rows], gold[rows]), abs=1e-6)


def test_each_resampling_has_as_many_examples():
    assert _resampling_counts(5, 12, np.random.default_rng(0)).sum(axis=1).tolist() == [12.0] * 5


def test_a_label_absent_from_a_resampling_does_not_count():
    # 3 examples of label 0 and 1 of label 1, all right: every resampling has macro-F1 1
    probabilities, gold = np.eye(2)[[0, 0, 0, 1]], np.array([0, 0, 0, 1])
    found = example_replicates([probabilities], gold, num_resamples=200, rng=np.random.default_rng(0))
    assert (found["macro_f1"] == 1).all()


def test_seed_noise_alone_gives_students_interval():
    # differences per seed 0.1, 0.2, 0.3: mean 0.2, s = 0.1, t(0.975, 2) = 4.303
    found = difference(scores([0.1, 0.2, 0.3]), scores([0.0, 0.0, 0.0]))
    assert found.delta == pytest.approx(0.2)
    assert found.high == pytest.approx(0.2 + 0.4303 / np.sqrt(3), abs=0.005)
    assert found.low == pytest.approx(0.2 - 0.4303 / np.sqrt(3), abs=0.005)
    assert found.has_seed_noise


def test_two_seeds_are_told_to_say_little():
    found = difference(scores([0.1, 0.2]), scores([0.0, 0.0]))
    assert found.high - 0.15 == pytest.approx(12.71 * 0.05, rel=0.05)


def test_no_interval_reaches_beyond_what_scores_can_differ():
    found = difference(scores([0.1, 0.9]), scores([0.0, 0.0]))
    assert (found.low, found.high) == (-1.0, 1.0)


def test_example_noise_alone_gives_the_normal_interval():
    found = difference(scores([0.7], spread=0.01, size=4000), scores([0.6], size=4000))
    assert (found.low, found.high) == (pytest.approx(0.1 - 0.0196, abs=1e-3), pytest.approx(0.1 + 0.0196, abs=1e-3))
    assert not found.has_seed_noise


def test_shared_seed_noise_cancels_only_where_seeds_are_paired():
    method, baseline = scores([0.5, 0.7, 0.9]), scores([0.4, 0.6, 0.8])
    paired = difference(method, baseline)
    assert (paired.low, paired.high) == (pytest.approx(0.1), pytest.approx(0.1))
    apart = difference(scores([0.5, 0.7, 0.9], seeds=(3, 4, 5)), baseline)
    assert apart.low < -0.3


def test_a_baseline_of_one_seed_lacks_seed_noise():
    assert not difference(scores([0.5, 0.7], seeds=(0, 1)), scores([0.4])).has_seed_noise


def test_the_bias_of_a_resampled_score_does_not_move_the_interval():
    method = SeedScores((0,), np.array([0.05]), 0.08 + np.linspace(-0.01, 0.01, 1001)[None, :])
    found = difference(method, SeedScores((0,), np.array([0.05]), np.full((1, 1001), 0.05)))
    assert found.low == pytest.approx(-found.high)


def test_equal_scores_have_no_difference():
    found = difference(scores([0.5, 0.7], spread=0.1), scores([0.5, 0.7], spread=0.1))
    assert (found.delta, found.low, found.high, found.p_value) == (0, 0, 0, 1)


def test_p_value_agrees_with_the_interval():
    near = difference(scores([0.7], spread=0.01), scores([0.69]))
    far = difference(scores([0.7], spread=0.01), scores([0.5]))
    assert near.p_value > 0.05
    assert near.low < 0 < near.high
    assert far.p_value == pytest.approx(2 / 1001)


@pytest.mark.parametrize("other", [[0.5, 0.52, 0.47], [0.5, 0.52, 0.47, 0.51]])  # paired, and not
def test_p_value_is_that_of_the_draws(other):
    """What the closed form gives is what so many draws of both levels come to that their noise is small."""
    method, baseline = scores([0.55, 0.56, 0.5], spread=0.03), scores(other)
    found = difference(method, baseline)
    rng, size = np.random.default_rng(3), 400_000
    examples = rng.choice(method.replicates.mean(axis=0) - method.replicates.mean(), size)
    sides = [method.points - baseline.points] if len(other) == 3 else [method.points, baseline.points]
    drawn = found.delta + examples
    for side in sides:
        drawn += side.std(ddof=1) / np.sqrt(len(side)) * rng.standard_t(len(side) - 1, size)
    assert found.p_value == pytest.approx(2 * (drawn <= 0).mean(), rel=0.05)


def test_a_p_value_with_the_noise_of_seeds_can_be_smaller_than_a_draw():
    points = [0.9, 0.901, 0.899, 0.9, 0.9005]
    found = difference(scores(points, spread=0.001), scores([0.5, 0.502, 0.499, 0.5, 0.501]))
    assert 0 < found.p_value < 2 / 1001


def test_t_quantiles_are_symmetric():
    quantiles = _t_quantiles(1, 4)
    assert quantiles.tolist() == pytest.approx((-quantiles[::-1]).tolist())


def test_holm_by_hand():
    # sorted 0.01 * 4, 0.02 * 3, 0.03 * 2, 0.04 * 1, each at least the one before
    assert holm([0.04, 0.01, 0.03, 0.02]).tolist() == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5]).tolist() == [0.5]
    assert holm([0.9, 0.9]).tolist() == [1.0, 1.0]
    assert holm([]).tolist() == []


def test_holm_does_not_count_what_is_missing():
    assert holm([np.nan, 0.01, 0.04])[1:].tolist() == pytest.approx([0.02, 0.04])
    assert np.isnan(holm([np.nan])[0])


def test_holm_needs_probabilities():
    with pytest.raises(InputError, match=r"lies in \[0, 1\]; received 0.1 to 1.5"):
        holm([0.1, 1.5])
