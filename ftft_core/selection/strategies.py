"""Strategies: a data map and a size in, that many row positions out.

Each strategy takes (data_map, size, generator) and gives exactly `size` distinct positions, in no promised order;
`select` puts them in file order, shares them out over labels and checks the input. Ties go by file order. A null
score comes last, from whichever end one ranks.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd

from ftft_core.cartography import SCORES
from ftft_core.dynamics import IntArray
from ftft_core.errors import InputError, unknown

Strategy = Callable[[pd.DataFrame, int, np.random.Generator], IntArray]

NUM_BINS = 50
"""Bins of `stratified`, as in Zheng et al. 2023."""

HARD_CUTOFF = 0.1
"""Share of the examples, hardest first, that `stratified` leaves out (fewer where the size needs them)."""

HARD_SHARE = 0.7
"""Share of `both-ends` that is taken from the hardest; the rest is the easiest, as in allenai/cartography."""

HARD_WHEN_LOW = ("confidence", "correctness", "aum", "label_quality")
"""Scores whose low end is the hard one; of all others `stratified:SCORE` cuts the high end off."""


def ambiguous(data_map: pd.DataFrame, size: int, generator: np.random.Generator) -> IntArray:
    """Highest variability (Swayamdipta et al. 2020)."""
    return _top(data_map, "variability", size)


def hard(data_map: pd.DataFrame, size: int, generator: np.random.Generator) -> IntArray:
    """Lowest confidence (Swayamdipta et al. 2020)."""
    return _bottom(data_map, "confidence", size)


def easy(data_map: pd.DataFrame, size: int, generator: np.random.Generator) -> IntArray:
    """Highest confidence (Swayamdipta et al. 2020)."""
    return _top(data_map, "confidence", size)


def random(data_map: pd.DataFrame, size: int, generator: np.random.Generator) -> IntArray:
    """Uniformly at random without replacement, by the seed."""
    return np.asarray(generator.choice(len(data_map), size=size, replace=False), dtype=np.int64)


def forgetting(data_map: pd.DataFrame, size: int, generator: np.random.Generator) -> IntArray:
    """Most forgetting events; examples never learnt come first (Toneva et al. 2019)."""
    events = np.where(data_map["never_learnt"].to_numpy(bool), np.inf, score_values(data_map, "forgetting_events"))
    return _smallest(-events, size)


def el2n(data_map: pd.DataFrame, size: int, generator: np.random.Generator) -> IntArray:
    """Highest EL2N (Paul et al. 2021)."""
    return _top(data_map, "el2n", size)


def aum(data_map: pd.DataFrame, size: int, generator: np.random.Generator) -> IntArray:
    """Lowest area under the margin (Pleiss et al. 2020)."""
    return _bottom(data_map, "aum", size)


def both_ends(data_map: pd.DataFrame, size: int, generator: np.random.Generator) -> IntArray:
    """70 % (rounded half to even) hardest and the rest easiest, by confidence (allenai/cartography)."""
    hardest = hard(data_map, round(HARD_SHARE * size), generator)
    is_left = np.ones(len(data_map), dtype=bool)
    is_left[hardest] = False
    left = np.flatnonzero(is_left)
    easiest = _smallest(-score_values(data_map, "confidence")[left], size - len(hardest))
    return np.concatenate([hardest, left[easiest]])


def stratified(data_map: pd.DataFrame, size: int, generator: np.random.Generator) -> IntArray:
    """Evenly over bins of AUM, the hardest 10 % left out (coverage-centric selection, Zheng et al. 2023)."""
    return _stratified(data_map, "aum", size, generator)


def moderate(data_map: pd.DataFrame, size: int, generator: np.random.Generator) -> IntArray:
    """Nearest to the median confidence (after Xia et al. 2023, who take distances to class centres instead)."""
    return _moderate(data_map, "confidence", size)


STRATEGIES: dict[str, Strategy] = {
    "ambiguous": ambiguous,
    "hard": hard,
    "easy": easy,
    "random": random,
    "forgetting": forgetting,
    "el2n": el2n,
    "aum": aum,
    "both-ends": both_ends,
    "stratified": stratified,
    "moderate": moderate,
}
"""Named strategies; the first line of each one's docstring is its help."""

PARAMETRIC_STRATEGIES: dict[str, Callable[[str], Strategy]] = {
    "top": lambda score: lambda data_map, size, generator: _top(data_map, score, size),
    "bottom": lambda score: lambda data_map, size, generator: _bottom(data_map, score, size),
    "stratified": lambda score: lambda data_map, size, generator: _stratified(data_map, score, size, generator),
    "moderate": lambda score: lambda data_map, size, generator: _moderate(data_map, score, size),
}
"""Strategies by any score, written `top:SCORE`, `bottom:SCORE`, `stratified:SCORE` and `moderate:SCORE`."""


