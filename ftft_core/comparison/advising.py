"""Which reference is good enough for a main model: runs grouped over seeds, held against the main model's own seeds.

Owns the verdict and its words. Agreement of single maps is `transfer`'s, averages are `averaging`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, combinations_with_replacement, product
from typing import Any

import numpy as np
import pandas as pd

from ftft_core.comparison.averaging import corrected_correlation, runs_needed, stepped_up
from ftft_core.comparison.transfer import Transfer, jaccard_by_chance, transfer_matrix
from ftft_core.errors import InputError, unknown

MUCH_NEVER_LEARNT = 0.25
"""Share of an ambiguous set that the run never predicted right, from which it is called undertrained."""

OF_THE_UNSURE = (
    "variability",
    "adjusted_variability",
    "threshold_closeness",
    "entropy",
    "aleatoric",
    "prediction_flips",
)
"""Scores whose sets should hold few examples that were never learnt; those by other scores are made of them."""

NOISY = 0.5
"""Reliability of a single run's map below which more of it is noise than not."""

UNSURE = 0.3
"""Two seeds of one model that correlate by less say so little that what is divided by it is no number to build on."""

Seeds = Mapping[str, int | None]
"""Run -> seed; unknown ones count as different."""

REFERENCE_COLUMNS = (
    *("reference", "num_runs", "cost", "cost_share", "overlap", "share_of_ceiling", "correlation"),
    *("corrected_correlation", "corrected_is_unsure", "easy_share", "never_learnt_share", "easy_for_main"),
    *("same_seed", "good_enough"),
)


@dataclass(frozen=True)
class Advice:
    """Which reference is good enough."""

    chosen: str | None
    """Name of the cheapest reference that is; None if none is, or if no second seed of the main model tells."""

    needed_overlap: float | None
    """Jaccard overlap that a good enough reference reaches: the lowest between two seeds of the main model; None
    without a second seed.
    """

    references: pd.DataFrame
    """One row per reference (`REFERENCE_COLUMNS`), in the order of cost.

    `overlap` and `correlation` (of the score, Spearman) are means over pairs of one of its runs and one of the main
    model's, `corrected_correlation` what the latter would be without noise in either (NaN unless both have two
    seeds; `corrected_is_unsure` where two seeds of either correlate by under `UNSURE`), `share_of_ceiling` is the
    overlap between chance (0) and the mean of the main model's own seeds (1), `cost_share` is of the main model's run.
    `easy_share` and `never_learnt_share` are of its ambiguous set, by its own map; `easy_for_main` by the main
    model's. `same_seed` says that only runs of the same seed could be compared. `good_enough` is None where the main
    model has no second seed.
    """

    sentences: tuple[str, ...]


