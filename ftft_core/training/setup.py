"""From a queued run's folder to everything that training needs, checked before the first step."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase, get_linear_schedule_with_warmup

from ftft_core.config import BudgetConfig, RunConfig, TrainingConfig, parse
from ftft_core.cost import FlopMeter, steps_within
from ftft_core.dynamics import DynamicsRecorder
from ftft_core.errors import FingerprintError, InputError
from ftft_core.methods import GUIDED_METHODS
from ftft_core.modeling.checkpoints import count_layers
from ftft_core.modeling.device import make_accelerator, seed_everything
from ftft_core.modeling.encoder import load_classifier, load_tokenizer, longest_input, make_meta_classifier
from ftft_core.modeling.lengths import PAD_MULTIPLE, padded_lengths
from ftft_core.objectives import Objective, objective_of
from ftft_core.run_folder import RunFolder
from ftft_core.suites import Split, Suite, TokenisedSplit, read_suite, tokenise
from ftft_core.training.batches import BatchOrder
from ftft_core.training.checkpoint import TrainingParts
from ftft_core.training.orders import ORDERS
from ftft_core.training.tracking import make_trackers

_MOST_EPOCHS_BY_FLOPS = 10_000
"""A budget in FLOPs is walked through step by step; past this many epochs it is a slip of the pen."""


@dataclass(frozen=True)
class TrainingSet:
    """The examples that a run trains on, in the order of the training file."""

    tokens: TokenisedSplit
    labels: NDArray[np.int64]
    """(n,) class indices."""
    weights: NDArray[np.float32]
    """(n,) weights of the loss; 1 unless the subset says otherwise."""
    positions: NDArray[np.int64]
    """(n,) rows of the suite's training split."""
    guide: Mapping[str, NDArray[np.float32]]
    """What the method takes from the reference, by column: (n,), or (n, C) over the suite's labels."""


@dataclass(frozen=True)
class Setup:
    """A run, ready to train."""

    folder: RunFolder
    config: RunConfig
    suite: Suite
    data: TrainingSet
    order: BatchOrder
    num_steps: int
    parts: TrainingParts
    tokenizer: PreTrainedTokenizerBase
    objective: Objective
    meter: FlopMeter

    @property
    def training(self) -> TrainingConfig:
        """How the run is optimised."""
        return self.config.training

    @property
    def num_epochs(self) -> int:
        """Epochs that are begun; the last may be cut short."""
        return math.ceil(self.num_steps / self.order.steps_per_epoch)

    @property
    def pad_token_id(self) -> int:
        """What fills up a batch."""
        return int(self.tokenizer.pad_token_id)

    def tokenise(self, split: Split) -> TokenisedSplit:
        """Give the tokens of a split.

        :raises InputError: when a text is longer than the model takes.
        """
        tokens = tokenise(self.tokenizer, split, max_length=self.training.max_length)
        _check_lengths(tokens, longest_input(self.parts.accelerator.unwrap_model(self.parts.model)), split)
        return tokens


def prepare(folder: RunFolder) -> Setup:
    """Load the data and the model of a queued run.

    :raises InputError: when model, data and configuration do not fit together.
    :raises FingerprintError: when the data are not those that the run was queued with.
    """
    run = folder.read_run()
    config = parse(RunConfig, run["config"], what="The run's configuration")
    suite = read_suite(folder.path.parent.parent / run["suite_folder"])
    if suite.fingerprint != run["suite_fingerprint"]:
        raise FingerprintError(
            f"Suite '{config.suite}' has the fingerprint {suite.fingerprint[:12]}, but the run was queued with "
            f"{run['suite_fingerprint'][:12]}; queue the run again."
        )
    # What is wrong with the model itself is said before what follows from it.
    count_layers(config.model, config.layers)
    accelerator = make_accelerator(config.training.precision, trackers=make_trackers(folder, config))
    tokenizer = load_tokenizer(config.model)
    # The head is drawn from the seed, alike on every process; dropout then differs from process to process.
    seed_everything(config.seed)
    model = load_classifier(config.model, suite.labels, layers=config.layers)
    seed_everything((config.seed + accelerator.process_index) % 2**32)
    data = _training_set(folder, suite, tokenizer, config)
    _check_lengths(data.tokens, longest_input(model), suite.train)
    order = BatchOrder(data.tokens.lengths, config.training.batch_size, config.seed)
    meter = FlopMeter(make_meta_classifier(model), kept=folder.path.parent.parent / "flops")
    # A budget in FLOPs is counted in the plain order, whatever the method's own: it may depend on the number of steps.
    num_steps = count_steps(config.budget, order, meter)
    if config.error_pass and num_steps < order.steps_per_epoch:
        raise InputError(
            f"error_pass predicts the training examples after the first epoch ({order.steps_per_epoch} steps), but "
            f"the budget is {num_steps}; give at least one epoch, or leave error_pass out."
        )
    if config.method in ORDERS:
        order = ORDERS[config.method](order, data.guide, num_steps)
    optimizer = torch.optim.AdamW(
        _parameter_groups(model, config.training.weight_decay),
        lr=config.training.learning_rate,
        fused=accelerator.device.type in {"cpu", "cuda"},
    )
    num_warmup_steps = round(config.training.warmup_fraction * num_steps)
    scheduler = get_linear_schedule_with_warmup(optimizer, num_warmup_steps, num_steps)
    model, optimizer = accelerator.prepare(model, optimizer)
    train_ids = suite.train.examples["example_id"].to_numpy()[data.positions]
    recorder = DynamicsRecorder(train_ids, data.labels, label_names=suite.labels)
    parts = TrainingParts(model, optimizer, scheduler, recorder, accelerator)
    return Setup(folder, config, suite, data, order, num_steps, parts, tokenizer, objective_of(config.method), meter)


