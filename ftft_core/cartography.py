"""Scores of an example: training dynamics in, one row of scores per example out.

Owns the formulas, the table `SCORES` that explains them, and when a whole map is too poor to choose by. Pure: arrays
in, data frame out. Choosing examples by their scores is `selection`'s, comparing two maps is `comparison`'s.

Conventions. The gold probability of an epoch is the softmax of that epoch's logits at the gold label; all sums are
in float64. Standard deviations are population ones (ddof 0). The predicted label is the class of the largest logit;
of equal ones the lowest class index. Changes (`forgetting_events`, `prediction_flips`) are between one counted epoch
and the next counted one. `first_learnt_epoch` is the epoch's own 0-based number in the run, also where an earlier
epoch did not count; it is null, and `never_learnt` true, for an example never predicted right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ftft_core.dynamics import IntArray, TrainingDynamics
from ftft_core.dynamics.moments import adjusted_variability
from ftft_core.errors import InputError, unknown

ROWS_AT_ONCE = 16_384
"""Examples that are scored together: small enough for their temporaries to stay in the processor's cache."""

HARDLY_VARIES = 0.05
"""Variability under which an example counts as one that no epoch changed; at most 0.5 is possible."""

MUCH_MOVED = 1 / 3
"""Share of the most variable third that is in it for when it was seen, from which a map shows much of that."""

HARDLY_LEARNT = 0.1
"""A model that is spared less than this share of the errors of a constant guess has not learnt the labels."""

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Score:
    """What a score means, for help texts; `low` and `high` bound it (None where C or E or nothing bounds it)."""

    name: str
    formula: str
    high_means: str
    source: str
    low: float | None
    high: float | None


SCORES: dict[str, Score] = {
    score.name: score
    for score in [
        Score("confidence", "mean of p_e", "easy", "Swayamdipta et al. 2020, section 2", 0, 1),
        Score(
            "variability",
            "standard deviation of p_e (population, ddof 0)",
            "ambiguous",
            "Swayamdipta et al. 2020, section 2",
            0,
            0.5,
        ),
        Score(
            "adjusted_variability",
            "standard deviation of p_e - m_e (ddof 0); m_e: mean p_e of examples seen at about the same time",
            "ambiguous, whenever it was seen",
            "docs/method.md, after Swayamdipta et al. 2020",
            0,
            1,
        ),
        Score("correctness", "share of epochs with argmax z = y", "easy", "Swayamdipta et al. 2020, section 2", 0, 1),
        Score(
            "forgetting_events",
            "number of right-to-wrong changes between one epoch and the next",
            "unstable",
            "Toneva et al. 2019",
            0,
            None,
        ),
        Score(
            "threshold_closeness", "confidence * (1 - confidence)", "near the boundary", "Chang et al. 2017", 0, 0.25
        ),
        Score("aum", "mean of z_y - max over k != y of z_k", "easy", "Pleiss et al. 2020", None, None),
        Score("el2n", "mean of the 2-norm of softmax(z) - onehot(y)", "hard", "Paul et al. 2021", 0, 2**0.5),
        Score("loss", "mean of -log p_e, in nats", "hard", "cross-entropy", 0, None),
        Score("entropy", "mean entropy of softmax(z), in nats", "unsure", "Shannon 1948", 0, None),
        Score("aleatoric", "mean of p_e * (1 - p_e)", "ambiguous by nature", "Data-IQ, Seedat et al. 2022", 0, 0.25),
        Score(
            "first_learnt_epoch",
            "first epoch (0-based) with a right prediction, null if none",
            "learnt late",
            "Toneva et al. 2019",
            0,
            None,
        ),
        Score("prediction_flips", "number of changes of the predicted label", "unstable", "", 0, None),
        Score(
            "label_quality",
            "p_y - max over k != y of p_k, of the mean probabilities (in-sample)",
            "likely right label",
            "cleanlab rank.py (normalized margin, Northcutt et al. 2021)",
            -1,
            1,
        ),
    ]
}
"""Every score by name. p_e: gold probability at epoch e; z: logits; y: gold label; means are over counted epochs."""

