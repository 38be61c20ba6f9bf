"""Orders of a method's own, in which a run sees its examples; `ORDERS` maps the name of a method to its order.

A method that is not listed takes `BatchOrder` as it is. Every order is a pure function of the seed, the epoch and what
was known when the run was queued, so that a run that is resumed sees the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ftft_core.modeling.lengths import padded_lengths
from ftft_core.training.batches import Batch, BatchOrder

START_SHARE = 1 / 3
"""Share of the examples that a curriculum begins with."""

GROWTH_SHARE = 1 / 2
"""Share of the budget over which its pool grows to all of them."""

_STRETCHES = 10
"""How often in an epoch the pool of a curriculum grows, at least; in between, texts of like length are put together."""


@dataclass(frozen=True)
class CurriculumOrder(BatchOrder):
    """Easy examples first: a pool that grows linearly with the steps, from a third of the examples to all of them.

    An epoch has as many steps as without a curriculum. Each step draws from the pool as it is then, or was a few steps
    before: of its examples those that this epoch saw least often, at random. So no example of the pool is favoured, an
    epoch sees every example once if the pool grows fast enough, and epochs that begin with all examples are those of
    `BatchOrder`. Others see some examples twice and some never, and count in no data map. Linear growth is that of
    Platanios et al. 2019, whose first pool is smaller.
    """

    easiest_first: NDArray[np.int64]
    """(n,) rows of the examples, the easiest first."""
    num_steps: int
    """The budget B, in optimizer steps."""

    def pool_size(self, step: int) -> int:
        """Give the number of examples, the easiest ones, that step `step` may draw from; steps are numbered from 1."""
        num_examples = len(self.lengths)
        grown = min(1.0, step / (GROWTH_SHARE * self.num_steps))
        size = round((START_SHARE + (1 - START_SHARE) * grown) * num_examples)
        # A batch holds no example twice.
        return max(size, min(self.batch_size, num_examples))

    def epoch(self, epoch: int) -> list[Batch]:
        """Give the batches of one epoch, in order."""
        first = epoch * self.steps_per_epoch
        if self.pool_size(first + 1) == len(self.lengths):
            return super().epoch(epoch)
        generator = np.random.default_rng([self.seed, epoch])
        padded = padded_lengths(self.lengths)
        times_seen = np.zeros(len(self.lengths), dtype=np.int64)
        cut: list[NDArray[np.int64]] = []
        left = len(self.lengths)
        while left:
            pool = self.easiest_first[: self.pool_size(first + len(cut) + 1)]
            num_unseen = int((times_seen[pool] == 0).sum())
            # As long as every example may yet be seen once, none is drawn twice only because the pool grows late.
            enough = num_unseen if times_seen.max() < 2 else len(pool)
            num_batches = max(1, min(self.steps_per_epoch // _STRETCHES, enough // self.batch_size))
            drawn = np.lexsort((generator.random(len(pool)), times_seen[pool]))[: num_batches * self.batch_size]
            rows = pool[drawn][:left]
            times_seen[rows] += 1
            left -= len(rows)
            rows = rows[np.argsort(padded[rows], kind="stable")]
            batches = [rows[start : start + self.batch_size] for start in range(0, len(rows), self.batch_size)]
            cut += [batches[index] for index in generator.permutation(len(batches))]
        return [Batch(epoch, index, rows, int(padded[rows].max())) for index, rows in enumerate(cut)]


def curriculum(order: BatchOrder, guide: Mapping[str, NDArray[np.float32]], num_steps: int) -> BatchOrder:
    """Order by the reference's `confidence`, high ones first; ties go by the order of the training file."""
    easiest_first = np.argsort(-guide["confidence"], kind="stable")
    return CurriculumOrder(order.lengths, order.batch_size, order.seed, easiest_first, num_steps)


ORDERS: dict[str, Callable[[BatchOrder, Mapping[str, NDArray[np.float32]], int], BatchOrder]] = {
    "curriculum": curriculum,
}
"""Make the order of a method from the plain one, the run's guide, by column, and its optimizer steps."""
