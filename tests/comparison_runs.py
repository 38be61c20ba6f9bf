"""Runs to compare, made by hand: what each predicted, on two splits of two labels."""

import numpy as np

from ftft_core.comparison import ComparedSplit, RunResult, SplitPredictions, compare_runs

LABELS = ("no", "yes")
SPLITS = (ComparedSplit("test", "in_distribution"), ComparedSplit("far", "out_of_distribution"))


def predictions(right, *, gold=None, ids=None, groups=None):
    """Predictions of which `right` says whether each is right."""
    right = np.asarray(right, dtype=bool)
    gold = np.resize(LABELS, len(right)) if gold is None else np.asarray(gold)
    predicted = np.where(right, gold == "yes", gold != "yes").astype(int)
    ids = [str(number) for number in range(len(right))] if ids is None else ids
    return SplitPredictions(np.array(ids, dtype=object), gold, np.eye(2)[predicted] * 3.0, groups)


def run(method, seed, right, **fields):
    given = right if isinstance(right, dict) else dict.fromkeys(("test", "far"), right)
    made = {name: value if isinstance(value, SplitPredictions) else predictions(value) for name, value in given.items()}
    defaults = {"model": "big", "num_layers": 12, "fraction": 1.0, "total_flops": 100.0, "predictions": made}
    return RunResult(f"{method}-{seed}", method, seed=seed, **{**defaults, **fields})


def noisy(share, seed, size=200):
    return np.random.default_rng(seed).random(size) < share


def accuracy_row(comparison, method, split="far"):
    rows = comparison.rows
    return rows[(rows["method"] == method) & (rows["split"] == split) & (rows["metric"] == "accuracy")].iloc[0]


def compare(runs, **options):
    return compare_runs(runs, SPLITS, LABELS, **{"num_resamples": 400, **options})