DATA_MAP_COLUMNS = (
    "example_id",
    "label",
    "predicted_label",
    "confidence",
    "variability",
    "correctness",
    "correct_epochs",
    "forgetting_events",
    "never_learnt",
    "threshold_closeness",
    "aum",
    "el2n",
    "loss",
    "entropy",
    "aleatoric",
    "first_learnt_epoch",
    "prediction_flips",
    "label_quality",
    "adjusted_variability",
)


def score_named(name: str) -> Score:
    """Look a score up; an unknown name is told with the known ones.

    :raises InputError: if there is no such score.
    """
    if name not in SCORES:
        raise InputError(unknown("score", name, SCORES))
    return SCORES[name]


def compute_data_map(dynamics: TrainingDynamics, *, epochs: int | None = None) -> pd.DataFrame:
    """Scores of every example over the counted epochs.

    :param epochs: only the first this many counted epochs ("map at epoch k"); all of them when left out.
    :returns: one row per example in file order with the columns `DATA_MAP_COLUMNS`; `label` and `predicted_label`
        (of the mean probabilities) are names; `correct_epochs` is the count behind `correctness`. The attribute
        `attrs["counted_epochs"]` lists the epochs that counted.
    :raises InputError: if no epoch saw every example, or fewer than `epochs` did.
    """
    counted = dynamics.counted(epochs)
    is_whole = len(counted) == dynamics.num_epochs
    logits = dynamics.logits if is_whole else dynamics.logits[counted]
    steps = None if dynamics.steps is None else dynamics.steps[counted]
    columns = compute_scores(logits, dynamics.labels, epochs=counted, steps=steps)
    names = np.array(dynamics.label_names, dtype=object)
    frame = pd.DataFrame(
        {
            **columns,
            "example_id": pd.array(dynamics.example_ids, dtype="str"),
            "label": pd.array(names[dynamics.labels], dtype="str"),
            "predicted_label": pd.array(names[columns["predicted"]], dtype="str"),
            "first_learnt_epoch": pd.arrays.IntegerArray(columns["first_learnt_epoch"], columns["never_learnt"].copy()),
        }
    )[list(DATA_MAP_COLUMNS)]
    frame.attrs["counted_epochs"] = counted.tolist()
    return frame


def has_learnt(accuracy: float, most_frequent: float) -> bool:
    """Whether a model has learnt its labels, as far as its accuracy tells: it makes clearly fewer errors than the guess
    that is always the most frequent label.

    :param accuracy: in [0, 1]; :param most_frequent: share of the most frequent label, in (0, 1]; with 1 there is
        nothing to learn, and every model has.
    """
    return most_frequent >= 1 or 1 - accuracy <= (1 - HARDLY_LEARNT) * (1 - most_frequent)


def map_doubts(data_map: pd.DataFrame) -> tuple[str, ...]:
    """Say why a data map tells little: its model did not learn the labels, or hardly changed from epoch to epoch, or
    what varies in it is when examples were seen.

    :param data_map: with the columns of `compute_data_map`, or those of a map frame.
    :returns: a few sentences, each with what to do; empty for a map that can be used, or has no examples.
    """
    if data_map.empty:
        return ()
    labels = data_map["label"].astype("category").cat
    predicted = data_map["predicted_label"].astype("category").cat.set_categories(labels.categories).cat
    counts = np.bincount(labels.codes[labels.codes >= 0], minlength=len(labels.categories))
    most, guessing = labels.categories[counts.argmax()], float(counts.max() / len(data_map))
    right = float(np.mean(labels.codes == predicted.codes))
    found = []
    if not has_learnt(right, guessing):
        found.append(
            f"The model hardly learnt these labels: its mean prediction is right for {100 * right:.0f} % of the "
            f"examples, and '{most}' for all of them would be for {100 * guessing:.0f} %. Train it for more steps, "
            "with smaller batches or at another learning rate before you choose by its map."
        )
    varied = float(data_map["variability"].quantile(0.9))
    if len(data_map.attrs.get("counted_epochs", (0, 1))) > 1 and varied < HARDLY_VARIES:
        found.append(
            f"Hardly any prediction changed between epochs: variability is at most {varied:.2f} for nine in ten "
            "examples, so that those it ranks highest are hardly ambiguous. A lower learning rate, where it "
            "learnt all at once, or a higher one, where it learnt nothing, spreads them."
        )
    elif (moved := _moved_by_order(data_map)) > MUCH_MOVED:
        found.append(
            f"Variability shows when examples were seen as well as what they are: {100 * moved:.0f} % of the most "
            "variable third are in it for that alone. Adjusted variability leaves it out; two seeds agree far better "
            "on it."
        )
    return tuple(found)


