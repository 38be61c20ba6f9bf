"""Two methods on one split, point by point: groups, confusions, calibration, and the examples won and lost.

Owns what is computed between two methods' predictions of the same examples. The table of all methods is `compare`'s;
texts of examples are the store's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from ftft_core.comparison.bootstrap import (
    NUM_RESAMPLES,
    Difference,
    SeedScores,
    difference,
    example_replicates,
    marks_by_metric,
    split_rng,
)
from ftft_core.comparison.runs import ComparedSplit, MethodRuns, SplitPredictions
from ftft_core.comparison.scoring import usable_predictions
from ftft_core.errors import InputError, unknown
from ftft_core.metrics import METRICS, NUM_CALIBRATION_BINS, calibration_bin, probabilities_and_gold

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

OUTCOMES = ("won", "lost", "both_wrong", "both_right")
"""What became of an example: only the first method is right, only the second, neither, both."""

RULES = {"most": "in most seeds", "every": "in every seed"}
"""When a method counts as right on an example: in more than half of its seeds, or in all (and wrong: in none).

Where exactly half of the seeds are right, the label of the highest mean probability decides: to call such an example
wrong would make a method look worse for having an even number of seeds.
"""


@dataclass(frozen=True)
class Side:
    """One of the two methods on the split."""

    id: str
    seeds: tuple[int, ...]
    """Seeds with predictions on the split."""

    scores: Mapping[str, FloatArray]
    """Metric -> (S,) scores, one a seed."""

    confusion: FloatArray
    """(K, K) examples by gold (rows) and predicted label (columns), mean over seeds; sums to the examples."""

    calibration: pd.DataFrame
    """bin, confidence, accuracy (means in the bin, NaN where it is empty), num_examples; seeds pooled, 15 bins.

    `expected calibration error` is the mean over seeds of each seed's own, which pooled bins do not add up to.
    """

    right: FloatArray
    """(N,) share of the seeds that predict each example right."""

    voted_right: npt.NDArray[np.bool_]
    """(N,) whether most seeds do, see `RULES`."""


@dataclass(frozen=True)
class Pair:
    """Two methods on one split. `delta` and the like are first minus second."""

    split: str
    labels: tuple[str, ...]
    """K labels of the split, in the order of the confusions."""
    example_ids: npt.NDArray[np.object_]
    """(N,) in one order for both."""
    gold: IntArray
    """(N,) positions in `labels`."""
    first: Side
    second: Side
    differences: Mapping[str, Difference]
    """Metric -> difference with its 95 % interval, that of the table of all methods where both resample as often."""
    groups: pd.DataFrame
    """group, num_examples, metric, first, second, delta, low, high, p_holm (within the metric), marked; no rows for a
    split without groups. In the order of their names."""
    notes: tuple[str, ...]

    def outcomes(self, rule: str = "most") -> npt.NDArray[np.object_]:
        """(N,) one of `OUTCOMES` for each example, None where seeds disagree (only under the rule "every").

        :raises InputError: for an unknown rule.
        """
        if rule not in RULES:
            raise InputError(unknown("rule", rule, RULES))
        a, b = self.first.right, self.second.right
        if rule == "most":
            right_a, right_b = self.first.voted_right, self.second.voted_right
            wrong_a, wrong_b = ~right_a, ~right_b
        else:
            right_a, right_b, wrong_a, wrong_b = a == 1, b == 1, a == 0, b == 0
        found = np.full(len(a), None, dtype=object)
        cases = (right_a & wrong_b, wrong_a & right_b, wrong_a & wrong_b, right_a & right_b)
        for outcome, case in zip(OUTCOMES, cases, strict=True):
            found[case] = outcome
        return found

    def counts(self, rule: str = "most") -> dict[str, int]:
        """Give the number of examples of each of `OUTCOMES`."""
        found = self.outcomes(rule)
        return {outcome: int((found == outcome).sum()) for outcome in OUTCOMES}


def compare_pair(
    first: MethodRuns,
    second: MethodRuns,
    split: ComparedSplit,
    labels: Sequence[str],
    *,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> Pair:
    """Compare two methods on one split, point by point.

    :param labels: the suite's labels, in the order of the logits.
    :param num_resamples: R of the bootstrap.
    :raises InputError: if one of them has no run with predictions on the split, or they predicted other examples.
    """
    notes: list[str] = []
    usable = usable_predictions([*first.runs, *second.runs], split.name, notes)
    sides = [
        {run.seed: usable[run.run_id] for run in method.runs if run.run_id in usable} for method in (first, second)
    ]
    for method, side in zip((first, second), sides, strict=True):
        if not side:
            raise InputError(
                f"No run of {method.key.method} has predictions on the split '{split.name}' that can be compared; "
                "choose another split or method.",
                notes,
            )
    given: list[SplitPredictions] = [*sides[0].values(), *sides[1].values()]
    prepared = [probabilities_and_gold(each.logits, each.labels, labels, split.label_map) for each in given]
    probabilities, gold, names = [values for values, _, _ in prepared], prepared[0][1], prepared[0][2]
    num_first = len(sides[0])
    parts = (probabilities[:num_first], probabilities[num_first:])
    made = [
        _side(method.id, tuple(side), part, gold)
        for method, side, part in zip((first, second), sides, parts, strict=True)
    ]
    groups = next((each.groups for each in given if each.groups is not None), None)
    whole = _differences(probabilities, gold, made, num_resamples, split.name, seed)
    return Pair(
        split.name,
        names,
        np.asarray(given[0].example_ids, dtype=object),
        gold,
        made[0],
        made[1],
        whole,
        _group_differences(probabilities, gold, groups, made, num_resamples, split.name, seed),
        tuple(notes),
    )


def mcnemar(num_won: int, num_lost: int) -> float:
    """Two-sided exact p-value of McNemar's test: how surprising the split of the disagreements is by a fair coin.

    It takes the predictions as they are: that other seeds would predict otherwise is not in it. 1 without any
    disagreement (McNemar 1947; the exact binomial form).

    :raises InputError: for a negative count.
    """
    if min(num_won, num_lost) < 0:
        raise InputError(f"Counts must not be negative; received {num_won} won and {num_lost} lost.")
    from scipy import stats

    total = num_won + num_lost
    return 1.0 if total == 0 else float(min(1.0, 2 * stats.binom.cdf(min(num_won, num_lost), total, 0.5)))


def confusion_counts(probabilities: FloatArray, gold: IntArray) -> IntArray:
    """(K, K) number of examples by gold label (rows) and predicted label (columns); the same as scikit-learn's."""
    num_labels = probabilities.shape[1]
    cells = gold * num_labels + probabilities.argmax(axis=1)
    return np.bincount(cells, minlength=num_labels**2).reshape(num_labels, num_labels)


