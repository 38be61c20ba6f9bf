"""Strategies: a data map and a size in, that many row positions out.

Each strategy takes (data_map, size, generator) and gives exactly `size` distinct positions, in no promised order;
`select` puts them in file order, shares them out over labels and checks the input. Ties go by file order. A null
score comes last, from whichever end one ranks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
    return _ranked(-events)[:size]


def el2n(data_map: pd.DataFrame, size: int, generator: np.random.Generator) -> IntArray:
    """Highest EL2N (Paul et al. 2021)."""
    return _top(data_map, "el2n", size)


def aum(data_map: pd.DataFrame, size: int, generator: np.random.Generator) -> IntArray:
    """Lowest area under the margin (Pleiss et al. 2020)."""
    return _bottom(data_map, "aum", size)


def both_ends(data_map: pd.DataFrame, size: int, generator: np.random.Generator) -> IntArray:
    """70 % (rounded half to even) hardest and the rest easiest, by confidence (allenai/cartography)."""
    hardest = hard(data_map, round(HARD_SHARE * size), generator)
    easiest = _ranked(-score_values(data_map, "confidence"))
    return np.concatenate([hardest, easiest[~np.isin(easiest, hardest)][: size - len(hardest)]])


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


def _ranked(keys: npt.NDArray[np.float64]) -> IntArray:
    """Positions by ascending key, ties in file order, NaN last."""
    return np.argsort(keys, kind="stable")


def _top(data_map: pd.DataFrame, score: str, size: int) -> IntArray:
    return _ranked(-score_values(data_map, score))[:size]


def _bottom(data_map: pd.DataFrame, score: str, size: int) -> IntArray:
    return _ranked(score_values(data_map, score))[:size]


def _moderate(data_map: pd.DataFrame, score: str, size: int) -> IntArray:
    values = score_values(data_map, score)
    known = values[~np.isnan(values)]
    return _ranked(np.abs(values - (np.median(known) if known.size else 0.0)))[:size]


def _stratified(data_map: pd.DataFrame, score: str, size: int, generator: np.random.Generator) -> IntArray:
    """Cut the hardest off, cut the rest into equal-width bins, and share the size out, smallest bin first.

    Zheng et al. 2023, algorithm 1. A bin smaller than its share is taken whole and what it lacks goes to the larger
    ones. Within a bin examples are drawn at random. The paper searches for the share to cut off; here it is fixed.
    """
    values = score_values(data_map, score)
    high_is_hard = score not in HARD_WHEN_LOW
    hardest_first = _ranked(-values if high_is_hard else values)
    # Null scores stand last in that ranking: give them the value of the easy end.
    known = values[~np.isnan(values)]
    easy_end = (known.min() if high_is_hard else known.max()) if known.size else 0.0
    num_cut = min(round(HARD_CUTOFF * len(values)), len(values) - size)
    kept = np.sort(hardest_first[num_cut:])
    return kept[_spread_over_bins(np.where(np.isnan(values), easy_end, values)[kept], size, generator)]


def _spread_over_bins(values: npt.NDArray[np.float64], size: int, generator: np.random.Generator) -> IntArray:
    low, high = values.min(), values.max()
    width = (high - low) / NUM_BINS
    bins = np.zeros(len(values), dtype=np.int64)
    if width > 0:
        bins = np.minimum(((values - low) / width).astype(np.int64), NUM_BINS - 1)
    numbers, counts = np.unique(bins, return_counts=True)
    members_of: dict[int, Any] = {int(number): np.flatnonzero(bins == number) for number in numbers}
    chosen, left = [], size
    smallest_first = numbers[np.argsort(counts, kind="stable")]
    for num_done, number in enumerate(smallest_first):
        members = members_of[int(number)]
        # Rounding down and passing the rest on never asks a later, larger bin for more than it has.
        share = min(len(members), left // (len(smallest_first) - num_done))
        chosen.append(generator.choice(members, size=share, replace=False))
        left -= share
    return np.concatenate(chosen).astype(np.int64)
