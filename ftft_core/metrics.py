"""Scores of predictions: arrays in, numbers out.

Owns accuracy, macro-F1, expected calibration error, the merging of labels at test time, and the scoring of one split
with its groups. Knows nothing of models, runs or files; `evaluation` makes the logits, `comparison` the intervals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ftft_core.errors import InputError, one_of, unknown

NUM_CALIBRATION_BINS = 15
"""Equal-width bins of the expected calibration error (Guo et al. 2017, section 3)."""

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]


def softmax(logits: npt.ArrayLike) -> FloatArray:
    """Probabilities (..., C) in float64 of logits (..., C); every last axis sums to 1."""
    values = np.asarray(logits, dtype=np.float64)
    if values.size == 0:
        return values
    exponentials = np.exp(values - values.max(axis=-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))


def log_softmax(logits: npt.ArrayLike) -> FloatArray:
    """Natural logarithms of `softmax`, (..., C) in float64, without overflow."""
    values = np.asarray(logits, dtype=np.float64)
    if values.size == 0:
        return values
    shifted = values - values.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def merge_label_probabilities(
    probabilities: npt.ArrayLike, labels: Sequence[str], label_map: Mapping[str, Sequence[str]] | None
) -> tuple[FloatArray, tuple[str, ...]]:
    """Probabilities of coarser labels: those of the labels that make up a coarser one are added.

    :param probabilities: (N, C), columns in the order of `labels`.
    :param label_map: coarser label -> labels of the suite. A label that it does not list stands for itself.
    :returns: probabilities (N, K) and the K names, in the order of the first suite label behind each.
    :raises InputError: if the map names a label that is not among `labels`, or one label twice.
    """
    values = np.asarray(probabilities, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != len(labels):
        raise InputError(
            f"Probabilities need one column per label; received shape {values.shape} for {len(labels)} labels "
            f"({one_of(labels)}). Give those of the suite that the run was trained on."
        )
    if not label_map:
        return values, tuple(labels)
    stands_for: dict[str, str] = {}
    problems: list[str] = []
    for coarser, finer in label_map.items():
        for label in finer:
            if label not in labels:
                problems.append(f"label_map.{coarser}: {unknown('label', label, labels)}")
            elif label in stands_for:
                problems.append(
                    f"label_map.{coarser}: the label '{label}' is already part of '{stands_for[label]}'; "
                    "a label may be part of one coarser label only. Remove it from one of them."
                )
            else:
                stands_for[label] = coarser
    if problems:
        raise InputError("The label map does not fit the suite's labels.", problems)
    coarse_of_column = [stands_for.get(label, label) for label in labels]
    merged_names = tuple(dict.fromkeys(coarse_of_column))
    merged = np.zeros((len(values), len(merged_names)))
    for column, name in enumerate(coarse_of_column):
        merged[:, merged_names.index(name)] += values[:, column]
    return merged, merged_names


def accuracy(probabilities: npt.ArrayLike, gold: npt.ArrayLike) -> float:
    """Share of examples whose most probable label is the gold one; [0, 1], higher is better, NaN of no examples.

    :param probabilities: (N, K); of equally probable labels the first counts as predicted.
    :param gold: (N,) column index of the gold label.
    """
    values, gold_index = _checked(probabilities, gold)
    return float(np.mean(values.argmax(axis=1) == gold_index)) if len(values) else float("nan")


def macro_f1(probabilities: npt.ArrayLike, gold: npt.ArrayLike) -> float:
    """Unweighted mean of F1 over the labels that occur in `gold`; [0, 1], higher is better, NaN of no examples.

    The same as scikit-learn's `f1_score(gold, predicted, labels=np.unique(gold), average="macro", zero_division=0)`.
    A label that is predicted but occurs nowhere in `gold` costs recall of the right label, and adds no F1 of its own:
    a split with fewer labels than the suite is not punished for that. A label that is never predicted has F1 = 0.
    """
    values, gold_index = _checked(probabilities, gold)
    if not len(values):
        return float("nan")
    predicted = values.argmax(axis=1)
    num_gold = np.bincount(gold_index, minlength=values.shape[1])
    num_predicted = np.bincount(predicted, minlength=values.shape[1])
    num_right = np.bincount(gold_index[predicted == gold_index], minlength=values.shape[1])
    present = num_gold > 0
    return float(np.mean(2 * num_right[present] / (num_gold + num_predicted)[present]))


def expected_calibration_error(probabilities: npt.ArrayLike, gold: npt.ArrayLike) -> float:
    """Mean gap between confidence and accuracy over 15 equal-width bins; [0, 1], lower is better, NaN of no examples.

    Sum over bins of |sum of (confidence - right)| / N (Guo et al. 2017, equation 3). Confidence is the probability of
    the predicted label; a bin holds its upper edge and not its lower one.
    """
    values, gold_index = _checked(probabilities, gold)
    if not len(values):
        return float("nan")
    gap = values.max(axis=1) - (values.argmax(axis=1) == gold_index)
    return float(np.abs(np.bincount(calibration_bin(values.max(axis=1)), weights=gap)).sum() / len(values))


def calibration_bin(confidence: npt.ArrayLike) -> IndexArray:
    """Bin (0 to 14) of each confidence in [0, 1]: bin m holds what lies in (m / 15, (m + 1) / 15]."""
    edges = np.linspace(0.0, 1.0, NUM_CALIBRATION_BINS + 1)
    found = np.searchsorted(edges, np.asarray(confidence, dtype=np.float64), side="left") - 1
    return np.clip(found, 0, NUM_CALIBRATION_BINS - 1).astype(np.int64)


METRICS: dict[str, Callable[[npt.ArrayLike, npt.ArrayLike], float]] = {
    "accuracy": accuracy,
    "macro_f1": macro_f1,
    "ece": expected_calibration_error,
}
"""Name -> function of probabilities (N, K) and gold column indices (N,)."""

HIGHER_IS_BETTER = {"accuracy": True, "macro_f1": True, "ece": False}
"""Direction of each metric."""


def probabilities_and_gold(
    logits: npt.ArrayLike,
    gold_labels: Sequence[str] | npt.NDArray[Any],
    labels: Sequence[str],
    label_map: Mapping[str, Sequence[str]] | None = None,
) -> tuple[FloatArray, IndexArray, tuple[str, ...]]:
    """Make what the metrics take of what is stored: merged probabilities (N, K), gold indices (N,), the K names.

    :param logits: (N, C), columns in the order of `labels`.
    :param gold_labels: (N,) names as they stand in the split: coarser ones where the split has a `label_map`.
    :raises InputError: if shapes do not fit, or a gold label is neither a label nor a coarser one.
    """
    values = np.asarray(logits, dtype=np.float64).reshape(-1, len(labels)) if np.size(logits) == 0 else logits
    merged, names = merge_label_probabilities(softmax(values), labels, label_map)
    gold_names = [str(label) for label in gold_labels]
    if len(gold_names) != len(merged):
        raise InputError(
            f"Every example needs one row of logits and one gold label; received {len(merged)} rows of logits and "
            f"{len(gold_names)} gold labels."
        )
    position = {name: index for index, name in enumerate(names)}
    strangers = sorted({name for name in gold_names if name not in position})
    if strangers:
        raise InputError(
            "Some gold labels are not labels of the split.", [unknown("label", s, names) for s in strangers]
        )
    return merged, np.array([position[name] for name in gold_names], dtype=np.int64), names


def score_split(
    logits: npt.ArrayLike,
    gold_labels: Sequence[str] | npt.NDArray[Any],
    suite_labels: Sequence[str],
    *,
    label_map: Mapping[str, Sequence[str]] | None = None,
    groups: Sequence[str | None] | npt.NDArray[Any] | None = None,
) -> pd.DataFrame:
    """Every metric on a split, and on each of its groups.

    :param logits: (N, C) over the suite's labels.
    :param gold_labels: (N,) label names as they stand in the split.
    :param groups: (N,) group of each example, or None for none; examples of no group count for the whole split only.
    :returns: columns group (None for the whole split, then the groups in sorted order), metric, value (in [0, 1],
        NaN where there is no example), num_examples. Macro-F1 of a group is over the labels that occur in the group.
    :raises InputError: as `probabilities_and_gold`, or if `groups` has another length.
    """
    probabilities, gold, _ = probabilities_and_gold(logits, gold_labels, suite_labels, label_map)
    members: list[tuple[str | None, npt.NDArray[Any]]] = [(None, np.ones(len(gold), dtype=bool))]
    if groups is not None:
        group_of = pd.Series(list(groups), dtype=object)
        if len(group_of) != len(gold):
            raise InputError(
                f"Every example needs one group or none; received {len(group_of)} groups for {len(gold)} examples."
            )
        for name in sorted(group_of.dropna().unique()):
            members.append((str(name), (group_of == name).to_numpy()))
    rows = [
        (group, metric, function(probabilities[member], gold[member]), int(member.sum()))
        for group, member in members
        for metric, function in METRICS.items()
    ]
    scores = pd.DataFrame(rows, columns=["group", "metric", "value", "num_examples"])
    scores["group"] = pd.Series([row[0] for row in rows], dtype=object)  # object keeps None apart from a text "None"
    return scores


def _checked(probabilities: npt.ArrayLike, gold: npt.ArrayLike) -> tuple[FloatArray, IndexArray]:
    values, gold_index = np.asarray(probabilities, dtype=np.float64), np.asarray(gold, dtype=np.int64)
    if values.ndim != 2 or gold_index.shape != (len(values),):
        raise InputError(
            f"A metric needs probabilities (N, K) and N gold labels; received shapes {values.shape} and "
            f"{gold_index.shape}."
        )
    return values, gold_index
