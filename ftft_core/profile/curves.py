"""Probabilities by epoch: what a run gave the gold label, and the middle of a selection's curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from ftft_core.cartography import gold_probabilities, mean_probabilities
from ftft_core.dynamics import BoolArray, IntArray
from ftft_core.profile.masks import checked_mask


@dataclass(frozen=True, eq=False)
class RunProbabilities:
    """Probabilities of a run's examples over its counted epochs; rows as in its map. Shared: not to be changed."""

    epochs: IntArray
    """(E,) the epochs' own 0-based numbers."""
    gold: npt.NDArray[np.float32]
    """(E, N) probability of the gold label."""
    mean: npt.NDArray[np.float32]
    """(N, C) mean over the epochs of every label's probability, labels in the suite's order."""
    labels: IntArray
    """(N,) place of the gold label among the labels."""
    label_names: tuple[str, ...]


def run_probabilities(
    logits: npt.NDArray[np.float32], labels: IntArray, label_names: Sequence[str], epochs: Sequence[int]
) -> RunProbabilities:
    """Softmax of the logits of the counted epochs.

    :param logits: (E, N, C), of the counted epochs alone.
    :param labels: (N,) place of the gold label among the names.
    :param epochs: (E,) their 0-based numbers in the run.
    """
    gold, mean = gold_probabilities(logits, labels), mean_probabilities(logits)
    return RunProbabilities(np.asarray(epochs, dtype=np.int64), gold, mean, labels, tuple(label_names))


def curve_quartiles(gold: npt.NDArray[np.float32], mask: BoolArray) -> pd.DataFrame:
    """Quartiles of the gold probability of all selected examples, epoch by epoch.

    :param gold: (E, N) gold probabilities.
    :returns: one row an epoch, in their order: columns `lower` (25 %), `median`, `upper` (75 %); nan where nothing is
        selected.
    """
    mask = checked_mask(mask, gold.shape[1])
    names = ["lower", "median", "upper"]
    if not mask.any():
        return pd.DataFrame(np.full((len(gold), 3), np.nan), columns=names)
    rows = np.flatnonzero(mask)
    found = [np.quantile(epoch.take(rows), [0.25, 0.5, 0.75]) for epoch in gold]
    return pd.DataFrame(np.array(found, dtype=np.float64), columns=names)
