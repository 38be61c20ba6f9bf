"""What a method minimises: logits and labels of a batch to one loss per example.

`OBJECTIVES` maps the name of a method to its loss; a method that is not listed uses cross-entropy. Losses are not
averaged here: the training loop weights and averages them, so that several processes agree on the mean.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

Objective = Callable[[Tensor, Tensor], Tensor]
"""Maps logits (B, C) float32 and labels (B,) int64 to losses (B,), in nats."""


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Give the negative log-probability of each gold label, shape (B,), in nats."""
    return functional.cross_entropy(logits, labels, reduction="none")


OBJECTIVES: dict[str, Objective] = {}


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
