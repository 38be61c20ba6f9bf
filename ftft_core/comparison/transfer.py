"""Whether one run's data map can stand in for another's: how far maps agree, pair by pair.

Owns what is computed between data maps of runs on the same data. Computes no map (`cartography`) and no selection of
its own (`selection`); which run counts as reference or main is `advising`'s, averages of maps are `averaging`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pandas as pd

from ftft_core.comparison.alignment import align_maps
from ftft_core.errors import InputError, unknown
from ftft_core.selection import select_mask
from ftft_core.selection.strategies import columns_used, score_values

SCORE_ENDS = {
    "variability": "ambiguous",
    "adjusted_variability": "top:adjusted_variability",
    "confidence": "hard",
    "correctness": "bottom:correctness",
    "forgetting_events": "forgetting",
    "threshold_closeness": "top:threshold_closeness",
    "aum": "aum",
    "el2n": "el2n",
    "loss": "top:loss",
    "entropy": "top:entropy",
    "aleatoric": "top:aleatoric",
    "prediction_flips": "top:prediction_flips",
    "label_quality": "bottom:label_quality",
}
"""Score -> the strategy that takes the end of it one trains on: ambiguous, hard or unstable examples."""

CORRELATED_SCORES = tuple(SCORE_ENDS)
"""Scores that are correlated by default: those that no example lacks (`first_learnt_epoch` may be null)."""

MapSet = npt.NDArray[np.bool_]
"""(N,) membership of the examples of a map."""

MapShares = npt.NDArray[np.float64]
"""(N,) how surely each example of a map is a member, in [0, 1]."""


@dataclass(frozen=True)
class Transfer:
    """Agreement of data maps, pair by pair in the order given."""

    correlations: pd.DataFrame
    """run_a, run_b, score, spearman (in [-1, 1], NaN where a score is constant or missing), num_examples."""

    overlaps: pd.DataFrame
    """run_a, run_b, num_examples, num_selected, jaccard, jaccard_by_chance, ambiguous_a_easy_b, ambiguous_b_easy_a.

    `jaccard` in [0, 1] is the overlap of the two ambiguous sets, shared over joint size; by chance it is f / (2 - f).
    Examples that tie at the edge of a set count by their chance to be drawn (`chosen_shares`). `ambiguous_a_easy_b` is
    the share of a's ambiguous set that is easy for b.
    """

    ambiguous_sets: pd.DataFrame
    """run, num_examples, num_selected, easy_share, easy_share_by_chance, median_confidence, hard_share,
    never_learnt_share, never_learnt_by_chance; see `easy_share`.

    `hard_share` is the share of the set among as many examples of lowest confidence. `never_learnt_share` is the share
    that the run never predicted right, by chance that of all its examples; both NaN where the map doesn't say.
    """

    notes: tuple[str, ...]
    score: str = "variability"
    """What the "ambiguous" sets are chosen by: their end of it in `SCORE_ENDS`."""


def transfer_matrix(
    maps: Mapping[str, pd.DataFrame],
    *,
    fraction: float = 1 / 3,
    scores: Sequence[str] = CORRELATED_SCORES,
    score: str = "variability",
) -> Transfer:
    """Compare the data maps of two or more runs on the same data, pair by pair.

    All maps are cut to the examples that they all have (a note says how many were left out), and the ambiguous sets
    are selected among those.

    :param maps: run -> data map.
    :param fraction: of the ambiguous and of the easy set, in (0, 1].
    :param scores: that are correlated.
    :param score: chooses the sets that overlap, called ambiguous whatever it is; see `SCORE_ENDS`.
    :raises InputError: for fewer than two maps, none or fewer than three examples in common, an unknown score, other
        labels for the same example, or what `select` refuses, such as a map of one epoch.
    """
    aligned, notes = align_maps(maps)
    if len(aligned) < 2:
        raise InputError(f"Transfer needs at least two runs; received {len(aligned)}.")
    strangers = [each for each in dict.fromkeys([*scores, score]) if each not in SCORE_ENDS]
    if strangers:
        raise InputError(
            "Some scores cannot be correlated.", [unknown("score", each, CORRELATED_SCORES) for each in strangers]
        )
    num_examples = len(next(iter(aligned.values())))
    if num_examples < 3:
        raise InputError(f"A correlation needs at least 3 examples in common; the runs share {num_examples}.")
    ambiguous = {run: chosen_set(data_map, score, fraction) for run, data_map in aligned.items()}
    easy = {run: select_mask(data_map, "easy", fraction) for run, data_map in aligned.items()}
    shares = {run: chosen_shares(data_map, score, fraction) for run, data_map in aligned.items()}
    pairs = list(combinations(aligned, 2))
    spearman = {each: rank_correlations(aligned, each) for each in scores}
    correlations = [(*pair, each, spearman[each][pair], num_examples) for pair in pairs for each in scores]
    overlaps = []
    for a, b in pairs:
        num_selected = int(ambiguous[a].sum())
        a_in_easy_b = float(shares[a] @ easy[b] / num_selected)
        b_in_easy_a = float(shares[b] @ easy[a] / num_selected)
        chance = jaccard_by_chance(num_selected / num_examples)
        found = jaccard(shares[a], shares[b])
        overlaps.append((a, b, num_examples, num_selected, found, chance, a_in_easy_b, b_in_easy_a))
    sets = [{"run": run, **_of_set(aligned[run], ambiguous[run], easy[run], fraction)} for run in aligned]
    pair_columns = ["run_a", "run_b"]
    overlap_columns = ["num_examples", "num_selected", "jaccard", "jaccard_by_chance"]
    return Transfer(
        pd.DataFrame(correlations, columns=[*pair_columns, "score", "spearman", "num_examples"]),
        pd.DataFrame(overlaps, columns=[*pair_columns, *overlap_columns, "ambiguous_a_easy_b", "ambiguous_b_easy_a"]),
        pd.DataFrame(sets),
        tuple(notes),
        score,
    )


def chosen_set(data_map: pd.DataFrame, score: str, fraction: float) -> MapSet:
    """(N,) the examples at the end of a score that one trains on; see `SCORE_ENDS`.

    :raises InputError: as `select`; for a score that the map lacks.
    """
    return select_mask(data_map, SCORE_ENDS[score], fraction)


def chosen_shares(data_map: pd.DataFrame, score: str, fraction: float) -> MapShares:
    """(N,) how likely each example is in `chosen_set`, were ties at its edge drawn by lot: 1 or 0 apart from those.

    A selection breaks ties by the order of the file. Of scores that are counts (forgetting, flips, correctness) most
    examples tie, and any two maps would then "agree" on the first of the file, whatever they learnt.

    :raises InputError: as `chosen_set`.
    """
    columns = columns_used(SCORE_ENDS[score])
    chosen = chosen_set(data_map, score, fraction)
    backwards = chosen_set(data_map[list(columns)].iloc[::-1], score, fraction)[::-1]
    shares = chosen.astype(np.float64)
    moved = np.flatnonzero(chosen & ~backwards)
    if len(moved):
        values = [score_values(data_map, column) for column in columns]
        tied = np.all([(each == each[moved[0]]) | np.isnan(each) & np.isnan(each[moved[0]]) for each in values], axis=0)
        shares[tied] = chosen[tied].mean()
    return shares


def easy_share(data_map: pd.DataFrame, *, fraction: float = 1 / 3) -> float:
    """Share of a run's ambiguous set that the same run finds easy; [0, 1], lower is better, `fraction` by chance.

    Easy are the `fraction` of all examples with the highest confidence, the selection `easy`. A capable model is sure
    of its easiest examples from early on, so that they vary little and the share is near 0. A reference too weak for
    the task is still learning them when it stops: they vary most, and its "ambiguous" set is full of them. (The bar is
    relative to the run, since a weak model's confidence is low throughout.)
    """
    ambiguous, easy = select_mask(data_map, "ambiguous", fraction), select_mask(data_map, "easy", fraction)
    return float((ambiguous & easy).sum() / ambiguous.sum())


def jaccard(a: MapSet | MapShares, b: MapSet | MapShares) -> float:
    """Overlap of two sets in [0, 1]: shared over joint size. At least one must not be empty.

    Of shares it is that of the expected sizes, the draws of the two being independent: two random halves have 1 / 3.
    """
    shared = float(np.asarray(a, dtype=np.float64) @ np.asarray(b, dtype=np.float64))
    return shared / (float(a.sum()) + float(b.sum()) - shared)


def jaccard_by_chance(fraction: float) -> float:
    """Jaccard overlap to expect of two independent random selections of that share: f^2 / (2 f - f^2) = f / (2 - f)."""
    return fraction / (2 - fraction)


def rank_correlations(maps: Mapping[str, pd.DataFrame], score: str) -> dict[tuple[str, str], float]:
    """Spearman's correlation of a score for every pair of runs; NaN where it is constant, missing or null somewhere.

    :param maps: aligned, so that rows are the same examples.
    """
    ranks = {run: centred_ranks(data_map, score) for run, data_map in maps.items()}
    return {(a, b): correlation_of_ranks(ranks[a], ranks[b]) for a, b in combinations(maps, 2)}


def centred_ranks(data_map: pd.DataFrame, score: str) -> npt.NDArray[np.float64] | None:
    """Ranks, ties at their mean, less their mean and of length 1; None where there is nothing to rank."""
    from scipy import stats

    if score not in data_map:
        return None
    values = data_map[score].to_numpy(dtype=float, na_value=np.nan)
    if len(values) == 0 or np.isnan(values).any() or np.ptp(values) == 0:
        return None
    ranks = stats.rankdata(values)
    ranks -= ranks.mean()
    return np.asarray(ranks / np.linalg.norm(ranks))


def correlation_of_ranks(a: npt.NDArray[np.float64] | None, b: npt.NDArray[np.float64] | None) -> float:
    """Spearman's correlation of what `centred_ranks` gave; NaN if either had nothing to rank."""
    return float("nan") if a is None or b is None else float(np.clip(a @ b, -1, 1))


def _of_set(data_map: pd.DataFrame, chosen: MapSet, easy: MapSet, fraction: float) -> dict[str, float]:
    never = data_map["never_learnt"].to_numpy(dtype=bool) if "never_learnt" in data_map else None
    hard = select_mask(data_map, "hard", fraction)
    return {
        "num_examples": len(data_map),
        "num_selected": int(chosen.sum()),
        "easy_share": float((chosen & easy).sum() / chosen.sum()),
        "easy_share_by_chance": float(easy.mean()),
        "median_confidence": float(np.median(data_map["confidence"].to_numpy()[chosen])),
        "hard_share": float((chosen & hard).sum() / chosen.sum()),
        "never_learnt_share": float("nan") if never is None else float(never[chosen].mean()),
        "never_learnt_by_chance": float("nan") if never is None else float(never.mean()),
    }
