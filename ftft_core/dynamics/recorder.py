"""`DynamicsRecorder`: three lines in any PyTorch loop, and numpy arrays out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ftft_core.dynamics.arrays import BoolArray, IdArray, IntArray, TrainingDynamics, id_array, label_indices
from ftft_core.errors import InputError, RunError, unknown

_NOT_COUNTED = -1
"""Batch of an example in an epoch whose batches were not counted, or in which it was not seen."""


@dataclass(frozen=True, eq=False)
class EpochFrame:
    """What one epoch recorded, in file order: `positions` and `steps` (n,) int64 and `logits` (n, classes) float32."""

    epoch: int
    positions: IntArray
    logits: npt.NDArray[np.float32]
    steps: IntArray
    """The batch of the epoch, from 0, in which each example was seen; -1 throughout where that is not known."""
    finished: bool
    """Every example was seen."""


class DynamicsRecorder:
    """Keeps the logits that a training loop gives for each example.

        recorder = DynamicsRecorder(example_ids, labels, label_names=["entailment", "neutral", "contradiction"])
        recorder.record(epoch, batch["example_id"], logits)   # in the loop, after the forward pass
        data_map = compute_data_map(recorder.dynamics())      # after training

    An example recorded twice in one epoch (upsampled examples, a step repeated after a resume) keeps its first
    logits: those of the moment at which the model first saw it in that epoch.

    :param example_ids: (N,) ids in the order of the training file.
    :param labels: (N,) class indices, or names out of `label_names`.
    :param label_names: names of the classes in the order of the logits; or give `num_classes` alone.
    :raises InputError: if neither is given, or the ids and labels do not fit together.
    """

    def __init__(
        self,
        example_ids: Iterable[object],
        labels: npt.ArrayLike,
        *,
        label_names: Sequence[str] | None = None,
        num_classes: int | None = None,
    ) -> None:
        if label_names is None and num_classes is None:
            raise InputError("A recorder needs label_names or num_classes; received neither.")
        names = tuple(label_names) if label_names is not None else tuple(map(str, range(num_classes or 0)))
        if num_classes is not None and num_classes != len(names):
            raise InputError(f"num_classes is {num_classes}, but label_names has {len(names)} names; give one of them.")
        ids = id_array(example_ids)
        # Checked as dynamics of one epoch, so that a fault shows before training and not after it.
        checked = TrainingDynamics.from_arrays(
            ids, label_indices(labels, names), np.zeros((1, len(ids), len(names)), np.float32), label_names=names
        )
        self.example_ids: IdArray = checked.example_ids
        self.labels: IntArray = checked.labels
        self.label_names = names
        self.current_epoch: int | None = None
        self._position_of = pd.Index(self.example_ids)
        self._logits: dict[int, npt.NDArray[np.float32]] = {}
        self._seen: dict[int, BoolArray] = {}
        self._steps: dict[int, IntArray] = {}
        self._num_batches: dict[int, int] = {}

    @property
    def epochs(self) -> list[int]:
        """Epochs of which something was recorded, ascending."""
        return sorted(self._logits)

    def record(self, epoch: int, examples: Any, logits: Any) -> None:
        """Keep one batch; batches of an epoch are counted in the order in which they come.

        :param epoch: 0-based.
        :param examples: (batch,) positions in the training file (whole numbers), or example ids (strings).
        :param logits: (batch, classes) tensor on any device and of any precision, or array.
        :raises InputError: if shapes, ids or positions do not fit.
        :raises RunError: if a logit is not finite: the model has diverged.
        """
        values = as_float32(logits)
        positions = self._positions(examples)
        if isinstance(epoch, bool) or not isinstance(epoch, (int, np.integer)) or epoch < 0:
            raise InputError(f"epoch is {epoch!r}; it must be a whole number from 0 on.")
        if values.shape != (len(positions), len(self.label_names)):
            raise InputError(
                f"logits has shape {values.shape}; it must be ({len(positions)}, {len(self.label_names)}): "
                "one row for each example of the batch, one column for each class."
            )
        finite = np.isfinite(values).all(axis=1)
        if not finite.all():
            row = int(np.flatnonzero(~finite)[0])
            raise RunError(
                f"The logits of example '{self.example_ids[positions[row]]}' in epoch {epoch} are not finite: "
                "the model has diverged; lower the learning rate or train in fp32."
            )
        self._open(int(epoch))
        seen, kept = self._seen[epoch], self._logits[epoch]
        fresh = ~seen[positions]
        first_positions, first_rows = np.unique(positions[fresh], return_index=True)
        kept[first_positions] = values[fresh][first_rows]
        seen[first_positions] = True
        if self._num_batches[epoch] != _NOT_COUNTED:
            self._steps[epoch][first_positions] = self._num_batches[epoch]
            self._num_batches[epoch] += 1

    def epoch_frame(self, epoch: int | None = None) -> EpochFrame:
        """Give what was recorded in an epoch (the current one when left out), in file order.

        :raises InputError: if nothing was recorded in it.
        """
        chosen = self._recorded(epoch)
        positions = np.flatnonzero(self._seen[chosen]).astype(np.int64)
        finished = len(positions) == len(self.example_ids)
        return EpochFrame(chosen, positions, self._logits[chosen][positions], self._steps[chosen][positions], finished)

    def state_arrays(self, epoch: int | None = None) -> dict[str, npt.NDArray[Any]]:
        """Arrays of one epoch (the current one when left out) for a checkpoint: copies, safe to write later.

        Keys: `epoch` () int64, `logits` (N, classes) float32, `seen` (N,) bool, `steps` (N,) int64, `num_batches` ()
        int64.
        """
        chosen = self._recorded(epoch)
        return {
            "epoch": np.array(chosen, dtype=np.int64),
            "logits": self._logits[chosen].copy(),
            "seen": self._seen[chosen].copy(),
            "steps": self._steps[chosen].copy(),
            "num_batches": np.array(self._num_batches[chosen], dtype=np.int64),
        }

    def load_state_arrays(self, arrays: Mapping[str, npt.ArrayLike]) -> None:
        """Go on from what `state_arrays` gave; its epoch replaces the one held and becomes the current one.

        Call it once for each epoch that was kept, in their order. Arrays without `steps` and `num_batches`, of an older
        version, are taken, too: in which batch that epoch's examples were seen is then not known.

        :raises InputError: if keys are missing or shapes do not fit this recorder's examples.
        """
        missing = [key for key in ("epoch", "logits", "seen") if key not in arrays]
        if missing:
            raise InputError(f"The recorder's state lacks {', '.join(missing)}; it needs epoch, logits and seen.")
        logits = np.array(arrays["logits"], dtype=np.float32)
        seen = np.array(arrays["seen"], dtype=bool)
        shape = (len(self.example_ids), len(self.label_names))
        if logits.shape != shape or seen.shape != shape[:1]:
            raise InputError(
                f"The recorder's state holds logits {logits.shape} and seen {seen.shape}; "
                f"this recorder needs {shape} and {shape[:1]}: it belongs to other training examples."
            )
        epoch = int(np.asarray(arrays["epoch"]))
        self._logits[epoch], self._seen[epoch] = logits, seen
        unknown_steps = np.full(len(seen), _NOT_COUNTED, dtype=np.int64)
        self._steps[epoch] = np.array(arrays.get("steps", unknown_steps), dtype=np.int64)
        self._num_batches[epoch] = int(np.asarray(arrays.get("num_batches", _NOT_COUNTED)))
        self.current_epoch = epoch

    def dynamics(self) -> TrainingDynamics:
        """Everything recorded so far; epochs run from 0 to the last one recorded, missing ones count as not seen.

        :raises InputError: if nothing was recorded.
        """
        last = self._recorded(max(self._logits, default=None))
        shape = (last + 1, len(self.example_ids), len(self.label_names))
        logits, seen = np.zeros(shape, dtype=np.float32), np.zeros(shape[:2], dtype=bool)
        steps = np.full(shape[:2], _NOT_COUNTED, dtype=np.int64)
        for epoch in self._logits:
            logits[epoch], seen[epoch], steps[epoch] = self._logits[epoch], self._seen[epoch], self._steps[epoch]
        return TrainingDynamics(self.example_ids, self.labels, logits, seen, self.label_names, steps)

    def _open(self, epoch: int) -> None:
        self.current_epoch = epoch
        if epoch not in self._logits:
            self._logits[epoch] = np.zeros((len(self.example_ids), len(self.label_names)), dtype=np.float32)
            self._seen[epoch] = np.zeros(len(self.example_ids), dtype=bool)
            self._steps[epoch] = np.full(len(self.example_ids), _NOT_COUNTED, dtype=np.int64)
            self._num_batches[epoch] = 0

    def _recorded(self, epoch: int | None) -> int:
        chosen = self.current_epoch if epoch is None else epoch
        if chosen is None or chosen not in self._logits:
            said = "yet" if chosen is None else f"in epoch {chosen}"
            raise InputError(f"Nothing was recorded {said}; call record() for each batch of the training loop.")
        return chosen

    def _positions(self, examples: Any) -> IntArray:
        array = np.asarray(examples.detach().cpu() if hasattr(examples, "detach") else examples)
        if array.ndim != 1:
            raise InputError(f"examples has shape {array.shape}; it must be one id or position for each example.")
        if array.dtype.kind in "iu":
            outside = array[(array < 0) | (array >= len(self.example_ids))]
            if outside.size:
                raise InputError(
                    f"Position {outside[0]} is outside 0 to {len(self.example_ids) - 1}; "
                    "positions are 0-based rows of the training file (ids must be strings)."
                )
            return array.astype(np.int64)
        positions = np.asarray(self._position_of.get_indexer([str(example) for example in array]), dtype=np.int64)
        if (positions < 0).any():
            raise InputError(unknown("example", array[positions < 0][0], self.example_ids[:1000]))
        return positions


def as_float32(values: Any) -> npt.NDArray[np.float32]:
    """(n, classes) float32 array of a tensor on any device and of any precision, or of an array."""
    # numpy has no bfloat16, hence float() before the copy to the CPU.
    plain = values.detach().float().cpu().numpy() if hasattr(values, "detach") else values
    with np.errstate(over="ignore"):
        return np.asarray(plain, dtype=np.float32)
