"""Intervals of a difference between two methods: seeds and test examples, resampled on two levels.

Owns the resampling of examples for every metric at once, the interval and p-value of a difference, and Holm's
correction. Knows nothing of runs' names or of tables.

The estimate is the difference of two means over seeds, and two things would move it: other seeds and other test
examples. Following the multi-bootstrap (Sellam et al. 2022, "The MultiBERTs") both are resampled, and what
two methods share is resampled together: examples always (both methods see the same ones), seeds if both methods have
the same seeds.

Small-sample correction. Few seeds cannot be resampled as they are: two seeds have only three distinct resampled
means, and a resampled mean spreads by sqrt((S - 1) / S) too little, so plain percentile intervals are far too narrow
(Hesterberg 2015, "What teachers should know about the bootstrap", who expands them by that factor and
by Student's t in place of the normal). Here the level of the seeds is therefore drawn from its t distribution: mean
+ t(S - 1) * s / sqrt(S), s with ddof 1. That has the unbiased spread and Student's tails, and becomes the plain
resampling as S grows. The draws are the distribution's own equally spaced quantiles in shuffled order, since the mean
of 2,000 free draws with t(1)'s tails would itself be noise. The level of the examples is resampled as usual. Since
each seed's score also holds noise of the examples, the sum errs to the wide side (Owen 2007, "The pigeonhole
bootstrap"). `benchmarks/interval_coverage.py` measures the coverage of both. The p-value takes the tails of that t
distribution in closed form, averaged over the resampled examples: counting draws beyond zero could say nothing
finer than 1 / R, which Holm's correction of many differences needs.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from ftft_core.errors import InputError
from ftft_core.metrics import NUM_CALIBRATION_BINS, calibration_bin

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]
CountArray = npt.NDArray[np.float32]

MAX_COUNTS_AT_ONCE = 8_000_000
"""Entries of a block of resampling counts (4 bytes each)."""

LEVEL = 0.95
"""Coverage aimed at by every interval."""

NUM_RESAMPLES = 2000
"""R of the bootstrap."""

SIGNIFICANCE = 0.05
"""Largest corrected p-value at which a difference is marked."""


@dataclass(frozen=True)
class SeedScores:
    """One method's score on one split (or mean over splits), per seed."""

    seeds: tuple[int, ...]
    points: FloatArray
    """(S,) scores on the examples as they are."""

    replicates: FloatArray
    """(S, R) scores on the R resamplings of the examples; resampling r is the same for all methods."""


@dataclass(frozen=True)
class Difference:
    """Difference of two methods' means over seeds (method minus baseline)."""

    delta: float
    low: float
    high: float
    p_value: float
    """Two-sided, of no difference; at least 2 / (R + 1) where no noise of seeds is in it."""

    has_seed_noise: bool
    """False where a side has one seed only: the interval then leaves out how much its seed matters."""