def _moved_by_order(data_map: pd.DataFrame) -> float:
    """Share of the most variable third that is not in it by adjusted variability; 0 where that is not known."""
    if "adjusted_variability" not in data_map or data_map["adjusted_variability"].isna().any():
        return 0.0
    size = round(len(data_map) / 3)
    if size == 0:
        return 0.0
    tops = [
        set(np.argsort(-data_map[name].to_numpy(dtype=np.float64), kind="stable")[:size])
        for name in ("variability", "adjusted_variability")
    ]
    return 1 - len(tops[0] & tops[1]) / size


def compute_scores(
    logits: npt.NDArray[np.float32], labels: IntArray, *, epochs: IntArray, steps: IntArray | None = None
) -> dict[str, Array]:
    """Scores of every example as arrays (N,), without names: what `compute_data_map` makes its frame of.

    :param logits: (epochs, N, classes) of the counted epochs alone.
    :param labels: (N,) index of the gold label.
    :param epochs: (epochs,) the numbers of those epochs in the run.
    :param steps: (epochs, N) batch of its epoch in which each example was seen, as `TrainingDynamics.steps`.
    :returns: every score of `SCORES`, `correct_epochs`, `never_learnt`, and `predicted`: the index of the predicted
        label. `first_learnt_epoch` means nothing where `never_learnt` is true; `adjusted_variability` is NaN
        throughout where `steps` is not known.
    """
    num_examples = logits.shape[1]
    columns: dict[str, Array] = {}
    gold = np.empty(logits.shape[:2])
    for rows in _pieces(num_examples):
        for name, values in _score_rows(logits[:, rows], labels[rows], epochs, gold[:, rows]).items():
            if name not in columns:
                columns[name] = np.empty(num_examples, dtype=values.dtype)
            columns[name][rows] = values
    columns["never_learnt"] = columns["correct_epochs"] == 0
    columns["adjusted_variability"] = adjusted_variability(gold, steps)
    return columns


def gold_probabilities(logits: npt.NDArray[np.float32], labels: IntArray) -> npt.NDArray[np.float32]:
    """Probability of the gold label at every epoch, (epochs, N) float32.

    :param logits: (epochs, N, classes).
    :param labels: (N,) index of the gold label.
    """
    found = np.empty(logits.shape[:2], dtype=np.float32)
    for rows in _pieces(logits.shape[1]):
        places = _gold_first(labels[rows], logits.shape[2])
        for i, epoch in enumerate(logits[:, rows]):
            weights, total = _softmax_weights(_taken(epoch, places))
            found[i, rows] = weights[0] / total
    return found