def advise(
    maps: Mapping[str, pd.DataFrame],
    main_runs: Sequence[str],
    references: Mapping[str, Sequence[str]],
    costs: Mapping[str, float | None],
    *,
    fraction: float = 1 / 3,
    score: str = "variability",
    seeds: Seeds | None = None,
    main_cost: float | None = None,
) -> Advice:
    """Name the cheapest reference whose ambiguous set is as good as another seed of the main model's.

    A reference is good enough if the mean Jaccard overlap of its runs with the main model's runs is at least the
    lowest overlap between two of the main model's own seeds, and above chance. With two seeds there is
    one such overlap; where the main model's own seeds agree no more than chance, no reference is good enough. Only
    runs of different seeds are compared where there are some, as two seeds of the main model are: runs of one seed
    see the examples in one order, and agree more for it.

    :param main_runs: runs of the main model that differ by seed; with one alone no reference can be judged.
    :param references: name of a reference -> its runs.
    :param costs: name of a reference -> FLOPs or any one unit; unknown costs come last.
    :param seeds: run -> seed.
    :param main_cost: of a run of the main model on all data, in the same unit.
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
    wanted = {run: maps[run] for run in dict.fromkeys(named)}
    transfer = transfer_matrix(wanted, fraction=fraction, scores=(score,), score=score)
    return judge(transfer, main_runs, references, costs, seeds=seeds, main_cost=main_cost)


def judge(
    transfer: Transfer,
    main_runs: Sequence[str],
    references: Mapping[str, Sequence[str]],
    costs: Mapping[str, float | None],
    *,
    seeds: Seeds | None = None,
    main_cost: float | None = None,
) -> Advice:
    """Advise on what `transfer_matrix` found; see `advise`. The score that chose the sets must be correlated too.

    Without a reference it says so.
    """
    pairs = _Pairs(transfer, seeds or {})
    chance = pairs.chance
    sets = transfer.ambiguous_sets.set_index("run")
    own = [pairs.overlap[frozenset(pair)] for pair in combinations(main_runs, 2)]
    needed, ceiling = (min(own), float(np.mean(own))) if own else (None, None)
    means_something = ceiling is not None and ceiling > chance
    main_reliability = pairs.within(main_runs)
    rows = []
    for name, runs in references.items():
        # A main run that is its own reference agrees with itself; only other runs say something.
        with_main, same_seed = pairs.apart(runs, main_runs)
        overlap = float(np.mean([pairs.overlap[each] for each in with_main] or [1.0]))
        correlation = float(np.mean([pairs.correlation[each] for each in with_main] or [1.0]))
        cost, reliability = costs.get(name), pairs.within(runs)
        corrected = corrected_correlation(correlation, reliability, main_reliability)
        rows.append(
            {
                "reference": name,
                "num_runs": len(runs),
                "cost": cost,
                "cost_share": cost / main_cost if cost is not None and main_cost else None,
                "overlap": overlap,
                "share_of_ceiling": (overlap - chance) / (ceiling - chance) if ceiling and ceiling > chance else None,
                "correlation": correlation,
                "corrected_correlation": corrected,
                "corrected_is_unsure": bool(pd.notna(corrected) and min(reliability, main_reliability) < UNSURE),
                "easy_share": float(sets.loc[list(runs), "easy_share"].mean()),
                "never_learnt_share": float(sets.loc[list(runs), "never_learnt_share"].mean()),
                "easy_for_main": pairs.easy_for(runs, main_runs),
                "same_seed": same_seed,
                "good_enough": None if needed is None else means_something and overlap >= needed and overlap > chance,
            }
        )
    numbers = ("cost", "cost_share", "share_of_ceiling")
    table = pd.DataFrame(rows, columns=list(REFERENCE_COLUMNS))
    table = table.astype({**dict.fromkeys(numbers, "float64"), "good_enough": "boolean"})
    table = table.sort_values("cost", kind="stable", ignore_index=True)
    if table.empty:
        return Advice(None, needed, table, (_without_references(own, chance), *transfer.notes))
    good = table[table["good_enough"].fillna(False)]
    chosen = None if good.empty else str(good["reference"].iloc[0])
    noun = "ambiguous set" if transfer.score == "variability" else f"set by {transfer.score.replace('_', ' ')}"
    judged = table if transfer.score in OF_THE_UNSURE else table.assign(never_learnt_share=float("nan"))
    sentences = _sentences(judged, chosen, own, chance, reliability=main_reliability, noun=noun)
    return Advice(chosen, needed, table, (*sentences, *transfer.notes))


def grid(transfer: Transfer, groups: Mapping[str, Sequence[str]], seeds: Seeds | None = None) -> pd.DataFrame:
    """Agreement of groups of runs, each with each and with itself.

    :param groups: name -> its runs, all of them part of the transfer.
    :returns: group_a, group_b (each pair once, in the order given, a group with itself among them), overlap, chance,
        correlation (of the transfer's score), num_pairs and same_seed: means over pairs of runs of different seeds,
        or of the same seed where there are no others. NaN, from no pair, for a group of one run with itself.
    """
    pairs = _Pairs(transfer, seeds or {})
    rows = []
    for a, b in combinations_with_replacement(groups, 2):
        if a == b:
            found, same_seed = [frozenset(pair) for pair in combinations(groups[a], 2)], False
        else:
            found, same_seed = pairs.apart(groups[a], groups[b])
        overlap, correlation = (
            float(np.mean([known[each] for each in found])) if found else float("nan")
            for known in (pairs.overlap, pairs.correlation)
        )
        rows.append((a, b, overlap, pairs.chance, correlation, len(found), same_seed))
    columns = ["group_a", "group_b", "overlap", "chance", "correlation", "num_pairs", "same_seed"]
    return pd.DataFrame(rows, columns=columns)


def reliabilities(transfer: Transfer, groups: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """How far each group's maps can be trusted, for the score of the transfer.

    :returns: group, num_runs, reliability_of_one (mean correlation between its runs, NaN for one run),
        reliability_of_average (Spearman-Brown), runs_needed (for a reliability of 0.8; null where none would do).
    """
    pairs = _Pairs(transfer, {})
    rows: list[dict[str, Any]] = []
    for name, runs in groups.items():
        single = pairs.within(runs)
        rows.append(
            {
                "group": name,
                "num_runs": len(runs),
                "reliability_of_one": single,
                "reliability_of_average": stepped_up(single, len(runs)),
                "runs_needed": runs_needed(single),
            }
        )
    columns = ["group", "num_runs", "reliability_of_one", "reliability_of_average", "runs_needed"]
    return pd.DataFrame(rows, columns=columns).astype({"runs_needed": "Int64"})


def by_score(
    transfer: Transfer, groups: Mapping[str, Sequence[str]], main: str, seeds: Seeds | None = None
) -> pd.DataFrame:
    """Rank correlation of each group with the main model by every score that was correlated: which transfers best?

    :param main: the group that is the main model.
    :returns: score, group, correlation (mean over pairs of runs of different seeds, or of the same seed where there are
        no others; of the main model with itself between its seeds; NaN from no pair), same_seed. In the order of the
        scores, then of the groups.
    """
    pairs = _Pairs(transfer, seeds or {})
    own = [frozenset(pair) for pair in combinations(groups[main], 2)]
    chosen = {name: (own, False) if name == main else pairs.apart(runs, groups[main]) for name, runs in groups.items()}
    rows = []
    for score, found in transfer.correlations.groupby("score", sort=False):
        between = zip(found["run_a"], found["run_b"], found["spearman"], strict=True)
        known = {frozenset((a, b)): value for a, b, value in between}
        for name, (wanted, same_seed) in chosen.items():
            mean = float(np.mean([known[each] for each in wanted])) if wanted else float("nan")
            rows.append((score, name, mean, same_seed))
    return pd.DataFrame(rows, columns=["score", "group", "correlation", "same_seed"])


class _Pairs:
    """Looks up what a transfer found between two runs, whichever comes first."""

    def __init__(self, transfer: Transfer, seeds: Seeds) -> None:
        self.seeds = seeds
        overlaps, correlations = transfer.overlaps, transfer.correlations
        keys = [frozenset(pair) for pair in zip(overlaps["run_a"], overlaps["run_b"], strict=True)]
        self.overlap: dict[frozenset[str], float] = dict(zip(keys, overlaps["jaccard"], strict=True))
        of_score = correlations[correlations["score"] == transfer.score]
        found = zip(of_score["run_a"], of_score["run_b"], of_score["spearman"], strict=True)
        self.correlation = dict.fromkeys(keys, float("nan")) | {frozenset((a, b)): value for a, b, value in found}
        names = ["run_a", "run_b", "ambiguous_a_easy_b", "ambiguous_b_easy_a"]
        self._easy: dict[tuple[str, str], float] = {}
        for a, b, a_easy_b, b_easy_a in overlaps[names].itertuples(index=False):
            self._easy |= {(a, b): a_easy_b, (b, a): b_easy_a}
        first = overlaps.iloc[0]
        self.chance = jaccard_by_chance(first["num_selected"] / first["num_examples"])

    def apart(self, runs_a: Sequence[str], runs_b: Sequence[str]) -> tuple[list[frozenset[str]], bool]:
        """Give the pairs of different seeds, or where there is none all others; and whether it is those."""
        everything = [(a, b) for a, b in product(runs_a, runs_b) if a != b]
        apart = [(a, b) for a, b in everything if self.seeds.get(a) is None or self.seeds.get(a) != self.seeds.get(b)]
        chosen = apart or everything
        return list(dict.fromkeys(frozenset(pair) for pair in chosen)), bool(everything) and not apart

    def within(self, runs: Sequence[str]) -> float:
        """Mean correlation between runs of one group: the reliability of one of them; NaN for one run."""
        pairs = [self.correlation[frozenset(pair)] for pair in combinations(runs, 2)]
        return float(np.mean(pairs)) if pairs else float("nan")

    def easy_for(self, runs: Sequence[str], main_runs: Sequence[str]) -> float:
        """Share of the ambiguous sets of runs that is easy for the main model's runs; NaN without other runs."""
        found = [self._easy[pair] for pair in product(runs, main_runs) if pair in self._easy]
        return float(np.mean(found)) if found else float("nan")


def _without_references(own: Sequence[float], chance: float) -> str:
    spread = "" if not own else f"; two of its seeds overlap by {np.mean(own):.2f} (Jaccard; {chance:.2f} by chance)"
    return (
        f"All runs are of the main model{spread}. Train a smaller model, or the same one cut to fewer layers, on all "
        "examples to see whether it can be the reference."
    )


def _sentences(
    table: pd.DataFrame, chosen: str | None, own: Sequence[float], chance: float, *, reliability: float, noun: str
) -> list[str]:
    best = table.loc[table["overlap"].idxmax()]
    best_is = (
        f"{best['reference']} overlaps most with the main model's {noun}: {best['overlap']:.2f} (Jaccard; "
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
            share = row["cost_share"]
            price = "" if pd.isna(share) else f", at {100 * share:.0f} % of the cost of a main run"
            sentences.append(
                f"{chosen} is {cheapest} that is good enough{price}: its {noun} overlaps with the main model's "
                f"by {row['overlap']:.2f} (Jaccard; {chance:.2f} by chance), and {ceiling}."
            )
        elif np.mean(own) <= chance:
            sentences.append(
                f"No reference can be judged: {ceiling} (Jaccard), which is no more than chance ({chance:.2f}). On "
                "these data a single run's map of the main model means little; average several seeds, or train longer."
            )
        else:
            sentences.append(f"No reference is as good as another seed of the main model: {best_is}, but {ceiling}.")
        if len(own) == 1:
            sentences.append("The ceiling rests on one pair of seeds; more seeds would show its spread.")
        if reliability < NOISY and np.mean(own) > chance:
            sentences.append(
                f"By this score a single run's map is mostly noise (two seeds of the main model correlate by "
                f"{reliability:.2f}), so the bar is low; another score, or maps averaged over seeds, say more."
            )
    same = [str(name) for name in table.loc[table["same_seed"].astype(bool), "reference"]]
    if same:
        sentences.append(
            f"{' and '.join(same)}: compared with the main model's run of the same seed alone, which saw the examples "
            "in the same order; the agreement is flattered by it. Another seed would tell."
        )
    for row in table.to_dict("records"):
        if row["easy_share"] > 0.5:
            sentences.append(
                f"{row['reference']} looks too weak: {100 * row['easy_share']:.0f} % of its {noun} are examples that "
                "it finds easiest."
            )
        if row["never_learnt_share"] > MUCH_NEVER_LEARNT:
            sentences.append(
                f"{row['reference']} looks undertrained: it never predicted {100 * row['never_learnt_share']:.0f} % of "
                f"its {noun} right."
            )
    return sentences
