"""Losses and their weighted mean."""

from __future__ import annotations

import math

import pytest
import torch

from ftft_core.config import METHODS
from ftft_core.objectives import OBJECTIVES, cross_entropy, focal, objective_of, product_of_experts, weighted_mean


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


def test_focal_loss_by_hand() -> None:
    # Lin et al. 2017, equation 4, gamma 2: gold probabilities of 3/4 and 1/4.
    logits = torch.tensor([[math.log(3), 0.0], [math.log(3), 0.0]], requires_grad=True)
    losses = focal(logits, torch.tensor([0, 1]), {})
    assert losses.tolist() == pytest.approx([-((1 / 4) ** 2) * math.log(3 / 4), -((3 / 4) ** 2) * math.log(1 / 4)])
    losses.sum().backward()
    assert logits.grad is not None
    # Their appendix B: d/dx of the margin x of the gold class is (1 - p)^2 (2 p log p + p - 1).
    for row, gold, p in ((0, 0, 3 / 4), (1, 1, 1 / 4)):
        slope = (1 - p) ** 2 * (2 * p * math.log(p) + p - 1)
        assert logits.grad[row, gold].item() == pytest.approx(slope)
        assert logits.grad[row, 1 - gold].item() == pytest.approx(-slope)


def test_focal_loss_of_what_is_certain_is_zero_and_has_a_gradient() -> None:
    logits = torch.tensor([[80.0, -80.0], [-80.0, 80.0]], requires_grad=True)
    losses = focal(logits, torch.tensor([0, 0]), {})
    assert losses.tolist() == pytest.approx([0.0, 160.0])
    losses.sum().backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_a_product_of_experts_by_hand() -> None:
    # Main (1/2, 1/4, 1/4), expert (1/4, 1/4, 1/2): the product is (1/8, 1/16, 1/8), renormalised (2/5, 1/5, 2/5).
    main = torch.tensor([[1 / 2, 1 / 4, 1 / 4]] * 3).log() + 7.0  # logits are free up to a constant
    logits = main.clone().requires_grad_()
    expert = torch.tensor([[1 / 4, 1 / 4, 1 / 2]] * 3).log().requires_grad_()
    losses = product_of_experts(logits, torch.tensor([0, 1, 2]), {"log_probabilities": expert})
    assert losses.tolist() == pytest.approx([-math.log(2 / 5), -math.log(1 / 5), -math.log(2 / 5)])
    losses[0].backward()
    assert logits.grad is not None
    # Softmax of the product less the gold label: what the expert knows is not learnt again.
    assert logits.grad[0].tolist() == pytest.approx([2 / 5 - 1, 1 / 5, 2 / 5])
    assert expert.grad is None


def test_an_expert_that_knows_nothing_leaves_cross_entropy() -> None:
    logits, labels = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 1, 0])
    flat = torch.full((5, 3), math.log(1 / 3))
    torch.testing.assert_close(
        product_of_experts(logits, labels, {"log_probabilities": flat}), cross_entropy(logits, labels, {})
    )


def test_weighting_errors_is_copying_them() -> None:
    """Five copies of the error among the other examples, as JTT has it, give the gradient of a weight of 5."""
    torch.manual_seed(0)
    logits, labels = torch.randn(4, 2), torch.tensor([0, 1, 1, 0])
    weighted, copied = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    weights = torch.tensor([1.0, 5.0, 1.0, 1.0])
    weighted_mean(cross_entropy(weighted, labels, {}), weights, total_weight=8.0, num_processes=1).backward()
    rows = torch.tensor([0, 1, 1, 1, 1, 1, 2, 3])
    cross_entropy(copied[rows], labels[rows], {}).mean().backward()
    assert weighted.grad is not None
    torch.testing.assert_close(weighted.grad, copied.grad)


def test_every_method_has_an_objective() -> None:
    assert set(OBJECTIVES) <= set(METHODS)
    assert objective_of("erm") is cross_entropy
    assert objective_of("ftft") is cross_entropy
    assert (objective_of("focal"), objective_of("poe")) == (focal, product_of_experts)