def mean_probabilities(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Mean over the epochs of the probability of each class, (N, classes) float32.

    :param logits: (epochs, N, classes).
    """
    num_epochs, num_examples, num_classes = logits.shape
    found = np.empty((num_examples, num_classes), dtype=np.float32)
    for rows in _pieces(num_examples):
        mean = np.zeros((num_classes, rows.stop - rows.start))
        for epoch in logits[:, rows]:
            weights, total = _softmax_weights(epoch.T.astype(np.float64, order="C"))
            weights /= total
            mean += weights
        found[rows] = mean.T / num_epochs
    return found


def _pieces(num_examples: int) -> list[slice]:
    return [slice(start, min(start + ROWS_AT_ONCE, num_examples)) for start in range(0, num_examples, ROWS_AT_ONCE)]


def _gold_first(labels: IntArray, num_classes: int) -> IntArray:
    """(classes, rows) places in flat logits (rows, classes): the gold class first, then the others in their order."""
    places = np.empty((num_classes, len(labels)), dtype=np.int64)
    places[0] = labels
    for k in range(1, num_classes):
        places[k] = (k - 1) + (labels < k)
    places += np.arange(len(labels)) * num_classes
    return places


def _taken(epoch: npt.NDArray[np.float32], places: IntArray) -> Array:
    """(classes, rows) float64. Classes come first: with few of them, reducing along the last axis is far slower."""
    return epoch.reshape(-1)[places].astype(np.float64)


def _softmax_weights(z: Array) -> tuple[Array, Array]:
    """Turn logits (classes, rows) into their weights in place, the largest 1; and give the sums of these (rows,)."""
    z -= z.max(axis=0)
    np.exp(z, out=z)
    return z, z.sum(axis=0)


def _largest(values: Array) -> tuple[Array, Array]:
    """Largest of each column of (classes, rows), and the lowest place that has it."""
    largest, place = values[0].copy(), np.zeros(values.shape[1], dtype=np.int32)
    for k in range(1, len(values)):
        place[values[k] > largest] = k
        np.maximum(largest, values[k], out=largest)
    return largest, place


def _score_rows(
    logits: npt.NDArray[np.float32], labels: IntArray, counted: IntArray, gold_probability: Array
) -> dict[str, Array]:
    """Scores of some rows; each array is (rows,). Their gold probabilities (epochs, rows) go into the last array."""
    num_epochs, num_rows, num_classes = logits.shape
    places = _gold_first(labels, num_classes)
    predicted = np.empty((num_epochs, num_rows), dtype=np.int32)  # 0 is the gold class, k + 1 the k-th other one
    mean = np.zeros((num_classes, num_rows))
    sums = {name: np.zeros(num_rows) for name in ("aum", "el2n", "loss", "entropy", "aleatoric")}
    for i in range(num_epochs):
        z = _taken(logits[i], places)
        rival, place = _largest(z[1:])
        predicted[i] = _winner(z[0], rival, place, labels)
        sums["aum"] += z[0] - rival
        z -= np.maximum(z[0], rival)
        weight = np.exp(z)
        # Summed without the gold class first: 1 - p_y would lose all digits of an example that is nearly certain.
        others = weight[1:].sum(axis=0)
        total = others + weight[0]
        log_total = np.log(total)
        sums["loss"] += log_total - z[0]
        z *= weight
        sums["entropy"] += log_total - z.sum(axis=0) / total
        weight /= total
        mean += weight
        others /= total
        gold_probability[i] = weight[0]
        sums["aleatoric"] += weight[0] * others
        weight *= weight
        others *= others
        others += weight[1:].sum(axis=0)
        sums["el2n"] += np.sqrt(others, out=others)
    scores: dict[str, Array] = {name: total / num_epochs for name, total in sums.items()}
    mean /= num_epochs
    rival, place = _largest(mean[1:])
    winner = _winner(mean[0], rival, place, labels)
    scores["predicted"] = np.where(winner == 0, labels, winner - 1 + (winner > labels))
    scores["label_quality"] = mean[0] - rival
    confidence = gold_probability.mean(axis=0)
    scores["confidence"] = confidence
    scores["variability"] = gold_probability.std(axis=0)
    scores["threshold_closeness"] = confidence * (1 - confidence)
    right = predicted == 0  # (epochs, rows)
    # Counted epoch by epoch: summing or searching truth values along the first axis is slower.
    counts = {name: np.zeros(num_rows, dtype=np.int64) for name in _COUNTS}
    for i in reversed(range(num_epochs)):
        counts["correct_epochs"] += right[i]
        np.copyto(counts["first_learnt_epoch"], counted[i], where=right[i])
        if i:
            counts["forgetting_events"] += right[i - 1] & ~right[i]
            counts["prediction_flips"] += predicted[i - 1] != predicted[i]
    scores["correctness"] = counts["correct_epochs"] / num_epochs
    return scores | counts


_COUNTS = ("correct_epochs", "forgetting_events", "prediction_flips", "first_learnt_epoch")


def _winner(gold: Array, rival: Array, place: Array, labels: IntArray) -> Array:
    """0 where the gold class is the largest, else 1 + the place of its rival; of equal ones the lowest class wins."""
    # The rival's class is its place, or one more from the gold class on: it is lower just if its place is.
    return np.where((gold > rival) | ((gold == rival) & (labels <= place)), 0, place + 1)