def reliability_bins(probabilities: Sequence[FloatArray], gold: IntArray) -> pd.DataFrame:
    """Mean confidence and accuracy in each of the 15 bins of confidence, over all runs together; see `Side`."""
    confidence = np.concatenate([values.max(axis=1) for values in probabilities])
    right = np.concatenate([values.argmax(axis=1) == gold for values in probabilities])
    bins = calibration_bin(confidence)
    counts = np.bincount(bins, minlength=NUM_CALIBRATION_BINS)
    filled = np.where(counts > 0, counts, np.nan)
    return pd.DataFrame(
        {
            "bin": np.arange(NUM_CALIBRATION_BINS),
            "confidence": np.bincount(bins, weights=confidence, minlength=NUM_CALIBRATION_BINS) / filled,
            "accuracy": np.bincount(bins, weights=right, minlength=NUM_CALIBRATION_BINS) / filled,
            "num_examples": counts,
        }
    )


def _side(id: str, seeds: tuple[int, ...], probabilities: Sequence[FloatArray], gold: IntArray) -> Side:
    right = np.stack([values.argmax(axis=1) == gold for values in probabilities]).mean(axis=0)
    together = np.mean(probabilities, axis=0).argmax(axis=1) == gold
    return Side(
        id,
        seeds,
        {name: np.array([function(values, gold) for values in probabilities]) for name, function in METRICS.items()},
        np.mean([confusion_counts(values, gold) for values in probabilities], axis=0),
        reliability_bins(probabilities, gold),
        right,
        np.where(right == 0.5, together, right > 0.5),
    )


def _differences(
    probabilities: Sequence[FloatArray],
    gold: IntArray,
    sides: Sequence[Side],
    num_resamples: int,
    split: str,
    seed: int,
) -> dict[str, Difference]:
    replicates = example_replicates(probabilities, gold, num_resamples=num_resamples, rng=split_rng(seed, split))
    num_first = len(sides[0].seeds)
    found = {}
    for metric, function in METRICS.items():
        points = np.array([function(values, gold) for values in probabilities])
        a = SeedScores(sides[0].seeds, points[:num_first], replicates[metric][:num_first])
        b = SeedScores(sides[1].seeds, points[num_first:], replicates[metric][num_first:])
        found[metric] = difference(a, b, seed=seed)
    return found


def _group_differences(
    probabilities: Sequence[FloatArray],
    gold: IntArray,
    groups: npt.NDArray[np.object_] | None,
    sides: Sequence[Side],
    num_resamples: int,
    split: str,
    seed: int,
) -> pd.DataFrame:
    columns = ["group", "num_examples", "metric", "first", "second", "delta", "low", "high"]
    rows = []
    group_of = pd.Series([], dtype=object) if groups is None else pd.Series(groups, dtype=object)
    num_first = len(sides[0].seeds)
    p_values, has_seed_noise = [], []
    names = sorted(group_of.dropna().unique())
    for group in names:
        member = (group_of == group).to_numpy()
        part = [values[member] for values in probabilities]
        found = _differences(part, gold[member], sides, num_resamples, f"{split}/{group}", seed)
        for metric, function in METRICS.items():
            points = [function(values, gold[member]) for values in part]
            means = (float(np.mean(points[:num_first])), float(np.mean(points[num_first:])))
            of = found[metric]
            rows.append((str(group), int(member.sum()), metric, *means, of.delta, of.low, of.high))
            p_values.append(of.p_value)
            has_seed_noise.append(of.has_seed_noise)
    frame = pd.DataFrame(rows, columns=columns)
    frame["p_holm"], frame["marked"] = marks_by_metric(frame["metric"], p_values, has_seed_noise)
    return frame