def strategy_named(name: str) -> Strategy:
    """Look up a strategy: a name out of `STRATEGIES`, or `top:SCORE` and its like.

    :raises InputError: if there is no such strategy or score.
    """
    if name in STRATEGIES:
        return STRATEGIES[name]
    family, colon, score = name.partition(":")
    if not colon or family not in PARAMETRIC_STRATEGIES:
        forms = [f"{known}:SCORE" for known in PARAMETRIC_STRATEGIES]
        raise InputError(unknown("strategy", name, [*STRATEGIES, *forms]))
    if score not in SCORES:
        raise InputError(unknown("score", score, SCORES))
    return PARAMETRIC_STRATEGIES[family](score)


def columns_used(name: str) -> tuple[str, ...]:
    """Name the columns of a data map that a strategy looks at."""
    _, colon, score = name.partition(":")
    return (score,) if colon else _COLUMNS[name]


_COLUMNS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("hard", "easy", "both-ends", "moderate"), ("confidence",)),
    "ambiguous": ("variability",),
    "random": (),
    "forgetting": ("forgetting_events", "never_learnt"),
    "el2n": ("el2n",),
    **dict.fromkeys(("aum", "stratified"), ("aum",)),
}


def score_used(name: str) -> str | None:
    """Name the score that a strategy ranks by, where it is a single one that can tie for want of epochs."""
    _, colon, score = name.partition(":")
    return "variability" if name == "ambiguous" else score if colon else None


def score_values(data_map: pd.DataFrame, score: str) -> npt.NDArray[np.float64]:
    """(N,) float64 values of a score, NaN where null.

    :raises InputError: if the data map lacks the column.
    """
    if score not in data_map.columns:
        raise InputError(unknown("column", score, data_map.columns))
    return np.asarray(data_map[score].to_numpy(dtype=np.float64, na_value=np.nan))


def _smallest(keys: npt.NDArray[np.float64], size: int) -> IntArray:
    """Positions of the `size` smallest keys, ascending by position; ties in file order, NaN last."""
    if size >= len(keys):
        return np.arange(len(keys))
    if size == 0:
        return np.zeros(0, dtype=np.int64)
    # NaN is partitioned last, so NaN as the last of the smallest means that all else is among them.
    last = np.partition(keys, size - 1)[size - 1]
    is_chosen, is_tied = (~np.isnan(keys), np.isnan(keys)) if np.isnan(last) else (keys < last, keys == last)
    tied = np.flatnonzero(is_tied)
    is_chosen[tied[: size - int(is_chosen.sum())]] = True
    return np.flatnonzero(is_chosen)


def _top(data_map: pd.DataFrame, score: str, size: int) -> IntArray:
    return _smallest(-score_values(data_map, score), size)


def _bottom(data_map: pd.DataFrame, score: str, size: int) -> IntArray:
    return _smallest(score_values(data_map, score), size)


def _moderate(data_map: pd.DataFrame, score: str, size: int) -> IntArray:
    values = score_values(data_map, score)
    known = values[~np.isnan(values)]
    return _smallest(np.abs(values - (np.median(known) if known.size else 0.0)), size)


def _stratified(data_map: pd.DataFrame, score: str, size: int, generator: np.random.Generator) -> IntArray:
    """Cut the hardest off, cut the rest into equal-width bins, and share the size out, smallest bin first.

    Zheng et al. 2023, algorithm 1. A bin smaller than its share is taken whole and what it lacks goes to the larger
    ones. Within a bin examples are drawn at random. The paper searches for the share to cut off; here it is fixed.
    """
    values = score_values(data_map, score)
    high_is_hard = score not in HARD_WHEN_LOW
    # Null scores stand last in the ranking: give them the value of the easy end.
    known = values[~np.isnan(values)]
    easy_end = (known.min() if high_is_hard else known.max()) if known.size else 0.0
    num_cut = min(round(HARD_CUTOFF * len(values)), len(values) - size)
    is_kept = np.ones(len(values), dtype=bool)
    is_kept[_smallest(-values if high_is_hard else values, num_cut)] = False
    kept = np.flatnonzero(is_kept)
    return kept[_spread_over_bins(np.where(np.isnan(values), easy_end, values)[kept], size, generator)]


def _spread_over_bins(values: npt.NDArray[np.float64], size: int, generator: np.random.Generator) -> IntArray:
    low, high = values.min(), values.max()
    width = (high - low) / NUM_BINS
    bins = np.zeros(len(values), dtype=np.int64)
    if width > 0:
        bins = np.minimum(((values - low) / width).astype(np.int64), NUM_BINS - 1)
    counts = np.bincount(bins)
    numbers = np.flatnonzero(counts)
    # A stable sort of 16-bit numbers is a radix sort: members of a bin stay in file order.
    ends, members_in_order = np.cumsum(counts), np.argsort(bins.astype(np.uint16), kind="stable")
    counts = counts[numbers]
    chosen, left = [], size
    smallest_first = numbers[np.argsort(counts, kind="stable")]
    for num_done, number in enumerate(smallest_first):
        members = members_in_order[ends[number - 1] if number else 0 : ends[number]]
        # Rounding down and passing the rest on never asks a later, larger bin for more than it has.
        share = min(len(members), left // (len(smallest_first) - num_done))
        chosen.append(generator.choice(members, size=share, replace=False))
        left -= share
    return np.concatenate(chosen).astype(np.int64)
