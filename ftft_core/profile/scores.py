"""How the scores of a selection differ from those of the rest.

The scores of a map are ranked once (`rank_scores`, under a second for a million examples); a selection then only
counts ranks, so that medians and the probability of being higher cost milliseconds a score.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from ftft_core.cartography import SCORES
from ftft_core.dynamics import BoolArray, IntArray
from ftft_core.errors import InputError
from ftft_core.profile.masks import checked_mask

MOST_RANKS = 65_535
"""Ranks that are told apart: a score with more distinct values is ranked to 1/65,535 of the examples."""

_MISSING = MOST_RANKS

LENGTH = "num_words"
"""Name of the text length in words, where it is ranked beside the scores."""

_WORDS = {"aum": "AUM", "el2n": "EL2N", LENGTH: "length in words"}


@dataclass(frozen=True, eq=False)
class _Ranks:
    codes: npt.NDArray[np.uint16]
    """(N,) dense rank, from the lowest value up; `_MISSING` where there is none."""
    values: npt.NDArray[np.float64]
    """(ranks,) a value of each rank: the middle one where several share it."""
    counts: npt.NDArray[np.int64]
    """(ranks,) examples of each rank."""


@dataclass(frozen=True, eq=False)
class RankedScores:
    """The scores of a map, ranked; made by `rank_scores`, shared, and not to be changed."""

    num_examples: int
    scores: Mapping[str, _Ranks]


def rank_scores(data_map: pd.DataFrame, *, num_words: npt.NDArray[np.integer] | None = None) -> RankedScores:
    """Rank every score that a map has, and the text length if it is given.

    :param data_map: N rows with columns out of `SCORES`; missing values (`first_learnt_epoch`) are left out.
    :param num_words: (N,) length of each example's text, ranked under the name `num_words`.
    """
    columns = {name: data_map[name].to_numpy(dtype=np.float64, na_value=np.nan) for name in SCORES if name in data_map}
    if num_words is not None:
        columns[LENGTH] = np.asarray(num_words, dtype=np.float64)
    return RankedScores(len(data_map), {name: _ranks(values) for name, values in columns.items()})


def contrast(ranked: RankedScores, mask: BoolArray) -> pd.DataFrame:
    """Compare every score of the selection with the rest, most different first.

    `probability_higher` is the probability that an example drawn from the selection has a higher value than one drawn
    from the rest, ties counting half: the area under the ROC curve, the common-language effect size, U / (n1 n2) of
    Mann and Whitney 1947. 0.5 is no difference, 1 all higher, 0 all lower.

    :returns: columns `score`, `num_selected`, `num_rest` (examples that have the score), `median_selected`,
        `median_rest`, `probability_higher`, `z` (of the Mann-Whitney test, corrected for ties; 0 where all tie); sorted
        by the distance from 0.5. nan where one side has no example. Exact for a score of up to 65,535 distinct
        values, else to 1/65,535.
    """
    mask = checked_mask(mask, ranked.num_examples)
    # Taking rows by number is many times faster than by a mask, and it is done for every score.
    rows = np.flatnonzero(mask)
    found = [{"score": name, **_contrast(ranks, rows)} for name, ranks in ranked.scores.items()]
    columns = ["score", "num_selected", "num_rest", "median_selected", "median_rest", "probability_higher", "z"]
    frame = pd.DataFrame(found, columns=columns)
    distance = (frame["probability_higher"] - 0.5).abs()
    return frame.iloc[np.argsort(-distance.fillna(-1).to_numpy(dtype=np.float64), kind="stable")].reset_index(drop=True)


def percentiles(ranked: RankedScores, row: int) -> dict[str, float]:
    """Give where one example stands in each score: the share of all others that are lower, ties counting half.

    :param row: its row of the map.
    :returns: score -> share in [0, 1]; nan where it has no value, or is alone.
    :raises InputError: when there is no such row.
    """
    if not 0 <= row < ranked.num_examples:
        raise InputError(f"There is no row {row}; the map has rows 0 to {ranked.num_examples - 1}.")
    found = {}
    for name, ranks in ranked.scores.items():
        code, others = int(ranks.codes[row]), int(ranks.counts.sum()) - 1
        if code == _MISSING or others == 0:
            found[name] = float("nan")
        else:
            found[name] = (ranks.counts[:code].sum() + (ranks.counts[code] - 1) / 2) / others
    return found


def score_words(name: str) -> str:
    """Word the name of a score, such as `Forgetting events`."""
    words = _WORDS.get(name, name.replace("_", " "))
    return words[0].upper() + words[1:]


def _ranks(values: npt.NDArray[np.float64]) -> _Ranks:
    order = np.argsort(values)  # nan last
    num_known = len(values) - int(np.isnan(values).sum())
    order = order[:num_known]
    in_order = values[order]
    is_first = np.empty(num_known, dtype=bool)
    is_first[:1] = True
    np.not_equal(in_order[1:], in_order[:-1], out=is_first[1:])
    if int(is_first.sum()) > MOST_RANKS:
        # Equal values keep one rank: that of the first of them.
        first = np.flatnonzero(is_first)
        coarse = np.repeat(first * MOST_RANKS // num_known, np.diff(np.append(first, num_known)))
        is_first[1:] = coarse[1:] != coarse[:-1]
    starts = np.flatnonzero(is_first)
    counts = np.diff(np.append(starts, num_known))
    codes = np.full(len(values), _MISSING, dtype=np.uint16)
    codes[order] = np.repeat(np.arange(len(starts), dtype=np.uint16), counts)
    return _Ranks(codes, in_order[starts + counts // 2], counts)


def _contrast(ranks: _Ranks, rows: IntArray) -> dict[str, float]:
    size = len(ranks.counts)
    selected = np.bincount(ranks.codes.take(rows), minlength=MOST_RANKS + 1)[:size]
    rest = ranks.counts - selected
    num_selected, num_rest = int(selected.sum()), int(rest.sum())
    found = {
        "num_selected": num_selected,
        "num_rest": num_rest,
        "median_selected": _median(ranks.values, selected),
        "median_rest": _median(ranks.values, rest),
        "probability_higher": float("nan"),
        "z": float("nan"),
    }
    if num_selected and num_rest:
        below = np.cumsum(rest) - rest
        found["probability_higher"] = float((selected * (below + rest / 2)).sum()) / num_selected / num_rest
        total = num_selected + num_rest
        counts = ranks.counts.astype(np.float64)
        # Variance of U under no difference, with ties: Lehmann 1975, Nonparametrics, chapter 1.
        ties = float((counts * counts * counts - counts).sum()) / (total * (total - 1))
        variance = (total + 1 - ties) / (12 * num_selected * num_rest)
        found["z"] = (found["probability_higher"] - 0.5) / variance**0.5 if variance > 1e-15 else 0.0
    return found


def _median(values: npt.NDArray[np.float64], counts: npt.NDArray[np.int64]) -> float:
    total = int(counts.sum())
    if total == 0:
        return float("nan")
    middle = np.searchsorted(np.cumsum(counts), [(total - 1) // 2, total // 2], side="right")
    return float(values[middle].mean())
