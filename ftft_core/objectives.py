"""What a method minimises: logits and labels of a batch, and what its reference said of them, to one loss per example.

`OBJECTIVES` maps the name of a method to its loss; a method that is not listed uses cross-entropy. Losses are not
averaged here: the training loop weights and averages them, so that several processes agree on the mean.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

Guide = Mapping[str, Tensor]
"""What the run's guide says of the batch's examples, by column: (B,) or (B, C) float32; empty without a guide."""

Objective = Callable[[Tensor, Tensor, Guide], Tensor]
"""Maps logits (B, C) float32, labels (B,) int64 and a guide to losses (B,), in nats."""

FOCAL_GAMMA = 2.0
"""The exponent that worked best for Lin et al. 2017."""


def cross_entropy(logits: Tensor, labels: Tensor, guide: Guide) -> Tensor:
    """Give the negative log-probability of each gold label, shape (B,), in nats."""
    return functional.cross_entropy(logits, labels, reduction="none")


def focal(logits: Tensor, labels: Tensor, guide: Guide) -> Tensor:
    """Give the focal loss of each example, `-(1 - p)^2 log p` with p the probability of its gold label, shape (B,).

    Lin et al. 2017, equation 4, with gamma 2 and without the class weights alpha of equation 5. The weight is
    differentiated too, as there.
    """
    log_probability = -cross_entropy(logits, labels, guide)
    # 1 - exp(x) of an x just below 0 would lose its digits.
    doubt = -torch.expm1(log_probability)
    return -(doubt**FOCAL_GAMMA) * log_probability


def product_of_experts(logits: Tensor, labels: Tensor, guide: Guide) -> Tensor:
    """Give the cross-entropy of the product of the model's and the reference's probabilities, renormalised, (B,).

    Sanh et al. 2021, section 3: the softmax of the sum of both log-probabilities, without the cross-entropy of the
    main model alone that a variant of theirs adds. The reference is fixed; no gradient flows into it. Predictions and
    dynamics are those of the main model alone.

    :param guide: `log_probabilities` (B, C) of the reference, in the order of the suite's labels.
    """
    both = functional.log_softmax(logits, dim=-1) + guide["log_probabilities"].detach()
    return functional.cross_entropy(both, labels, reduction="none")


OBJECTIVES: dict[str, Objective] = {"focal": focal, "poe": product_of_experts}


def objective_of(method: str) -> Objective:
    """Give the loss that a method minimises."""
    return OBJECTIVES.get(method, cross_entropy)


def weighted_mean(losses: Tensor, weights: Tensor, *, total_weight: float, num_processes: int) -> Tensor:
    """Average the losses of this process's share of a batch so that gradients averaged over processes are exact.

    :param losses: (b,) of this process.
    :param weights: (b,) of this process.
    :param total_weight: sum of the weights of the whole batch, over all processes.
    """
    assert losses.shape == weights.shape
    # A batch of nothing but zero weights has no gradient, and no mean either.
    return torch.sum(losses * weights) * (num_processes / total_weight if total_weight else 0.0)