def example_replicates(
    probabilities: Sequence[FloatArray], gold: IndexArray, *, num_resamples: int, rng: np.random.Generator
) -> dict[str, FloatArray]:
    """Score several runs on the same resamplings of a split's examples.

    :param probabilities: for each of M runs (N, K), rows in one order.
    :param gold: (N,) column index of the gold label.
    :returns: metric -> (M, R) scores. Macro-F1 of a resampling is over the labels that occur in it.
    """
    num_examples, num_labels = probabilities[0].shape
    sums_of_run = [_summed_columns(values, gold) for values in probabilities]
    scores = {name: np.empty((len(probabilities), num_resamples)) for name in _FROM_SUMS}
    block = max(1, min(num_resamples, MAX_COUNTS_AT_ONCE // max(1, num_examples)))
    for start in range(0, num_resamples, block):
        stop = min(start + block, num_resamples)
        counts = _resampling_counts(stop - start, num_examples, rng)  # (resamplings, examples)
        for run, columns in enumerate(sums_of_run):
            # One product per run, all of one shape: equal predictions give bitwise equal scores.
            sums = (counts @ columns).astype(np.float64)
            for name, function in _FROM_SUMS.items():
                scores[name][run, start:stop] = function(sums, num_examples, num_labels)
    return scores


def _resampling_counts(num_resamples: int, num_examples: int, rng: np.random.Generator) -> CountArray:
    """How often each example stands in each resampling: multinomial, (R, N), rows sum to N."""
    drawn = rng.integers(0, num_examples, size=(num_resamples, num_examples), dtype=np.int64)
    drawn += np.arange(num_resamples)[:, None] * num_examples
    counts = np.bincount(drawn.ravel(), minlength=num_resamples * num_examples)
    return counts.reshape(num_resamples, num_examples).astype(np.float32)


def _summed_columns(probabilities: FloatArray, gold: IndexArray) -> CountArray:
    """(N, 1 + 3 K + bins): what has to be summed over examples so that every metric follows from the sums."""
    num_examples, num_labels = probabilities.shape
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    right = predicted == gold
    label_indices = np.arange(num_labels)
    is_gold, is_predicted = gold[:, None] == label_indices, predicted[:, None] == label_indices
    gaps = np.zeros((num_examples, NUM_CALIBRATION_BINS))
    gaps[np.arange(num_examples), calibration_bin(confidence)] = confidence - right
    return np.hstack([right[:, None], is_gold, is_predicted, is_gold & is_predicted, gaps]).astype(np.float32)


def _accuracy_from_sums(sums: FloatArray, num_examples: int, num_labels: int) -> FloatArray:
    return np.asarray(sums[:, 0] / num_examples)


def _macro_f1_from_sums(sums: FloatArray, num_examples: int, num_labels: int) -> FloatArray:
    num_gold, num_predicted, num_right = np.split(sums[:, 1 : 1 + 3 * num_labels], 3, axis=1)
    present = num_gold > 0
    f1 = 2 * num_right / np.maximum(num_gold + num_predicted, 1)
    return np.asarray((f1 * present).sum(axis=1) / present.sum(axis=1))


def _ece_from_sums(sums: FloatArray, num_examples: int, num_labels: int) -> FloatArray:
    return np.asarray(np.abs(sums[:, 1 + 3 * num_labels :]).sum(axis=1) / num_examples)


_FROM_SUMS: dict[str, Callable[[FloatArray, int, int], FloatArray]] = {
    "accuracy": _accuracy_from_sums,
    "macro_f1": _macro_f1_from_sums,
    "ece": _ece_from_sums,
}
"""Metric -> function of the sums of `_summed_columns`; the same names and values as `metrics.METRICS`."""


def difference(method: SeedScores, baseline: SeedScores, *, seed: int = 0) -> Difference:
    """Estimate mean(method) - mean(baseline) with its 95 % interval, see the header of this module.

    Seeds are paired if both sides have exactly the same ones, else each side's are drawn on its own. Equal scores give
    0 and [0, 0]. The examples' part is centred before it is added: the calibration error of a resampling is too
    high on average, and its excess would count twice. The interval always holds the estimate, and lies in [-1, 1] as
    every difference of scores in [0, 1] does.

    :param seed: of the order in which the seeds' draws meet the examples'.
    """
    delta = float(method.points.mean() - baseline.points.mean())
    from_examples = method.replicates.mean(axis=0) - baseline.replicates.mean(axis=0)
    noise = from_examples - from_examples.mean()
    rng = np.random.default_rng(seed)
    paired = method.seeds == baseline.seeds
    sides = [method.points - baseline.points] if paired else [method.points, -baseline.points]
    p_value = _p_value(delta + noise, 0.0, 1)
    for points in sides:
        if len(points) > 1:
            standard_error = float(points.std(ddof=1) / np.sqrt(len(points)))
            p_value = _p_value(delta + noise, standard_error, len(points) - 1)
            noise = noise + standard_error * rng.permutation(_t_quantiles(len(points) - 1, len(noise)))
    low, high = np.quantile(delta + noise, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    low, high = min(max(float(low), -1.0), delta), max(min(float(high), 1.0), delta)
    return Difference(delta, low, high, p_value, all(len(points) > 1 for points in sides))


def _p_value(replicates: FloatArray, standard_error: float, degrees_of_freedom: int) -> float:
    """Two-sided p-value of no difference, from replicates that lack the noise of one level of seeds.

    :param replicates: (R,) differences with all other noise; :param standard_error: of the level that is lacking, with
        which each of them is spread as Student's t; 0 where there is none.
    """
    if standard_error == 0:
        num_beyond = min(int((replicates <= 0).sum()), int((replicates >= 0).sum()))
        return min(1.0, 2 * (1 + num_beyond) / (1 + len(replicates)))
    from scipy import special

    at_most = float(special.stdtr(degrees_of_freedom, -replicates / standard_error).mean())
    return 2 * min(at_most, 1 - at_most)


@cache
def _t_quantiles(degrees_of_freedom: int, size: int) -> FloatArray:
    """`size` equally probable quantiles of Student's t, from lowest to highest; not to be written to."""
    from scipy import special

    quantiles = special.stdtrit(degrees_of_freedom, (np.arange(size) + 0.5) / size)
    quantiles.setflags(write=False)
    return np.asarray(quantiles, dtype=np.float64)


def split_rng(seed: int, split: str) -> np.random.Generator:
    """Random numbers of one split: they do not change when other splits are added or left out."""
    return np.random.default_rng([seed, zlib.crc32(split.encode())])


def marks_by_metric(
    metrics: npt.ArrayLike, p_values: npt.ArrayLike, has_seed_noise: npt.ArrayLike
) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Correct p-values within each metric, and say which differences are marked: significant then, seed noise counted.

    :param metrics: (M,) names; :param p_values: (M,) NaN where there was no test; :param has_seed_noise: (M,).
    :returns: (M,) corrected p-values, (M,) marks.
    """
    names, values = np.asarray(metrics, dtype=object), np.asarray(p_values, dtype=np.float64)
    corrected = np.full(len(values), np.nan)
    for name in dict.fromkeys(names):
        corrected[names == name] = holm(values[names == name])
    return corrected, (corrected <= SIGNIFICANCE) & np.asarray(has_seed_noise, dtype=bool)


def holm(p_values: npt.ArrayLike) -> FloatArray:
    """Holm's step-down correction of M p-values that are looked at together (Holm 1979).

    :param p_values: (M,) in [0, 1]; NaN is left out of the count and stays NaN.
    :returns: (M,) corrected p-values in the same order, in [0, 1]: those up to 0.05 may be marked together, with at
        most 5 % probability of any false mark.
    :raises InputError: if a value lies outside [0, 1].
    """
    values = np.asarray(p_values, dtype=np.float64)
    known = ~np.isnan(values)
    if ((values[known] < 0) | (values[known] > 1)).any():
        raise InputError(f"A p-value lies in [0, 1]; received {values[known].min():g} to {values[known].max():g}.")
    corrected = np.full(values.shape, np.nan)
    order = np.flatnonzero(known)[np.argsort(values[known], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(values[order] * factors))
    return corrected
