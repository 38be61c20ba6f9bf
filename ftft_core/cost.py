"""What training costs: FLOPs of forward and backward passes, counted once per padded shape.

`torch.utils.flop_counter` counts matrix products as they happen. Here they happen on torch's meta device, on a copy
of the model that has shapes and no values: the count takes no arithmetic, touches no random state, is the same on
every device, and attention is written out as matrix products (on the CPU the counter does not know fused attention).
A multiply-add is two FLOPs; element-wise operations, softmax and layer norms are not counted, as is usual.
torch is imported when something is counted: what is worked out from counts needs none of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ftft_core.modeling.lengths import Shape

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass
class FlopMeter:
    """Counts the FLOPs of batches by their shape; `model` is on the meta device."""

    model: PreTrainedModel
    _training: dict[Shape, float] = field(default_factory=dict)
    _forward: dict[Shape, float] = field(default_factory=dict)

    def training(self, shape: Shape) -> float:
        """FLOPs of a forward and a backward pass over one batch."""
        if shape not in self._training:
            self._training[shape] = self._count(shape, backward=True)
        return self._training[shape]

    def forward(self, shape: Shape) -> float:
        """FLOPs of a forward pass over one batch."""
        if shape not in self._forward:
            self._forward[shape] = self._count(shape, backward=False)
        return self._forward[shape]

    def _count(self, shape: Shape, *, backward: bool) -> float:
        import torch
        from torch.utils.flop_counter import FlopCounterMode

        tokens = torch.ones(shape, dtype=torch.long, device="meta")
        self.model.train(backward)
        counter = FlopCounterMode(display=False)
        with torch.set_grad_enabled(backward), counter:
            # No attention mask: models ask whether it masks anything, which a tensor without values can't answer.
            logits = self.model(input_ids=tokens).logits
            if backward:
                logits.sum().backward()
        self.model.zero_grad(set_to_none=True)
        return float(counter.get_total_flops())


def steps_within(flops_per_step: Iterable[float], budget: float) -> int:
    """Give the number of steps, at least 1, whose summed FLOPs come nearest to `budget`.

    :param flops_per_step: FLOPs of the steps in the order in which they would be taken; may be endless.
    """
    spent = 0.0
    for step, flops in enumerate(flops_per_step):
        if spent + flops >= budget:
            overshoots_less = spent + flops - budget <= budget - spent
            return max(1, step + overshoots_less)
        spent += flops
    raise ValueError("the steps ended before the budget did")


def analytic_training_flops(
    shape: Shape, *, num_layers: int, hidden_size: int, intermediate_size: int, num_labels: int, pooler: bool = True
) -> float:
    """FLOPs of a forward and a backward pass of a BERT-like encoder, by formula; a check of `FlopMeter`.

    Per token and layer, forward: 8 h^2 (query, key, value, output), 4 h i (feed-forward) and 4 L h (attention scores
    and mixing), with hidden size h, intermediate size i and length L; backward is twice that (Kaplan et al. 2020,
    section 2.1, with the attention term). The pooler and the head add 2 h^2 and 2 h C per example.
    """
    batch_size, length = shape
    h = hidden_size
    per_token = num_layers * (8 * h * h + 4 * h * intermediate_size + 4 * length * h)
    per_example = (2 * h * h if pooler else 0) + 2 * h * num_labels
    return 3.0 * batch_size * (length * per_token + per_example)