def count_steps(budget: BudgetConfig, order: BatchOrder, meter: FlopMeter) -> int:
    """Give the optimizer steps of a budget, at least 1."""
    num_steps = budget.num_steps(len(order.lengths), order.batch_size)
    if num_steps is not None:
        return num_steps
    assert budget.max_flops is not None
    num_epochs = budget.max_flops / sum(meter.training(batch.shape) for batch in order.epoch(0))
    if num_epochs > _MOST_EPOCHS_BY_FLOPS:
        raise InputError(
            f"max_flops: received {budget.max_flops:g}, which is {num_epochs:,.0f} passes over these examples; "
            f"allowed is what {_MOST_EPOCHS_BY_FLOPS:,} take."
        )
    return steps_within((meter.training(batch.shape) for batch in order.steps()), budget.max_flops)


def mean_step_tokens(order: BatchOrder) -> float:
    """Give the padded tokens of a step, averaged over the first epoch."""
    return float(np.mean([math.prod(batch.shape) for batch in itertools.islice(order.epoch(0), 1000)]))


def _training_set(
    folder: RunFolder, suite: Suite, tokenizer: PreTrainedTokenizerBase, config: RunConfig
) -> TrainingSet:
    examples = suite.train.examples
    positions = np.arange(len(examples))
    weights = np.ones(len(examples), dtype=np.float32)
    if folder.subset.exists():
        chosen = pq.read_table(folder.subset)
        positions = chosen["position"].to_numpy().astype(np.int64)
        weights = chosen["weight"].to_numpy().astype(np.float32)
    if len(positions) == 0 or not weights.sum() > 0:
        raise InputError("The subset holds no example with a weight above 0; there is nothing to train on.")
    guide = _read_guide(folder, positions) if config.method in GUIDED_METHODS else {}
    weights = weights * guide.pop("weight", np.float32(1))
    index_of = {label: index for index, label in enumerate(suite.labels)}
    labels = examples["label"].map(index_of).to_numpy(dtype=np.int64)[positions]
    chosen_split = dataclasses.replace(suite.train, examples=examples.iloc[positions])
    tokens = tokenise(tokenizer, chosen_split, max_length=config.training.max_length)
    return TrainingSet(tokens, labels, weights, positions, guide)


def _read_guide(folder: RunFolder, positions: NDArray[np.int64]) -> dict[str, NDArray[np.float32]]:
    """Read what the method takes from the reference, in the order of these rows of the training split."""
    if not folder.guide.exists():
        raise InputError(
            f"The run's file {folder.guide.name}, which its method needs, is missing; queue the run again."
        )
    table = pq.read_table(folder.guide).sort_by("position")
    known = table["position"].to_numpy()
    rows = np.searchsorted(known, positions)
    assert np.array_equal(known[rows], positions), "a guide speaks of every example that the run trains on"
    return {name: _values(table[name])[rows] for name in table.column_names if name != "position"}


def _values(column: pa.ChunkedArray) -> NDArray[np.float32]:
    """(n,) of a column of numbers, (n, C) of a column of lists."""
    array = column.combine_chunks()
    is_list = pa.types.is_list(array.type)
    values = (array.flatten() if is_list else array).to_numpy(zero_copy_only=False).astype(np.float32)
    return values.reshape(len(array), -1) if is_list else values


def _check_lengths(tokens: TokenisedSplit, longest: int | None, split: Split) -> None:
    padded = int(padded_lengths(tokens.lengths).max(initial=0))
    if longest is not None and padded > longest:
        raise InputError(
            f"max_length: a text of split '{split.name}' takes {padded} tokens (padded), but the model takes at most "
            f"{longest}; lower max_length to {longest // PAD_MULTIPLE * PAD_MULTIPLE}."
        )


def _parameter_groups(model: torch.nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    # Biases and layer norms are vectors; decaying them pulls activations to zero without regularising anything.
    return [
        {"params": [parameter for parameter in trainable if parameter.ndim >= 2], "weight_decay": weight_decay},
        {"params": [parameter for parameter in trainable if parameter.ndim < 2], "weight_decay": 0.0},
    ]
