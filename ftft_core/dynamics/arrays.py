"""`TrainingDynamics`: the logits of every training example at every epoch, checked once when it is made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ftft_core.errors import InputError, one_of, unknown

FloatArray = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
IdArray = npt.NDArray[np.object_]
"""(N,) array of Python strings."""

MAX_NAMED = 5
"""How many offending examples a problem names."""


@dataclass(frozen=True, eq=False)
class TrainingDynamics:
    """Logits that a model gave during training, at the moment it saw each example, once an epoch.

    Examples stand in the order of the training file, epochs from 0 on. An epoch counts only if it saw every
    example; what `logits` holds where `seen` is false means nothing. `from_arrays` is the friendlier way to make
    one: it converts, and fills in what is left out.

    :raises InputError: with one problem for each thing that is wrong with the arrays.
    """

    example_ids: IdArray
    """(N,) unique, non-empty strings."""

    labels: IntArray
    """(N,) index of the gold label in `label_names`."""

    logits: npt.NDArray[np.float32]
    """(epochs, N, classes), finite where `seen`."""

    seen: BoolArray
    """(epochs, N), true where the model saw the example in that epoch."""

    label_names: tuple[str, ...]
    """Names of the classes, in the order of the logits."""

    steps: IntArray | None = None
    """(epochs, N) batch of the epoch, from 0, in which the model saw the example, where `seen`; -1 throughout an epoch
    of which that is not known, None if it is of none. A model has learnt more by its later batches."""

    def __post_init__(self) -> None:
        problems = list(_problems(self))
        if problems:
            raise InputError("These training dynamics cannot be used.", problems)

    @classmethod
    def from_arrays(
        cls,
        example_ids: Iterable[object],
        labels: npt.ArrayLike,
        logits: npt.ArrayLike,
        *,
        seen: npt.ArrayLike | None = None,
        label_names: Sequence[str] | None = None,
        steps: npt.ArrayLike | None = None,
    ) -> TrainingDynamics:
        """Make dynamics from whatever a loop of one's own has collected.

        :param example_ids: (N,) ids; what is no string is turned into one.
        :param labels: (N,) class indices, or names of classes out of `label_names`.
        :param logits: (epochs, N, classes).
        :param seen: (epochs, N); every example was seen in every epoch when left out.
        :param label_names: names of the classes in the order of the logits; "0", "1", ... when left out.
        :param steps: (epochs, N) batch of the epoch in which each example was seen; not known when left out.
        :raises InputError: with one problem for each thing that is wrong.
        """
        array = _numbers(logits, "logits", np.float32)
        shape = array.shape
        num_classes = shape[2] if array.ndim == 3 else 0
        names = tuple(map(str, range(num_classes))) if label_names is None else tuple(map(str, label_names))
        mask = np.ones(shape[:2], dtype=bool) if seen is None else np.asarray(seen, dtype=bool)
        batches = None if steps is None else np.asarray(steps, dtype=np.int64)
        return cls(id_array(example_ids), label_indices(labels, names), array, mask, names, batches)

    @property
    def num_epochs(self) -> int:
        """Number of epochs, counted or not."""
        return int(self.logits.shape[0])

    @property
    def num_examples(self) -> int:
        """Number of examples."""
        return int(self.logits.shape[1])

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return int(self.logits.shape[2])

    @property
    def counted_epochs(self) -> IntArray:
        """Indices of the epochs in which every example was seen, ascending."""
        return np.flatnonzero(self.seen.all(axis=1)).astype(np.int64)

    def first(self, k: int) -> TrainingDynamics:
        """Dynamics of the first `k` counted epochs alone; they are numbered anew from 0.

        :raises InputError: if there are not that many.
        """
        chosen = self.counted(k)
        steps = None if self.steps is None else self.steps[chosen]
        return TrainingDynamics(
            self.example_ids, self.labels, self.logits[chosen], self.seen[chosen], self.label_names, steps
        )

    def counted(self, k: int | None = None) -> IntArray:
        """Give the indices of the first `k` counted epochs, or of all of them.

        :raises InputError: if no epoch counts, or there are fewer than `k` of them.
        """
        counted = self.counted_epochs
        if counted.size == 0:
            raise InputError(
                f"None of the {self.num_epochs} epochs saw every example, so none counts; "
                "finish at least one epoch first."
            )
        if k is None:
            return counted
        if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or not 1 <= k <= counted.size:
            raise InputError(f"epochs is {k!r}; it must be a whole number from 1 to {counted.size} (counted epochs).")
        return counted[:k]


def id_array(example_ids: Iterable[object]) -> IdArray:
    """(N,) object array of strings."""
    return np.array([str(example_id) for example_id in example_ids], dtype=object)


def label_indices(labels: npt.ArrayLike, label_names: Sequence[str]) -> IntArray:
    """(N,) class indices of labels that are indices already, or names out of `label_names`.

    :raises InputError: for a name that is not among them, or numbers that are not whole.
    """
    array = np.asarray(labels)
    if array.dtype.kind in "iu":
        return array.astype(np.int64)
    if array.dtype.kind in "OUT" or array.dtype.kind == "S":
        text = pd.Index([str(label) for label in array.ravel()])
        indices = pd.Index(list(label_names)).get_indexer(text)
        if (indices < 0).any():
            missing = list(dict.fromkeys(text[indices < 0]))
            raise InputError(
                f"{len(missing)} of the labels are not among the label names.",
                [unknown("label", name, label_names) for name in missing[:MAX_NAMED]],
            )
        return np.asarray(indices, dtype=np.int64)
    numbers = _numbers(labels, "labels", np.float64)
    if not (np.isfinite(numbers).all() and (numbers == np.floor(numbers)).all()):
        raise InputError("labels must be whole numbers (class indices) or names; received numbers that are not whole.")
    return np.asarray(numbers, dtype=np.int64)


def _numbers(values: npt.ArrayLike, what: str, dtype: type[np.floating[Any]]) -> Any:
    try:
        # A float64 beyond the range of float32 becomes infinite here, and is reported as such.
        with np.errstate(over="ignore"):
            return np.asarray(values, dtype=dtype)
    except (TypeError, ValueError) as failure:
        raise InputError(f"{what} must be an array of numbers; {failure}.") from None


def _problems(dynamics: TrainingDynamics) -> Iterable[str]:
    """One sentence for each thing that is wrong, as far as the shapes allow to look."""
    ids, labels, logits, seen = dynamics.example_ids, dynamics.labels, dynamics.logits, dynamics.seen
    if logits.ndim != 3:
        yield f"logits has shape {logits.shape}; it must be (epochs, examples, classes)."
        return
    num_epochs, num_examples, num_classes = logits.shape
    if num_epochs < 1 or num_examples < 1 or num_classes < 2:
        yield f"logits has shape {logits.shape}; at least 1 epoch, 1 example and 2 classes are needed."
    for name, array, shape in [
        ("example_ids", ids, (num_examples,)),
        ("labels", labels, (num_examples,)),
        ("seen", seen, (num_epochs, num_examples)),
        *([("steps", dynamics.steps, (num_epochs, num_examples))] if dynamics.steps is not None else []),
    ]:
        if array.shape != shape:
            yield f"{name} has shape {array.shape}; it must be {shape} to go with logits of shape {logits.shape}."
    yield from _label_problems(dynamics)
    if ids.ndim == 1:
        index = pd.Index(ids)
        repeated = list(dict.fromkeys(index[index.duplicated()]))
        if repeated:
            yield f"{len(repeated)} example ids occur more than once: {one_of(map(repr, repeated), limit=MAX_NAMED)}."
        if (index == "").any():
            yield f"{int((index == '').sum())} example ids are empty; every example needs one."
    if seen.shape == logits.shape[:2]:
        broken = seen & ~np.isfinite(logits).all(axis=2)
        if broken.any():
            places = [f"epoch {e} example {i}" for e, i in np.argwhere(broken)[:MAX_NAMED]]
            yield f"{int(broken.sum())} rows of logits are not finite though seen: {', '.join(places)}."


def _label_problems(dynamics: TrainingDynamics) -> Iterable[str]:
    names, labels, num_classes = dynamics.label_names, dynamics.labels, dynamics.num_classes
    if len(names) != num_classes:
        yield f"label_names has {len(names)} names; the logits have {num_classes} classes."
    if len(set(names)) != len(names):
        yield f"label_names must differ from one another; received {one_of(names)}."
    outside = np.flatnonzero((labels < 0) | (labels >= num_classes)) if labels.ndim == 1 else np.empty(0, dtype=int)
    if outside.size:
        shown = ", ".join(f"{labels[i]} at row {i}" for i in outside[:MAX_NAMED])
        yield f"{outside.size} labels are outside 0 to {num_classes - 1}: {shown}."
