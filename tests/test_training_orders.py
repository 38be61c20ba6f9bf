"""Orders of a method's own: the curriculum's pool, and what comes of it in an epoch."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from ftft_core.config import METHODS
from ftft_core.modeling.lengths import padded_lengths
from ftft_core.training.batches import Batch, BatchOrder
from ftft_core.training.orders import ORDERS, CurriculumOrder, curriculum

NUM_EXAMPLES, BATCH_SIZE = 1200, 8
LENGTHS = np.random.default_rng(7).integers(4, 120, size=NUM_EXAMPLES)
CONFIDENCE = np.random.default_rng(8).random(NUM_EXAMPLES, dtype=np.float32)
STEPS_PER_EPOCH = 150


def order_of(*, epochs: float, seed: int = 3) -> CurriculumOrder:
    plain = BatchOrder(LENGTHS, BATCH_SIZE, seed)
    made = curriculum(plain, {"confidence": CONFIDENCE}, round(epochs * STEPS_PER_EPOCH))
    assert isinstance(made, CurriculumOrder)
    return made


def rows_of(batches: list[Batch]) -> np.ndarray:
    return np.concatenate([batch.rows for batch in batches])


def test_methods_with_orders_are_methods() -> None:
    assert set(ORDERS) <= set(METHODS)


def test_the_pool_grows_linearly_from_a_third_to_all_over_half_the_budget() -> None:
    order = order_of(epochs=4)  # 600 steps
    expected = {0: Fraction(1, 3), 75: Fraction(1, 2), 150: Fraction(2, 3), 225: Fraction(5, 6), 300: 1, 600: 1}
    assert {step: order.pool_size(step) for step in expected} == {
        step: share * NUM_EXAMPLES for step, share in expected.items()
    }


def test_easy_means_confident_and_ties_go_by_the_training_file() -> None:
    confidence = np.array([0.2, 0.9, 0.5, 0.9, 0.2], dtype=np.float32)
    order = curriculum(BatchOrder(np.full(5, 8), 2, 0), {"confidence": confidence}, 100)
    assert isinstance(order, CurriculumOrder)
    assert order.easiest_first.tolist() == [1, 3, 2, 0, 4]
    # A third of five is two: the first batch holds the two easiest.
    assert sorted(order.epoch(0)[0].rows) == [1, 3]


@pytest.mark.parametrize("epochs", [0.5, 1, 3, 4, 7.3])
def test_no_step_sees_more_than_its_pool(epochs: float) -> None:
    order = order_of(epochs=epochs)
    for epoch in range(4):
        for batch in order.epoch(epoch):
            step = epoch * STEPS_PER_EPOCH + batch.index + 1
            assert ranks_of(order)[batch.rows].max() < order.pool_size(step)
            assert len(set(batch.rows)) == len(batch.rows)


def test_an_epoch_has_as_many_steps_and_examples_as_without_a_curriculum() -> None:
    order = order_of(epochs=4)
    for epoch in range(4):
        batches = order.epoch(epoch)
        assert [batch.index for batch in batches] == list(range(STEPS_PER_EPOCH))
        assert sum(len(batch.rows) for batch in batches) == NUM_EXAMPLES
        assert {batch.length for batch in batches} <= set(padded_lengths(LENGTHS))


def test_no_example_of_the_pool_is_favoured() -> None:
    times_seen = np.bincount(rows_of(order_of(epochs=8).epoch(0)), minlength=NUM_EXAMPLES)
    order = order_of(epochs=8)
    # In the first of eight epochs the pool grows to half; those that were in it from the start are seen most.
    assert (times_seen[ranks_of(order) < order.pool_size(0)] >= 2).all()
    assert times_seen.max() <= 3
    assert (times_seen[ranks_of(order) >= order.pool_size(STEPS_PER_EPOCH)] == 0).all()


@pytest.mark.parametrize(("epochs", "num_uncounted"), [(0.9, 0), (1, 0), (2, 0), (3, 1), (4, 1), (6, 2), (8, 3)])
def test_epochs_see_every_example_once_if_the_pool_grows_fast_enough(epochs: float, num_uncounted: int) -> None:
    order = order_of(epochs=epochs)
    num_seen = [len(set(rows_of(order.epoch(epoch)))) for epoch in range(5)]
    assert [number == NUM_EXAMPLES for number in num_seen] == [False] * num_uncounted + [True] * (5 - num_uncounted)


def test_the_first_epochs_see_the_easy_examples_first() -> None:
    order = order_of(epochs=4)
    seen = [len(set(rows_of(order.epoch(epoch)))) for epoch in range(4)]
    # The pool grows to two thirds in the first epoch; in the second faster than examples are drawn.
    assert seen[0] < 2 / 3 * NUM_EXAMPLES + 1
    assert seen[1:] == [NUM_EXAMPLES] * 3
    # Easy ones come first there all the same.
    ranks = ranks_of(order)[rows_of(order.epoch(1))]
    assert ranks[: NUM_EXAMPLES // 2].mean() < ranks[NUM_EXAMPLES // 2 :].mean() - 100


def test_once_the_pool_is_full_epochs_are_plain_ones() -> None:
    plain = BatchOrder(LENGTHS, BATCH_SIZE, 3)
    order = order_of(epochs=4)
    for epoch in (2, 3):
        np.testing.assert_array_equal(rows_of(order.epoch(epoch)), rows_of(plain.epoch(epoch)))
    assert not np.array_equal(rows_of(order.epoch(1)), rows_of(plain.epoch(1)))


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    np.random.seed(99)
    first = rows_of(order_of(epochs=4).epoch(1))
    np.random.seed(1)
    order = order_of(epochs=4)
    order.epoch(0)
    np.testing.assert_array_equal(rows_of(order.epoch(1)), first)
    assert not np.array_equal(rows_of(order_of(epochs=4, seed=4).epoch(1)), first)


def test_texts_of_like_length_are_put_together() -> None:
    def padding(batches: list[Batch]) -> int:
        return sum(batch.length * len(batch.rows) - int(LENGTHS[batch.rows].sum()) for batch in batches)

    batches = order_of(epochs=4).epoch(0)
    shuffled = np.random.default_rng(0).permutation(rows_of(batches)).reshape(-1, BATCH_SIZE)
    apart = [Batch(0, 0, rows, int(padded_lengths(LENGTHS[rows]).max())) for rows in shuffled]
    assert padding(batches) < padding(apart) / 2


@pytest.mark.parametrize(("num_examples", "batch_size"), [(1, 1), (10, 32), (40, 16), (33, 4)])
def test_small_data_has_an_order_too(num_examples: int, batch_size: int) -> None:
    plain = BatchOrder(LENGTHS[:num_examples], batch_size, 0)
    order = curriculum(plain, {"confidence": CONFIDENCE[:num_examples]}, 3 * plain.steps_per_epoch)
    for epoch in range(3):
        batches = order.epoch(epoch)
        assert len(batches) == plain.steps_per_epoch
        assert sum(len(batch.rows) for batch in batches) == num_examples
        assert all(len(set(batch.rows)) == len(batch.rows) for batch in batches)


def ranks_of(order: CurriculumOrder) -> NDArray[np.int64]:
    """(n,) 0 for the easiest example, n - 1 for the hardest."""
    return np.argsort(order.easiest_first)
