"""The order in which a run sees its examples."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from ftft_core.modeling.batching import make_batch
from ftft_core.modeling.lengths import padded_lengths
from ftft_core.training.batches import Batch, BatchOrder
from ftft_core.training.setup import mean_step_tokens

LENGTHS = np.random.default_rng(7).integers(4, 120, size=1003)


def rows_of(batches: list[Batch]) -> np.ndarray:
    return np.concatenate([batch.rows for batch in batches])


@pytest.mark.parametrize(("num_examples", "batch_size"), [(1003, 16), (1003, 1003), (10, 32), (64, 16), (1, 1)])
def test_every_example_stands_in_an_epoch_once(num_examples: int, batch_size: int) -> None:
    order = BatchOrder(LENGTHS[:num_examples], batch_size, seed=3)
    batches = order.epoch(2)
    assert sorted(rows_of(batches)) == list(range(num_examples))
    assert len(batches) == order.steps_per_epoch == math.ceil(num_examples / batch_size)
    assert [batch.index for batch in batches] == list(range(len(batches)))
    sizes = sorted((len(batch.rows) for batch in batches), reverse=True)
    assert sizes[:-1] == [batch_size] * (len(batches) - 1)
    assert sizes[-1] == num_examples - batch_size * (len(batches) - 1)


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    order = BatchOrder(LENGTHS, 16, seed=3)
    np.random.seed(99)
    first = rows_of(order.epoch(1))
    np.random.seed(1)
    order.epoch(0)
    np.testing.assert_array_equal(rows_of(BatchOrder(LENGTHS, 16, seed=3).epoch(1)), first)
    assert not np.array_equal(rows_of(order.epoch(2)), first)
    assert not np.array_equal(rows_of(BatchOrder(LENGTHS, 16, seed=4).epoch(1)), first)


def test_batches_hold_texts_of_similar_length() -> None:
    def padding(batches: list[np.ndarray]) -> int:
        return sum(int(padded_lengths(LENGTHS[rows]).max()) * len(rows) for rows in batches) - int(LENGTHS.sum())

    ours = padding([batch.rows for batch in BatchOrder(LENGTHS, 16, seed=0).epoch(0)])
    shuffled = np.random.default_rng(0).permutation(len(LENGTHS))
    unsorted = padding([shuffled[start : start + 16] for start in range(0, len(shuffled), 16)])
    assert ours < unsorted / 4


def test_a_batch_is_as_long_as_its_longest_text() -> None:
    for batch in BatchOrder(LENGTHS, 16, seed=0).epoch(0):
        longest = int(LENGTHS[batch.rows].max())
        assert longest <= batch.length < longest + 8
        assert batch.length % 8 == 0
        assert batch.shape == (len(batch.rows), batch.length)


def test_short_and_long_batches_are_mixed() -> None:
    lengths = [batch.length for batch in BatchOrder(LENGTHS, 16, seed=0).epoch(0)]
    assert lengths != sorted(lengths)


@pytest.mark.parametrize("num_processes", [1, 2, 3, 16, 20])
def test_shares_partition_a_batch(num_processes: int) -> None:
    batch = BatchOrder(LENGTHS, 16, seed=0).epoch(0)[0]
    shares = [batch.share(index, num_processes) for index in range(num_processes)]
    assert sorted(np.concatenate(shares)) == sorted(batch.rows)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_steps_go_on_from_epoch_to_epoch() -> None:
    order = BatchOrder(LENGTHS[:40], 16, seed=0)
    steps = list(itertools.islice(order.steps(), 7))
    assert [(step.epoch, step.index) for step in steps] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0)]
    np.testing.assert_array_equal(rows_of(steps[3:6]), rows_of(order.epoch(1)))


def test_mean_tokens_of_a_step() -> None:
    # 5 texts of 8 tokens and batches of 4: 4 * 8 and 1 * 8.
    assert mean_step_tokens(BatchOrder(np.full(5, 8), 4, seed=0)) == 20.0


def test_padding_stands_behind_the_text() -> None:
    import torch

    from ftft_core.suites import TokenisedSplit

    tokens = TokenisedSplit(
        input_ids=np.array([5, 6, 7, 8, 9], dtype="int32"),
        offsets=np.array([0, 2, 5]),
        token_type_ids=np.array([0, 1, 0, 0, 1], dtype="int8"),
    )
    batch = make_batch(tokens, np.array([1, 0]), 4, pad_token_id=1, device=torch.device("cpu"))
    assert batch["input_ids"].tolist() == [[7, 8, 9, 1], [5, 6, 1, 1]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0], [1, 1, 0, 0]]
    assert batch["token_type_ids"].tolist() == [[0, 0, 1, 0], [0, 1, 0, 0]]
    assert padded_lengths(np.array([1, 8, 9])).tolist() == [8, 8, 16]
