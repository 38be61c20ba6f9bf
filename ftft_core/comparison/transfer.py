"""Whether one run's data map can stand in for another's: agreement of maps, their reliability, and advice.

Owns what is computed between data maps of runs on the same data. Computes no map (`cartography`) and no selection of
its own (`selection`); the model behind a map is named by whoever asks.
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

CORRELATED_SCORES = (
    *("confidence", "variability", "correctness", "forgetting_events", "threshold_closeness", "aum", "el2n"),
    *("loss", "entropy", "aleatoric", "prediction_flips", "label_quality"),
)
"""Scores that are correlated by default: those that every example has (`first_learnt_epoch` may be null)."""


@dataclass(frozen=True)
class Transfer:
    """Agreement of data maps, pair by pair in the order given."""

    correlations: pd.DataFrame
    """run_a, run_b, score, spearman (in [-1, 1], NaN where a score is constant or missing), num_examples."""

    overlaps: pd.DataFrame
    """run_a, run_b, num_examples, num_selected, jaccard, jaccard_by_chance, ambiguous_a_easy_b, ambiguous_b_easy_a.

    `jaccard` in [0, 1] is the overlap of the two ambiguous sets, shared over joint size; by chance it is f / (2 - f).
    `ambiguous_a_easy_b` is the share of a's ambiguous set that is easy for b.
    """

    ambiguous_sets: pd.DataFrame
    """run, num_examples, num_selected, easy_share, easy_share_by_chance, median_confidence; see `easy_share`."""

    notes: tuple[str, ...]


@dataclass(frozen=True)
class Advice:
    """Which reference is good enough."""

    chosen: str | None
    """Name of the cheapest reference that is; None if none is, or if no ceiling is known."""

    ceiling: float | None
    """Lowest Jaccard overlap between two seeds of the main model; None without a second seed."""

    references: pd.DataFrame
    """reference, cost, overlap (mean Jaccard with the main model's runs), share_of_ceiling (both above chance),
    easy_share, good_enough (None where no ceiling is known); in the order of cost."""

    sentences: tuple[str, ...]


def transfer_matrix(
    maps: Mapping[str, pd.DataFrame], *, fraction: float = 1 / 3, scores: Sequence[str] = CORRELATED_SCORES
) -> Transfer:
    """Compare the data maps of two or more runs on the same data, pair by pair.

    All maps are cut to the examples that they all have (a note says how many were left out), and the ambiguous sets
    are selected among those.

    :param maps: run -> data map.
    :param fraction: of the ambiguous and of the easy set, in (0, 1].
    :raises InputError: for fewer than two maps, none or fewer than three examples in common, an unknown score, other
        labels for the same example, or what `select` refuses, such as a map of one epoch.
    """
    aligned, notes = align_maps(maps)
    if len(aligned) < 2:
        raise InputError(f"Transfer needs at least two runs; received {len(aligned)}.")
    strangers = [score for score in scores if score not in CORRELATED_SCORES]
    if strangers:
        raise InputError(
            "Some scores cannot be correlated.", [unknown("score", score, CORRELATED_SCORES) for score in strangers]
        )
    num_examples = len(next(iter(aligned.values())))
    if num_examples < 3:
        raise InputError(f"A correlation needs at least 3 examples in common; the runs share {num_examples}.")
    ambiguous = {run: _members(data_map, "ambiguous", fraction) for run, data_map in aligned.items()}
    easy = {run: _members(data_map, "easy", fraction) for run, data_map in aligned.items()}
    pairs = list(combinations(aligned, 2))
    spearman = {score: _rank_correlations(aligned, score) for score in scores}
    correlations = [(*each, score, spearman[score][each], num_examples) for each in pairs for score in scores]
    overlaps = []
    for a, b in pairs:
        shared, joint = int((ambiguous[a] & ambiguous[b]).sum()), int((ambiguous[a] | ambiguous[b]).sum())
        num_selected = int(ambiguous[a].sum())
        a_in_easy_b = float((ambiguous[a] & easy[b]).sum() / num_selected)
        b_in_easy_a = float((ambiguous[b] & easy[a]).sum() / num_selected)
        chance = jaccard_by_chance(num_selected / num_examples)
        overlaps.append((a, b, num_examples, num_selected, shared / joint, chance, a_in_easy_b, b_in_easy_a))
    sets = [
        {
            "run": run,
            "num_examples": num_examples,
            "num_selected": int(ambiguous[run].sum()),
            "easy_share": float((ambiguous[run] & easy[run]).sum() / ambiguous[run].sum()),
            "easy_share_by_chance": float(easy[run].mean()),
            "median_confidence": float(np.median(data_map["confidence"].to_numpy()[ambiguous[run]])),
        }
        for run, data_map in aligned.items()
    ]
    pair = ["run_a", "run_b"]
    overlap_columns = ["num_examples", "num_selected", "jaccard", "jaccard_by_chance"]
    return Transfer(
        pd.DataFrame(correlations, columns=[*pair, "score", "spearman", "num_examples"]),
        pd.DataFrame(overlaps, columns=[*pair, *overlap_columns, "ambiguous_a_easy_b", "ambiguous_b_easy_a"]),
        pd.DataFrame(sets),
        tuple(notes),
    )


def easy_share(data_map: pd.DataFrame, *, fraction: float = 1 / 3) -> float:
    """Share of a run's ambiguous set that the same run finds easy; [0, 1], lower is better, `fraction` by chance.

    Easy are the `fraction` of all examples with the highest confidence, the selection `easy`. A capable model is sure
    of its easiest examples from early on, so that they vary little and the share is near 0. A reference too weak for
    the task is still learning them when it stops: they vary most, and its "ambiguous" set is full of them. (The bar is
    relative to the run, since a weak model's confidence is low throughout.)
    """
    ambiguous, easy = _members(data_map, "ambiguous", fraction), _members(data_map, "easy", fraction)
    return float((ambiguous & easy).sum() / ambiguous.sum())


def jaccard_by_chance(fraction: float) -> float:
    """Jaccard overlap to expect of two independent random selections of that share: f^2 / (2 f - f^2) = f / (2 - f)."""
    return fraction / (2 - fraction)


def average_maps(maps: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Mean of several runs' data maps, over the examples that they all have, in the order of the first.

    Every numeric score is averaged, so counts (`correct_epochs`, `forgetting_events`, `prediction_flips`) become
    fractions; `never_learnt` is true only if it is in every run; `first_learnt_epoch` is the mean of the runs that
    learnt the example; `predicted_label` is the most frequent one, the first run's among equals.

    :raises InputError: for no maps, or as `align_maps`.
    """
    aligned, _ = align_maps(maps)
    several = list(aligned.values())
    average = several[0][["example_id", "label"]].copy()
    for column in several[0].columns:
        if column in average or not all(column in data_map for data_map in several):
            continue
        if column == "predicted_label":
            votes = np.stack([data_map[column].to_numpy(dtype=object) for data_map in several], axis=1)
            average[column] = [max(row, key=list(row).count) for row in votes]  # max keeps the first among equals
        elif column == "never_learnt":
            average[column] = np.all([data_map[column].to_numpy(dtype=bool) for data_map in several], axis=0)
        elif pd.api.types.is_numeric_dtype(several[0][column]):
            values = [data_map[column].astype("Float64").to_numpy(dtype=float, na_value=np.nan) for data_map in several]
            average[column] = pd.DataFrame(np.stack(values, axis=1)).mean(axis=1).to_numpy()  # skips nulls
    average.attrs = dict(several[0].attrs)
    return average


def reliability(maps: Mapping[str, pd.DataFrame], *, score: str = "variability") -> tuple[float, float]:
    """Reliability of a score over runs of one model: of a single run's map, and of the average of all.

    :returns: the mean pairwise Spearman correlation, and that stepped up by `spearman_brown` to the number of runs
        (NaN unless the runs agree at all). Reliable is not valid: runs of a weak model may agree in the same bias.
    :raises InputError: for fewer than two maps, or as `align_maps`.
    """
    aligned, _ = align_maps(maps)
    if len(aligned) < 2:
        raise InputError(f"A reliability needs at least two runs of the same model; received {len(aligned)}.")
    single = float(np.mean(list(_rank_correlations(aligned, score).values())))
    return single, spearman_brown(single, len(aligned)) if single > 0 else float("nan")


def spearman_brown(reliability_of_one: float, num_runs: float) -> float:
    """Reliability of the mean of `num_runs` parallel measurements: n r / (1 + (n - 1) r) (Spearman 1910, Brown 1910).

    :raises InputError: unless r lies in [-1, 1], n is above 0, and 1 + (n - 1) r is positive. NaN stays NaN.
    """
    denominator = 1 + (num_runs - 1) * reliability_of_one
    if not num_runs > 0 or abs(reliability_of_one) > 1 or denominator <= 0:
        raise InputError(
            f"Spearman-Brown needs a reliability in [-1, 1] and a positive number of runs with 1 + (n - 1) r above 0; "
            f"received r = {reliability_of_one:g} and n = {num_runs:g}."
        )
    return num_runs * reliability_of_one / denominator


def corrected_correlation(correlation: float, reliability_a: float, reliability_b: float) -> float:
    """Correlation of two scores as it would be without noise in either: r / sqrt(r_a r_b) (Spearman 1904).

    May exceed 1 by chance; NaN unless both reliabilities are positive.
    """
    product = reliability_a * reliability_b
    return correlation / float(np.sqrt(product)) if min(reliability_a, reliability_b) > 0 else float("nan")


def advise(
    maps: Mapping[str, pd.DataFrame],
    main_runs: Sequence[str],
    references: Mapping[str, Sequence[str]],
    costs: Mapping[str, float | None],
    *,
    fraction: float = 1 / 3,
) -> Advice:
    """Name the cheapest reference whose ambiguous set is as good as another seed of the main model's.

    A reference is good enough if the mean Jaccard overlap of its runs with the main model's runs is at least the
    lowest overlap between two of the main model's own seeds (the ceiling). With two seeds there is one such overlap.

    :param main_runs: runs of the main model that differ by seed; one gives no ceiling.
    :param references: name of a reference -> its runs.
    :param costs: name of a reference -> FLOPs or any one unit; unknown costs come last.
    :raises InputError: for a run without a map, no main run or no reference, or as `transfer_matrix`.
    """
    named = [*main_runs, *(run for runs in references.values() for run in runs)]
    problems = [unknown("data map of run", run, maps) for run in dict.fromkeys(named) if run not in maps]
    problems += [] if main_runs else ["main_runs: received none; at least one run of the main model is needed."]
    problems += [
        f"references: '{name}' has no run; give at least one." for name, runs in references.items() if not runs
    ]
    problems += [] if references else ["references: received none; give at least one to judge."]
    if problems:
        raise InputError("Transfer cannot be judged.", problems)
    transfer = transfer_matrix({run: maps[run] for run in dict.fromkeys(named)}, fraction=fraction, scores=())
    pairs = transfer.overlaps
    overlap = {frozenset(key): j for *key, j in pairs[["run_a", "run_b", "jaccard"]].itertuples(index=False)}
    chance = float(pairs["jaccard_by_chance"].iloc[0])
    easy = transfer.ambiguous_sets.set_index("run")["easy_share"]
    own = [overlap[frozenset(pair)] for pair in combinations(main_runs, 2)]
    ceiling = min(own) if own else None
    rows = []
    for name, runs in references.items():
        # A main run that is its own reference agrees with itself; only other runs say something.
        with_main = [overlap[frozenset((run, main))] for run in runs for main in main_runs if run != main]
        mean = float(np.mean(with_main or [1.0]))
        rows.append(
            {
                "reference": name,
                "cost": costs.get(name),
                "overlap": mean,
                "share_of_ceiling": (mean - chance) / (ceiling - chance) if ceiling and ceiling > chance else None,
                "easy_share": float(easy[list(runs)].mean()),
                "good_enough": None if ceiling is None else mean >= ceiling,
            }
        )
    table = pd.DataFrame(rows).astype({"cost": "float64", "share_of_ceiling": "float64", "good_enough": "boolean"})
    table = table.sort_values("cost", kind="stable", ignore_index=True)
    good = table[table["good_enough"].fillna(False)]
    chosen = None if good.empty else str(good["reference"].iloc[0])
    return Advice(chosen, ceiling, table, tuple([*_sentences(table, chosen, own, chance), *transfer.notes]))


def _members(data_map: pd.DataFrame, strategy: str, fraction: float) -> npt.NDArray[np.bool_]:
    return select_mask(data_map, strategy, fraction)


def _rank_correlations(maps: Mapping[str, pd.DataFrame], score: str) -> dict[tuple[str, str], float]:
    """Spearman's correlation of a score for every pair of runs; NaN where it is constant, missing or null somewhere."""
    ranks = {run: _centred_ranks(data_map, score) for run, data_map in maps.items()}
    found = {}
    for a, b in combinations(maps, 2):
        first, second = ranks[a], ranks[b]
        if first is None or second is None:
            found[a, b] = float("nan")
        else:
            found[a, b] = float(np.clip(first @ second, -1, 1))
    return found


def _centred_ranks(data_map: pd.DataFrame, score: str) -> npt.NDArray[np.float64] | None:
    """Ranks, ties at their mean, less their mean and of length 1; None where there is nothing to rank."""
    from scipy import stats

    if score not in data_map:
        return None
    values = data_map[score].to_numpy(dtype=float, na_value=np.nan)
    if np.isnan(values).any() or np.ptp(values) == 0:
        return None
    ranks = stats.rankdata(values)
    ranks -= ranks.mean()
    return np.asarray(ranks / np.linalg.norm(ranks))


def _sentences(table: pd.DataFrame, chosen: str | None, own: Sequence[float], chance: float) -> list[str]:
    best = table.loc[table["overlap"].idxmax()]
    best_is = (
        f"{best['reference']} overlaps most with the main model's ambiguous set: {best['overlap']:.2f} (Jaccard; "
        f"{chance:.2f} by chance)"
    )
    sentences = []
    if not own:
        sentences.append(
            f"No second seed of the main model: no ceiling is known, so no reference can be called good enough. "
            f"{best_is}. A second seed of the main model would settle it."
        )
    else:
        spread = f"{min(own):.2f}" if len(own) == 1 else f"{min(own):.2f} to {max(own):.2f}"
        ceiling = f"two seeds of the main model overlap by {spread}"
        if chosen is not None:
            row = table[table["reference"] == chosen].iloc[0]
            cheapest = "the cheapest reference" if pd.notna(row["cost"]) else "a reference (of unknown cost)"
            sentences.append(
                f"{chosen} is {cheapest} that is good enough: its ambiguous set overlaps with the main model's by "
                f"{row['overlap']:.2f} (Jaccard; {chance:.2f} by chance), and {ceiling}."
            )
        else:
            sentences.append(f"No reference is as good as another seed of the main model: {best_is}, but {ceiling}.")
        if len(own) == 1:
            sentences.append("The ceiling rests on one pair of seeds; more seeds would show its spread.")
    for row in table.to_dict("records"):
        if row["easy_share"] > 0.5:
            sentences.append(
                f"{row['reference']} looks too weak: {row['easy_share']:.0%} of what it calls ambiguous are examples "
                "that it finds easiest."
            )
    return sentences
