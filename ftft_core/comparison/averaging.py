"""Averages of several runs' data maps: how reliable they are, and which agrees best with a main model.

Owns averaging and classical test theory over maps; a single pair of maps is `transfer`'s. Reliable is not valid: runs
of one weak model may agree in the same bias, so agreement with the main model stands beside every reliability.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations, islice, product
from typing import Any

import numpy as np
import pandas as pd

from ftft_core.comparison.alignment import align_maps
from ftft_core.comparison.transfer import (
    SCORE_ENDS,
    centred_ranks,
    chosen_shares,
    correlation_of_ranks,
    jaccard,
    rank_correlations,
)
from ftft_core.errors import InputError, unknown

MAX_WAYS = 10
"""Ways to pick the runs of one kind of average that are tried, the first in the order of the runs."""

MANY_EXAMPLES = 100_000
"""Past this many two ways have to do: the means of more examples vary less, and take longer."""

TRUSTED = 0.8
"""Reliability that is usually asked of a measurement before single values are used (Nunnally 1978)."""

AVERAGE_COLUMNS = ("average", "kind", "runs", "num_runs", "cost", "overlap", "correlation", "num_ways", "same_seed")


def average_maps(maps: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Mean of several runs' data maps, over the examples that they all have, in the order of the first.

    Every numeric score is averaged, so counts (`correct_epochs`, `forgetting_events`, `prediction_flips`) become
    fractions; `never_learnt` is true only if it is in every run; `first_learnt_epoch` is the mean of the runs that
    learnt the example; `predicted_label` is the most frequent one, the first run's among equals. `position` and
    `group` are facts of the example, as in the first.

    :raises InputError: for no maps, or as `align_maps`.
    """
    aligned, _ = align_maps(maps)
    several = list(aligned.values())
    first = several[0]
    average = first[["example_id", "label"]].copy()
    for column in first.columns:
        if column in average or not all(column in data_map for data_map in several):
            continue
        if column in ("position", "group"):
            average[column] = first[column]
        elif column == "predicted_label":
            average[column] = _most_frequent([data_map[column] for data_map in several])
        elif column == "never_learnt":
            average[column] = np.all([data_map[column].to_numpy(dtype=bool) for data_map in several], axis=0)
        elif pd.api.types.is_numeric_dtype(first[column]):
            values = [data_map[column].astype("Float64").to_numpy(dtype=float, na_value=np.nan) for data_map in several]
            average[column] = pd.DataFrame(np.stack(values, axis=1)).mean(axis=1).to_numpy()  # skips nulls
    average.attrs = dict(min(several, key=lambda data_map: len(data_map.attrs.get("counted_epochs", ()))).attrs)
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
    single = float(np.mean(list(rank_correlations(aligned, score).values())))
    return single, stepped_up(single, len(aligned))


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


def stepped_up(reliability_of_one: float, num_runs: float) -> float:
    """`spearman_brown`, or NaN where single runs do not agree at all: an average of them then says nothing."""
    return spearman_brown(reliability_of_one, num_runs) if reliability_of_one > 0 else float("nan")


def runs_needed(reliability_of_one: float, *, wanted: float = TRUSTED) -> int | None:
    """Fewest runs whose average has the wanted reliability, by Spearman-Brown; None if no number of them would do."""
    if not 0 < reliability_of_one < 1:
        return 1 if reliability_of_one == 1 else None
    needed = wanted * (1 - reliability_of_one) / (reliability_of_one * (1 - wanted))
    return max(1, math.ceil(needed - 1e-9))  # 4.000000000000001 are 4


def corrected_correlation(correlation: float, reliability_a: float, reliability_b: float) -> float:
    """Correlation of two scores as it would be without noise in either: r / sqrt(r_a r_b) (Spearman 1904).

    May exceed 1 by chance; NaN unless both reliabilities are positive.
    """
    product_of_both = reliability_a * reliability_b
    if not min(reliability_a, reliability_b) > 0:
        return float("nan")
    return correlation / float(np.sqrt(product_of_both))


