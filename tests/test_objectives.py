"""Losses and their weighted mean."""

from __future__ import annotations

import math

import pytest
import torch

from ftft_core.config import METHODS
from ftft_core.objectives import OBJECTIVES, cross_entropy, objective_of, weighted_mean


def test_cross_entropy_is_the_negative_log_probability() -> None:
    # Softmax of (log 3, 0) is (3/4, 1/4).
    logits = torch.tensor([[math.log(3), 0.0], [math.log(3), 0.0]])
    losses = cross_entropy(logits, torch.tensor([0, 1]), {})
    assert losses.tolist() == pytest.approx([-math.log(0.75), -math.log(0.25)])


def test_weights_of_two_count_twice_and_of_zero_not_at_all() -> None:
    losses = torch.tensor([1.0, 5.0, 4.0], requires_grad=True)
    mean = weighted_mean(losses, torch.tensor([2.0, 0.0, 1.0]), total_weight=3.0, num_processes=1)
    assert mean.item() == pytest.approx((2 * 1 + 4) / 3)
    mean.backward()
    assert losses.grad is not None
    assert losses.grad.tolist() == pytest.approx([2 / 3, 0.0, 1 / 3])


def test_the_mean_over_processes_is_the_mean_of_the_batch() -> None:
    losses, weights = torch.tensor([1.0, 2.0, 6.0]), torch.tensor([1.0, 2.0, 1.0])
    whole = weighted_mean(losses, weights, total_weight=4.0, num_processes=1)
    shares = [weighted_mean(losses[k::2], weights[k::2], total_weight=4.0, num_processes=2) for k in (0, 1)]
    # Data-parallel training averages the gradients of the processes.
    assert (sum(shares) / 2).item() == pytest.approx(whole.item()) == pytest.approx(11 / 4)


def test_a_batch_of_zero_weights_has_no_gradient() -> None:
    losses = torch.tensor([1.0, 2.0], requires_grad=True)
    weighted_mean(losses, torch.zeros(2), total_weight=0.0, num_processes=1).backward()
    assert losses.grad is not None
    assert losses.grad.tolist() == [0.0, 0.0]


def test_every_method_has_an_objective() -> None:
    assert set(OBJECTIVES) <= set(METHODS)
    assert objective_of("erm") is cross_entropy
    assert objective_of("ftft") is cross_entropy
