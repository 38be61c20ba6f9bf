"""What training costs: FLOPs of forward and backward passes, counted once per padded shape.

`torch.utils.flop_counter` counts matrix products as they happen. Here they happen on torch's meta device, on a copy
of the model that has shapes and no values: the count takes no arithmetic, touches no random state, is the same on
every device, and attention is written out as matrix products (on the CPU the counter does not know fused attention).
A multiply-add is two FLOPs; element-wise operations, softmax and layer norms are not counted, as is usual.
Counting a shape takes some tenths of a second, so that what was counted is kept for the runs that follow.
torch is imported when something is counted: what is worked out from counts needs none of it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from ftft_core.modeling.lengths import Shape
from ftft_core.run_folder import read_json, write_json

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_COUNTING_VERSION = 1
"""Grows when a shape is counted otherwise: counts of before are then counted again."""


@dataclass
class FlopMeter:
    """Counts the FLOPs of batches by their shape; `model` is on the meta device."""

    model: PreTrainedModel
    kept: Path | None = None
    """Folder in which counts are kept, a file for each architecture; None keeps them in this process alone."""
    _training: dict[Shape, float] = field(default_factory=dict)
    _forward: dict[Shape, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._file = None if self.kept is None else self.kept / f"{_architecture(self.model)}.json"
        self._read()

    def training(self, shape: Shape) -> float:
        """FLOPs of a forward and a backward pass over one batch."""
        return self._training[shape] if shape in self._training else self._count(shape, backward=True)

    def forward(self, shape: Shape) -> float:
        """FLOPs of a forward pass over one batch."""
        return self._forward[shape] if shape in self._forward else self._count(shape, backward=False)

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
        flops = float(counter.get_total_flops())
        (self._training if backward else self._forward)[shape] = flops
        self._write()
        return flops

    def _read(self) -> None:
        """Take over what others counted; a file that is damaged is as good as none."""
        if self._file is None:
            return
        with suppress(OSError, ValueError, TypeError, KeyError):
            kept = read_json(self._file)
            rows = [*kept["training"], *kept["forward"]]
            if all(isinstance(number, int | float) and 0 < number < math.inf for row in rows for number in row):
                self._training = {(b, length): flops for b, length, flops in kept["training"]} | self._training
                self._forward = {(b, length): flops for b, length, flops in kept["forward"]} | self._forward

    def _write(self) -> None:
        """Add what was counted; of two that write at once one may be lost, and is counted again."""
        if self._file is None:
            return
        self._read()
        counts = {"training": self._training, "forward": self._forward}
        # A run does not fail because a count can't be kept.
        with suppress(OSError):
            self._file.parent.mkdir(exist_ok=True)
            rows = {name: [[*shape, flops] for shape, flops in each.items()] for name, each in counts.items()}
            write_json(self._file, rows)


def _architecture(model: PreTrainedModel) -> str:
    """Give a name to all that a count follows from: the model's configuration and who counts."""
    names = {"_name_or_path", "id2label", "label2id"}
    config = {name: value for name, value in model.config.to_dict().items() if name not in names}
    versions = [metadata.version(name) for name in ("torch", "transformers")]
    facts = [_COUNTING_VERSION, type(model).__name__, model.config.num_labels, config, versions]
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:16]


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