def compare_averages(
    maps: Mapping[str, pd.DataFrame],
    main_runs: Sequence[str],
    references: Mapping[str, Sequence[str]],
    *,
    fraction: float = 1 / 3,
    score: str = "variability",
    seeds: Mapping[str, int | None] | None = None,
    costs: Mapping[str, float | None] | None = None,
    epoch_maps: Mapping[str, Sequence[pd.DataFrame]] | None = None,
) -> pd.DataFrame:
    """Say how well averages of reference maps agree with the main model's maps, and what they cost.

    Tried are: one run of each reference; the average of 2, 3, ... of its seeds; one run each of two references; the
    maps of one run after each of its epochs; and, to compare with, runs of the main model itself. Each is held against
    the single runs of the main model that are not in it, of other seeds where there are some: runs of one seed saw
    the examples in the same order, which makes them agree beyond what is true of the examples.

    :param maps: run -> data map, on the same data.
    :param references: name of a reference -> its runs.
    :param seeds: run -> seed; unknown ones count as different.
    :param costs: run -> FLOPs, or any one unit.
    :param epoch_maps: run -> its maps after 2, 3, ... epochs, in the rows of its map.
    :returns: one row per kind of average (`AVERAGE_COLUMNS`): `runs` are those of the first way to pick them, the
        other numbers means over at most `MAX_WAYS` ways. `cost` is summed over the runs, NaN if one is unknown.
        Ordered by overlap, best first.
    :raises InputError: for a run without map, no main run, an unknown score, or as `align_maps` and `select`.
    """
    named = [*main_runs, *(run for runs in references.values() for run in runs)]
    problems = [unknown("data map of run", run, maps) for run in dict.fromkeys(named) if run not in maps]
    problems += [] if main_runs else ["main_runs: received none; at least one run of the main model is needed."]
    problems += [] if score in SCORE_ENDS else [unknown("score", score, SCORE_ENDS)]
    if problems:
        raise InputError("Averages of maps cannot be compared.", problems)
    aligned, _ = align_maps({run: maps[run] for run in dict.fromkeys(named)})
    judge = _Judge(aligned, main_runs, score, fraction, seeds or {}, costs or {})
    rows = []
    for name, runs in references.items():
        rows += [judge.row(*_seeds_of(name, number), combinations(runs, number)) for number in range(1, len(runs) + 1)]
        several = {run: (epoch_maps or {}).get(run, ()) for run in runs}
        if any(len(found) > 1 for found in several.values()):
            rows.append(judge.epochs(name, several, {run: maps[run] for run in runs}))
    for (a, runs_a), (b, runs_b) in combinations(references.items(), 2):
        rows.append(judge.row(f"{a} with {b}", "references", _apart(runs_a, runs_b, seeds or {})))
    for number in range(1, len(main_runs)):
        words = "another seed of the main model" if number == 1 else f"{number} seeds of the main model"
        rows.append(judge.row(words, "main", combinations(main_runs, number)))
    found = pd.DataFrame([row for row in rows if row is not None], columns=list(AVERAGE_COLUMNS))
    return found.sort_values(["same_seed", "overlap"], ascending=[True, False], kind="stable", ignore_index=True)


