"""Scores of every run that a comparison works on: on each split, its resamplings and its groups.

Owns the alignment of runs by `example_id`, and what is left out of it. Compares nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from ftft_core.comparison.bootstrap import SeedScores, example_replicates, split_rng
from ftft_core.comparison.runs import KEY_COLUMNS, ComparedSplit, MethodRuns, RunResult, SplitPredictions
from ftft_core.metrics import METRICS, probabilities_and_gold, score_split

Scores = Mapping[tuple[str, str, str], tuple[float, npt.NDArray[np.float64]]]
"""(run_id, split, metric) -> score on the split, and (R,) scores on its resamplings."""


def score_all(
    methods: Sequence[MethodRuns],
    splits: Sequence[ComparedSplit],
    labels: Sequence[str],
    num_resamples: int,
    seed: int,
    notes: list[str],
) -> Scores:
    """Score every run on every split and its resamplings; what cannot be scored gets a sentence in `notes`."""
    scores: dict[tuple[str, str, str], tuple[float, npt.NDArray[np.float64]]] = {}
    runs = [run for method in methods for run in method.runs]
    for split in splits:
        usable = usable_predictions(runs, split.name, notes)
        if not usable:
            continue
        prepared = [
            probabilities_and_gold(predictions.logits, predictions.labels, labels, split.label_map)
            for predictions in usable.values()
        ]
        probabilities, gold = [values for values, _, _ in prepared], prepared[0][1]
        replicates = example_replicates(
            probabilities, gold, num_resamples=num_resamples, rng=split_rng(seed, split.name)
        )
        for position, run_id in enumerate(usable):
            for metric, function in METRICS.items():
                value = function(probabilities[position], gold)
                scores[run_id, split.name, metric] = (value, replicates[metric][position])
    return scores


def usable_predictions(runs: Sequence[RunResult], split: str, notes: list[str]) -> dict[str, SplitPredictions]:
    """Predictions per run on the same examples in the same order; runs that have others or none get a note."""
    lacking = [run.run_id for run in runs if split not in run.predictions or not len(run.predictions[split].labels)]
    if lacking:
        notes.append(f"Split '{split}': no predictions of {several('run', lacking)}; their means leave it out.")
    found: dict[str, SplitPredictions] = {}
    contents: dict[str, tuple[tuple[str, str], ...]] = {}
    # Runs mostly share the very arrays of ids and labels: they are put in order once.
    ordered: dict[tuple[int, int], tuple[_Order, SplitPredictions, tuple[tuple[str, str], ...]]] = {}
    for run in runs:
        if run.run_id in lacking:
            continue
        given = run.predictions[split]
        shared = (id(given.example_ids), id(given.labels))
        if shared not in ordered:
            order = np.argsort(np.asarray(given.example_ids, dtype=str), kind="stable")
            first = _in_order(given, order)
            content = tuple(zip(map(str, first.example_ids), map(str, first.labels), strict=True))
            ordered[shared] = (order, first, content)
        order, first, contents[run.run_id] = ordered[shared]
        found[run.run_id] = replace(_in_order(given, order), example_ids=first.example_ids, labels=first.labels)
    if len(set(contents.values())) > 1:
        sizes = list(contents.values())
        usual = max(contents.values(), key=lambda content: (sizes.count(content), len(content)))
        strange = [run_id for run_id, content in contents.items() if content != usual]
        notes.append(
            f"Split '{split}': {several('run', strange)} predicted other examples or gold labels than the other "
            f"{len(contents) - len(strange)} did, and cannot be paired with them; their means leave it out."
        )
        found = {run_id: predictions for run_id, predictions in found.items() if run_id not in strange}
    return found


_Order: TypeAlias = npt.NDArray[np.int64]


def _in_order(given: SplitPredictions, order: _Order) -> SplitPredictions:
    return SplitPredictions(
        np.asarray(given.example_ids)[order],
        np.asarray(given.labels)[order],
        np.asarray(given.logits)[order],
        None if given.groups is None else np.asarray(given.groups, dtype=object)[order],
    )


def seed_scores(method: MethodRuns, splits: Sequence[str], metric: str, scores: Scores) -> SeedScores | None:
    """Scores per seed, averaged over the splits, of the seeds that have them all; None if no seed has."""
    seeds, points, replicates = [], [], []
    for run in method.runs:
        found = [scores[run.run_id, split, metric] for split in splits if (run.run_id, split, metric) in scores]
        if found and len(found) == len(splits):
            seeds.append(run.seed)
            points.append(float(np.mean([point for point, _ in found])))
            replicates.append(np.mean([values for _, values in found], axis=0))
    return SeedScores(tuple(seeds), np.array(points), np.stack(replicates)) if seeds else None


def group_scores(
    methods: Sequence[MethodRuns],
    splits: Sequence[ComparedSplit],
    labels: Sequence[str],
    metrics: Sequence[str],
    scores: Scores,
) -> pd.DataFrame:
    """Mean and standard deviation over seeds of every group of every split, of the runs that have `scores` there."""
    columns = [*KEY_COLUMNS, "split", "role", "group", "metric", "mean", "std", "num_seeds", "num_examples"]
    rows: list[dict[str, Any]] = []
    for method in methods:
        for split in splits:
            per_seed = []
            for run in method.runs:
                if (run.run_id, split.name, "accuracy") not in scores or run.predictions[split.name].groups is None:
                    continue
                given = run.predictions[split.name]
                table = score_split(given.logits, given.labels, labels, label_map=split.label_map, groups=given.groups)
                per_seed.append(table[table["group"].notna() & table["metric"].isin(metrics)])
            if not per_seed:
                continue
            for (group, metric), found in pd.concat(per_seed).groupby(["group", "metric"], sort=False):
                values = found["value"].to_numpy()
                rows.append(
                    {
                        **asdict(method.key),
                        **{"split": split.name, "role": split.role, "group": group, "metric": metric},
                        "mean": values.mean(),
                        "std": values.std(ddof=1) if len(values) > 1 else None,
                        "num_seeds": len(values),
                        "num_examples": int(found["num_examples"].iloc[0]),
                    }
                )
    return pd.DataFrame(rows, columns=columns).astype({"std": "float64", "reference_layers": "Int64"})


def several(noun: str, things: Sequence[object]) -> str:
    """Word a list of runs by their ids, or by their number where there are many."""
    names = [thing.run_id if isinstance(thing, RunResult) else str(thing) for thing in things]
    plural = noun if len(names) == 1 else noun + "s"
    return f"{plural} {', '.join(names)}" if len(names) <= 6 else f"{len(names)} {plural}"
