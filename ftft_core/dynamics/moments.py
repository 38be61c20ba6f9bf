"""What of an example's dynamics is the moment at which it was seen, and variability without it.

The place within an epoch is all that is known of a moment; which score is called what is `cartography`'s.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ftft_core.dynamics.arrays import IntArray

NEAR_IN_TIME = 200
"""Examples before and after one that say how far the model was when it saw it; fewer in short epochs."""

MOST_OF_AN_EPOCH = 1 / 16
"""Share of an epoch's batches that at most count as near before, and after."""

Array = npt.NDArray[Any]


def adjusted_variability(gold: Array, steps: IntArray | None) -> Array:
    """Variability (N,) without what comes of an epoch's order; NaN where the order of an epoch is not known.

    Early in an epoch a model knows less. An example that was met early in the first epoch and late in the last seems
    to vary most, whatever it is, so that a map by plain variability shows the order of the examples. What the model
    gives to the examples of the same moment is therefore taken off first.

    :param gold: (epochs, N) gold probabilities; changed in place.
    :param steps: (epochs, N) batch of its epoch in which each example was seen; -1 where that is not known.
    """
    if steps is None or (steps < 0).any():
        return np.full(gold.shape[1], np.nan)
    for epoch, batches in zip(gold, steps, strict=True):
        epoch -= _mean_nearby(epoch, batches)
    return np.asarray(gold.std(axis=0))


def _mean_nearby(values: Array, batches: IntArray) -> Array:
    """Mean (N,) of the values of the examples of an epoch that were seen at about the same time as each.

    :param values: (N,); :param batches: (N,) batch of the epoch in which each was seen.
    """
    counts = np.bincount(batches)
    sums = np.bincount(batches, weights=values)
    num_batches = len(counts)
    wanted = int(np.ceil(NEAR_IN_TIME * num_batches / len(values)))
    reach = max(1, min(wanted, round(num_batches * MOST_OF_AN_EPOCH)))
    first = np.maximum(np.arange(num_batches) - reach, 0)
    behind = np.minimum(np.arange(num_batches) + reach + 1, num_batches)
    summed, counted = (np.concatenate([[0], np.cumsum(each)]) for each in (sums, counts))
    near = counted[behind] - counted[first]
    means = (summed[behind] - summed[first]) / np.maximum(near, 1)  # A batch of examples seen before counts none.
    return np.asarray(means[batches])
