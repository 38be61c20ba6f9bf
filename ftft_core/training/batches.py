"""The order in which a run sees its examples: seeded, length-bucketed, and the same after a resume.

Every epoch is a fresh permutation. Within stretches of `_STRETCH` batches examples are sorted by length before they
are cut into batches, so that little is padded; then the batches are shuffled. The order depends on the seed, the
epoch, and the lengths alone.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ftft_core.modeling.lengths import Shape, padded_lengths

_STRETCH = 50


@dataclass(frozen=True)
class Batch:
    """Examples of one optimizer step."""

    epoch: int
    index: int
    """Place within the epoch, from 0."""
    rows: NDArray[np.int64]
    """Rows of the run's training examples, shape (b,)."""
    length: int
    """Padded length in tokens."""

    @property
    def shape(self) -> Shape:
        """Examples and padded length."""
        return len(self.rows), self.length

    def share(self, process_index: int, num_processes: int) -> NDArray[np.int64]:
        """Rows of this batch that one of several processes computes."""
        return self.rows[process_index::num_processes]


@dataclass(frozen=True)
class BatchOrder:
    """All batches of a run, epoch by epoch, without end."""

    lengths: NDArray[np.integer]
    """Tokens of each training example, shape (n,)."""
    batch_size: int
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps of one pass."""
        return math.ceil(len(self.lengths) / self.batch_size)

    def epoch(self, epoch: int) -> list[Batch]:
        """Give the batches of one epoch, in order."""
        generator = np.random.default_rng([self.seed, epoch])
        padded = padded_lengths(self.lengths)
        order = generator.permutation(len(self.lengths))
        stretch = self.batch_size * _STRETCH
        cut = []
        for start in range(0, len(order), stretch):
            rows = order[start : start + stretch]
            rows = rows[np.argsort(padded[rows], kind="stable")]
            cut += [rows[first : first + self.batch_size] for first in range(0, len(rows), self.batch_size)]
        shuffled = [cut[index] for index in generator.permutation(len(cut))]
        return [Batch(epoch, index, rows, int(padded[rows].max())) for index, rows in enumerate(shuffled)]

    def steps(self) -> Iterator[Batch]:
        """Give the batches of epoch after epoch."""
        for epoch in itertools.count():
            yield from self.epoch(epoch)
