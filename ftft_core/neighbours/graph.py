"""Reading: the neighbours of an example, and groups of near-duplicates; NumPy files mapped into memory, no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ftft_core.errors import InputError
from ftft_core.neighbours.folder import SPLITS

IntArray = NDArray[np.int64]

DEFAULT_THRESHOLD = 0.95
"""Cosine from which two texts are near-duplicates. Chosen by reading pairs that `minilm` finds on the sample suite of
film reviews: at 0.92 the nearest pair of 3,000 says the same in nearly the same words ("this is one of the year's best
films", "the film is one of the year's best"); at 0.8 to 0.9 pairs share their film or their phrase, and some
contradict each other. Unrelated pairs stand at 0.2, one in a thousand above 0.58. Encoders that were not trained for
sentences put everything near 1; for those see `random_cosine` and take a higher one."""


def nearest(folder: Path, position: int, k: int) -> tuple[IntArray, NDArray[np.float64]]:
    """Give positions and cosines of the k nearest others of one example, nearest first.

    :param k: as many as were kept at most, 10; fewer come back where the split holds fewer.
    """
    neighbours, cosines = _arrays(folder)
    return neighbours[position, :k].astype(np.int64), cosines[position, :k].astype(np.float64)


def nearest_training(
    folder: Path, split: str, positions: IntArray, k: int
) -> tuple[IntArray, NDArray[np.float64]] | None:
    """Give positions and cosines of the k training examples nearest to some of another split, nearest first.

    :param positions: (M,) rows of that split.
    :returns: two arrays of shape (M, k); None where the embedding knows no such split.
    """
    try:
        neighbours, cosines = _arrays(folder, f"{SPLITS}/{split}")
    except FileNotFoundError:
        return None
    return neighbours[positions, :k].astype(np.int64), cosines[positions, :k].astype(np.float64)


def duplicate_groups(folder: Path, threshold: float) -> tuple[IntArray, IntArray]:
    """Give the examples that have a near-duplicate, and the group of each.

    Two examples are joined when one is among the k nearest of the other with a cosine of at least `threshold`, and a
    group is what hangs together; so in a chain of small steps the first and the last may differ by more. Groups are
    numbered by the position of their first example.

    :returns: two arrays of one length, ascending positions and their groups.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    neighbours, cosines = _arrays(folder)
    none = np.empty(0, dtype=np.int64)
    if cosines.shape[1] == 0:
        return none, none
    # The nearest stands first: who has none there has none at all.
    sources = np.flatnonzero(np.asarray(cosines[:, 0]).astype(np.float32) >= threshold)
    near = cosines[sources].astype(np.float32) >= threshold
    pairs = np.stack([np.repeat(sources, near.sum(axis=1)), neighbours[sources][near].astype(np.int64)])
    positions, ends = np.unique(pairs, return_inverse=True)
    if len(positions) == 0:
        return none, none
    first, second = ends.reshape(pairs.shape)
    graph = coo_array((np.ones(len(first), dtype=np.int8), (first, second)), shape=(len(positions), len(positions)))
    _, members = connected_components(graph, directed=False)
    return positions, number_by_first(members)


def number_by_first(groups: IntArray) -> IntArray:
    """Number groups anew, 0 for that of the first entry, in the order in which they appear."""
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]


def _arrays(folder: Path, place: str = "") -> tuple[NDArray[Any], NDArray[Any]]:
    """Map neighbours and their cosines into memory.

    :param folder: of the embedding; :param place: the folder within it that has the two files.
    :raises InputError: when one is damaged.
    """
    try:
        return _open(folder / place / "neighbours.npy"), _open(folder / place / "cosines.npy")
    except (ValueError, EOFError) as failure:
        raise InputError(
            f"The embedding in {folder} is damaged ({failure}); remove that folder, and embed the texts again."
        ) from failure


def _open(path: Path) -> NDArray[Any]:
    try:
        return np.load(path, mmap_mode="r")
    except ValueError:
        return np.load(path)  # nothing is in it: the split has one example
