"""`DynamicsCallback`: one line that makes a Hugging Face `Trainer` record training dynamics.

It imports neither torch nor transformers: it is given the trainer, and uses hooks that every `torch.nn.Module` has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ftft_core.dynamics.arrays import TrainingDynamics
from ftft_core.dynamics.recorder import DynamicsRecorder
from ftft_core.errors import InputError

POSITION_COLUMN = "ftft_position"
"""Column that carries an example's row in the training data through the data loader to the model's doorstep."""


class DynamicsCallback:
    """Records the logits of every training example in a `Trainer` run, without a forward pass of its own.

        callback = DynamicsCallback(trainer)
        trainer.add_callback(callback)
        trainer.train()
        data_map = compute_data_map(callback.dynamics())

    It numbers the rows of the trainer's training data in a column `ftft_position` and lets the trainer keep that
    column. While training, a hook takes the column out again before the model sees it, and another reads the
    logits that the model gave; nothing is recorded while the model evaluates, and the hooks are removed when
    training ends. Weights and losses are the same as without the callback.

    After resuming from a checkpoint within an epoch, that epoch has not seen every example and so does not count.
    One process with one device: with more, every process would see its own share of the examples only.

    :param trainer: a `transformers.Trainer` with its model and training data (of a known length) in place.
    :param example_ids: (N,) ids; else the training data's column `example_id`, else the row numbers.
    :param labels: (N,) class indices; else the training data's column `labels` or `label`.
    :param label_names: in the order of the logits; else the names in the model's configuration.
    :raises InputError: if the training data have no length or labels, or several devices are used.
    """

    def __init__(
        self,
        trainer: Any,
        *,
        example_ids: Iterable[object] | None = None,
        labels: npt.ArrayLike | None = None,
        label_names: Sequence[str] | None = None,
    ) -> None:
        data = trainer.train_dataset
        if data is None or not hasattr(data, "__len__"):
            raise InputError("The trainer's training data must have a length; received none, or a stream.")
        if trainer.args.world_size > 1 or trainer.args.n_gpu > 1:
            raise InputError(
                f"DynamicsCallback records one process with one device; this trainer has {trainer.args.world_size} "
                f"processes and {trainer.args.n_gpu} devices in each. Train on one, or use DynamicsRecorder."
            )
        ids = example_ids if example_ids is not None else _column(data, ("example_id",))
        gold = labels if labels is not None else _column(data, ("labels", "label", "label_ids"))
        if gold is None:
            raise InputError("The training data have no column 'labels' or 'label'; give labels to DynamicsCallback.")
        names = label_names or [str(name) for _, name in sorted(trainer.model.config.id2label.items())]
        known_ids = list(range(len(data)) if ids is None else ids)
        if len(known_ids) != len(data):
            raise InputError(f"{len(known_ids)} example ids were given for {len(data)} rows of data; give one each.")
        self.recorder = DynamicsRecorder(known_ids, gold, label_names=names)
        _carry_positions(trainer)
        self._epoch = 0
        self._positions: Any = None
        self._hooks: list[Any] = []

    def dynamics(self) -> TrainingDynamics:
        """Everything recorded so far (see `DynamicsRecorder.dynamics`)."""
        return self.recorder.dynamics()

    def on_train_begin(self, args: Any, state: Any, control: Any, *, model: Any, **_: Any) -> None:
        """Put the hooks into the model."""
        self.remove_hooks()
        self._hooks = [
            model.register_forward_pre_hook(self._before_forward, with_kwargs=True),
            model.register_forward_hook(self._after_forward),
        ]

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Note the epoch's number; a resumed epoch has a fraction."""
        self._epoch = int(state.epoch or 0)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Leave the model as it was."""
        self.remove_hooks()

    def remove_hooks(self) -> None:
        """Take the hooks out of the model; needed by hand only after a training that was broken off by an error."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        # The trainer calls every event on every callback. Answering the other events here, instead of deriving
        # from transformers.TrainerCallback, keeps transformers from being imported with this module.
        if name.startswith("on_"):
            return _ignore_event
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def _before_forward(self, module: Any, inputs: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        positions = kwargs.pop(POSITION_COLUMN, None)
        self._positions = positions if module.training else None
        if module.training and positions is None:
            raise InputError(
                f"A training batch came without the column '{POSITION_COLUMN}': the data collator or the data loader "
                "drops it. Let it pass columns of whole numbers on."
            )
        return inputs, kwargs

    def _after_forward(self, module: Any, inputs: Any, outputs: Any) -> None:
        if self._positions is None:
            return
        logits = outputs["logits"] if isinstance(outputs, dict) else outputs[1]
        self.recorder.record(self._epoch, self._positions, logits)
        self._positions = None


class NumberedRows:
    """Rows of any dataset with a length, each a mapping, with its row number added under `ftft_position`."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, position: int) -> dict[str, Any]:
        return {**self.rows[position], POSITION_COLUMN: int(position)}


def _carry_positions(trainer: Any) -> None:
    """Add a column of row numbers to the training data, and have the trainer keep it."""
    data = trainer.train_dataset
    if not isinstance(data, NumberedRows) and POSITION_COLUMN not in (getattr(data, "column_names", None) or []):
        if hasattr(data, "add_column"):
            trainer.train_dataset = data.add_column(POSITION_COLUMN, np.arange(len(data)))
        else:
            trainer.train_dataset = NumberedRows(data)
    if trainer.args.remove_unused_columns:
        # The only way to keep a column that the model's forward() does not name; there is no public one.
        trainer._set_signature_columns_if_needed()
        if POSITION_COLUMN not in trainer._signature_columns:
            trainer._signature_columns.append(POSITION_COLUMN)


def _column(data: Any, names: tuple[str, ...]) -> Any:
    """Find the first of the named columns that the data have, or None."""
    known = getattr(data, "column_names", None)
    if known is None:
        first = data[0] if len(data) else {}
        known = list(first) if isinstance(first, dict) else []
    found = next((name for name in names if name in known), None)
    if found is None:
        return None
    if hasattr(data, "column_names"):
        return np.asarray(data.with_format(None)[found][:])
    return np.asarray([data[position][found] for position in range(len(data))])


def _ignore_event(*_: Any, **__: Any) -> None:
    """Answer an event of the trainer that recording has no use for."""