class _Judge:
    """Holds averages against the main model's single runs."""

    def __init__(
        self,
        aligned: Mapping[str, pd.DataFrame],
        main_runs: Sequence[str],
        score: str,
        fraction: float,
        seeds: Mapping[str, int | None],
        costs: Mapping[str, float | None],
    ) -> None:
        self.maps, self.score, self.fraction, self.seeds, self.costs = aligned, score, fraction, seeds, costs
        self.max_ways = MAX_WAYS if len(next(iter(aligned.values()))) <= MANY_EXAMPLES else 2
        self.ranks = {run: centred_ranks(aligned[run], score) for run in main_runs}
        self.sets = {run: chosen_shares(aligned[run], score, fraction) for run in main_runs}

    def row(self, name: str, kind: str, ways: Any) -> dict[str, Any] | None:
        """Average the runs of each way; None if no main run is left to hold them against."""
        picked = [tuple(dict.fromkeys(way)) for way in islice(ways, self.max_ways)]
        averages = [(way, self._average([self.maps[run] for run in way])) for way in picked]
        return self._row(name, kind, averages, len(picked[0]) if picked else 0)

    def epochs(
        self, name: str, several: Mapping[str, Sequence[pd.DataFrame]], whole: Mapping[str, pd.DataFrame]
    ) -> dict[str, Any] | None:
        """Average the maps that one run had after each of its epochs."""
        averages = []
        for run, found in islice(((run, found) for run, found in several.items() if len(found) > 1), MAX_WAYS):
            rows = pd.Index(whole[run]["example_id"]).get_indexer(pd.Index(self.maps[run]["example_id"]))
            averages.append(((run,), self._average(found).take(rows).reset_index(drop=True)))
        return self._row(f"{name}, over its epochs", "epochs", averages, 1)

    def _row(
        self, name: str, kind: str, averages: Sequence[tuple[tuple[str, ...], pd.DataFrame]], num_runs: int
    ) -> dict[str, Any] | None:
        held = [(way, average, *other_runs(way, list(self.sets), self.seeds)) for way, average in averages]
        held = [each for each in held if each[2]]
        same = all(shares_seed for *_, shares_seed in held)
        overlaps, correlations = [], []
        for _, average, against, shares_seed in held:
            if shares_seed and not same:
                continue  # It saw the examples in the order of what it is held against, and agrees more for that.
            chosen, ranks = chosen_shares(average, self.score, self.fraction), centred_ranks(average, self.score)
            overlaps.append(np.mean([jaccard(chosen, self.sets[run]) for run in against]))
            correlations.append(np.mean([correlation_of_ranks(ranks, self.ranks[run]) for run in against]))
        if not overlaps:
            return None
        costs = [sum(_known(self.costs.get(run)) for run in way) for way, _ in averages]
        return {
            "average": name,
            "kind": kind,
            "runs": averages[0][0],
            "num_runs": num_runs,
            "cost": float(np.mean(costs)),
            "overlap": float(np.mean(overlaps)),
            "correlation": float(np.mean(correlations)),
            "num_ways": len(overlaps),
            "same_seed": same,
        }

    def _average(self, several: Sequence[pd.DataFrame]) -> pd.DataFrame:
        """`average_maps` of maps in the same rows, cut to what selecting by the score looks at."""
        average = pd.DataFrame({self.score: np.mean([each[self.score].to_numpy(float) for each in several], axis=0)})
        if all("never_learnt" in each for each in several):
            average["never_learnt"] = np.all([each["never_learnt"].to_numpy(bool) for each in several], axis=0)
        return average


def other_runs(way: Sequence[str], main_runs: Sequence[str], seeds: Mapping[str, int | None]) -> tuple[list[str], bool]:
    """Give the main model's runs to hold some runs against, and whether they share a seed with them.

    Those of other seeds; where there is none, those that are other runs at least.
    """
    others = [run for run in main_runs if run not in way]
    used = {seeds.get(run) for run in way} - {None}
    apart = [run for run in others if seeds.get(run) not in used]
    return (apart, False) if apart else (others, bool(others))


def _seeds_of(name: str, number: int) -> tuple[str, str]:
    return (name, "run") if number == 1 else (f"{name}, {number} seeds", "seeds")


def _apart(runs_a: Sequence[str], runs_b: Sequence[str], seeds: Mapping[str, int | None]) -> list[tuple[str, str]]:
    """Pairs of one run of each, those of different seeds first: an average should not share its noise."""
    pairs = [(a, b) for a, b in product(runs_a, runs_b) if a != b]
    return sorted(pairs, key=lambda pair: seeds.get(pair[0]) is not None and seeds.get(pair[0]) == seeds.get(pair[1]))


def _known(cost: float | None) -> float:
    return float("nan") if cost is None else float(cost)


def _most_frequent(columns: Sequence[pd.Series]) -> Any:
    """(N,) the most frequent value of each row over several columns, the first column's among equals."""
    values = np.stack([column.to_numpy(dtype=object) for column in columns], axis=1)
    codes, names = pd.factorize(values.ravel())
    codes = codes.reshape(values.shape)
    votes = (codes[:, :, None] == codes[:, None, :]).sum(axis=2)  # (N, runs): how many agree with each run
    winners = names[codes[np.arange(len(codes)), votes.argmax(axis=1)]]  # argmax keeps the first among equals
    column = columns[0]
    return pd.Categorical(winners, categories=column.cat.categories) if hasattr(column, "cat") else winners
