"""From what a warm-up found to what a run will take: steps, FLOPs, seconds, memory; nothing here imports torch.

Batches are made of the run's own examples in the run's own order, as training makes them, and every one of them is
counted: batches are of similar length within, so the mean of a few steps says little of the next. A step takes a
fixed time and one for its FLOPs; both come from the steps that were timed. FLOPs of a shape are those of one example
of that length, times examples, plus what a batch has but once.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ftft_core.config import RunConfig
from ftft_core.cost import steps_within
from ftft_core.modeling.lengths import evaluation_batches, padded_lengths
from ftft_core.planning.folder import WarmUp
from ftft_core.training.batches import BatchOrder
from ftft_core.training.stopping import num_dev_passes

MOST_WALKED = 200_000
"""Examples of a run, repeats counted, whose batches are all made; of more, those of one epoch, for all seeds."""

FEWEST_FOUND = 200
"""Of a subset at least this many must be among the examples that were looked at, or all of those stand for it."""

SNAPSHOT_EXAMPLES = 256
"""Examples of a test split that a snapshot looks at, as in `training.evaluating`."""

PROCESS_GROWTH = 1.2
"""Memory that a process holds after many steps, relative to that after a few: batches of many shapes leave gaps between
what was freed. Measured as 1.0 to 1.36 (benchmarks/plans.py); a device with memory of its own has none of it."""

_WEIGHTS_SHARE = 1 / 3
"""Share of a checkpoint that is the model; the rest is the optimizer's."""

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TrainingRows:
    """The examples that a run trains on."""

    num_examples: int
    positions: NDArray[np.int64] | None = None
    """Rows of the training split; None for all."""

    @cached_property
    def _digest(self) -> str:
        return "" if self.positions is None else hashlib.sha256(self.positions.tobytes()).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TrainingRows) and (self.num_examples, self._digest) == (
            other.num_examples,
            other._digest,
        )

    def __hash__(self) -> int:
        return hash((self.num_examples, self._digest))


@dataclass(frozen=True)
class RunEstimate:
    """What a run will take if it uses its whole budget."""

    num_steps: int
    train_flops: float
    stopping_flops: float
    """FLOPs of passes over dev that decide when it ends."""
    seconds: float
    """From the start of its process to its end."""
    train_seconds: float
    """Of these, in optimizer steps."""
    processor_seconds: float
    """Seconds of the processor, all threads together; says on a busy machine what the clock can't."""
    peak_memory_mib: float
    parts: dict[str, float] = field(default_factory=dict)
    """Seconds by what they are spent on."""

    def as_dict(self) -> dict[str, object]:
        """Plain values, for JSON."""
        return {
            "num_steps": self.num_steps,
            "train_flops": self.train_flops,
            "stopping_flops": self.stopping_flops,
            "seconds": self.seconds,
            "train_seconds": self.train_seconds,
            "processor_seconds": self.processor_seconds,
            "peak_memory_mib": self.peak_memory_mib,
            "parts": self.parts,
        }


def estimate_run(config: RunConfig, rows: TrainingRows, warm_up: WarmUp) -> RunEstimate:
    """Work out what a run will take.

    :param warm_up: with timings, of the same model, layers, batch size, precision and lengths.
    """
    num_steps = count_steps(config, rows, warm_up)
    flops = _flops_of_steps(config, rows, warm_up, num_steps)
    train_flops, numbers = float(flops.sum()), warm_up.numbers
    steps_per_epoch = math.ceil(rows.num_examples / config.training.batch_size)
    fixed, per_flop = _step_seconds(warm_up, 2)
    train_seconds = fixed * num_steps + per_flop * train_flops
    processor_fixed, processor_per_flop = _step_seconds(warm_up, 3)
    processor_training = processor_fixed * num_steps + processor_per_flop * train_flops

    dev_passes = num_dev_passes(config, num_steps, steps_per_epoch)
    tests = [name for name, facts in numbers["splits"].items() if facts["role"] != "dev"]
    read = ["dev", *(name for name in tests if config.method != "reference")]
    passes = [("dev", _pass_flops(warm_up, "dev") * dev_passes), *((name, _pass_flops(warm_up, name)) for name in read)]
    if config.training.snapshots is not None:
        passes += [
            (name, _pass_flops(warm_up, name, most=SNAPSHOT_EXAMPLES) * config.training.snapshots) for name in tests
        ]
    if config.error_pass:
        # A forward pass over the training examples: a third of a forward and a backward one.
        epoch = _epoch_flops(warm_up, rows, config.training.batch_size, 0, 0)
        passes.append(("train", float(epoch.sum()) / 3))
    evaluating = math.fsum(flops * _pass_seconds(warm_up, name, 1) for name, flops in passes)
    processor_evaluating = math.fsum(flops * _pass_seconds(warm_up, name, 2) for name, flops in passes)

    num_read = rows.num_examples + sum(numbers["splits"][name]["num_examples"] for name in read)
    tokenising = numbers["tokenise_seconds_per_example"] * num_read
    # At most: what earlier runs of the architecture counted is not counted again.
    counting = numbers["count_seconds_per_shape"] * len(_distinct_shapes(config, rows, warm_up, num_steps))
    num_checkpoints = math.ceil(num_steps / steps_per_epoch) + int(train_seconds / config.training.checkpoint_seconds)
    # The model is written once at the end, and each time it is the best; half of the looks at dev are taken for that.
    num_models = 1 + (dev_passes / 2 if config.stop == "patience" else 0)
    writing = numbers["checkpoint_seconds"] * (num_checkpoints + _WEIGHTS_SHARE * num_models)
    parts = {
        "starting": numbers["startup_seconds"] + tokenising + counting,
        "training": train_seconds,
        "evaluating": evaluating,
        "writing": writing,
    }
    # What is written waits for the disk more than for the processor.
    processor = numbers["startup_processor_seconds"] + tokenising + counting + processor_training + writing
    return RunEstimate(
        num_steps=num_steps,
        train_flops=train_flops,
        stopping_flops=passes[0][1] if config.stop == "patience" else 0.0,
        seconds=math.fsum(parts.values()),
        train_seconds=train_seconds,
        processor_seconds=processor + processor_evaluating,
        peak_memory_mib=peak_memory_mib(warm_up),
        parts=parts,
    )


def count_steps(config: RunConfig, rows: TrainingRows, warm_up: WarmUp) -> int:
    """Give the optimizer steps of a run's budget, as the run will count them."""
    num_steps = config.budget.num_steps(rows.num_examples, config.training.batch_size)
    if num_steps is not None:
        return num_steps
    assert config.budget.max_flops is not None
    epoch = _epoch_flops(warm_up, rows, config.training.batch_size, config.seed, 0)
    if config.budget.max_flops > epoch.sum() * max(1, MOST_WALKED // rows.num_examples):
        return max(1, round(config.budget.max_flops / float(epoch.mean())))
    return int(steps_within(map(float, _steps_flops(config, rows, warm_up)), config.budget.max_flops))


def training_flops(config: RunConfig, rows: TrainingRows, warm_up: WarmUp, num_steps: int) -> float:
    """Give the FLOPs of this many steps on these examples."""
    return float(_flops_of_steps(config, rows, warm_up, num_steps).sum())


def peak_memory_mib(warm_up: WarmUp) -> float:
    """Give the memory that a run will hold at most."""
    return float(warm_up.numbers["peak_memory_mib"]) * _growth(warm_up)


def most_examples(warm_up: WarmUp, available_mib: float) -> int | None:
    """Give the largest batch whose steps fit into this memory; None when the warm-up can't tell."""
    fixed, each = warm_up.numbers.get("fixed_memory_mib"), warm_up.numbers.get("memory_mib_per_example")
    if fixed is None or each is None or each <= 0:
        return None
    return max(0, math.floor((available_mib / _growth(warm_up) - fixed) / each))


def _growth(warm_up: WarmUp) -> float:
    return PROCESS_GROWTH if warm_up.numbers.get("device") == "cpu" else 1.0


def _flops_of_steps(config: RunConfig, rows: TrainingRows, warm_up: WarmUp, num_steps: int) -> FloatArray:
    """FLOPs of each step where all are walked; else of one epoch, stretched so that the sum is right."""
    steps_per_epoch = math.ceil(rows.num_examples / config.training.batch_size)
    if num_steps * config.training.batch_size <= MOST_WALKED:
        return np.fromiter(itertools.islice(_steps_flops(config, rows, warm_up), num_steps), dtype=np.float64)
    epoch = _epoch_flops(warm_up, rows, config.training.batch_size, 0, 0)
    return epoch * (num_steps / steps_per_epoch)


def _steps_flops(config: RunConfig, rows: TrainingRows, warm_up: WarmUp) -> Iterator[float]:
    for epoch in itertools.count():
        yield from _epoch_flops(warm_up, rows, config.training.batch_size, config.seed, epoch)


def _distinct_shapes(config: RunConfig, rows: TrainingRows, warm_up: WarmUp, num_steps: int) -> set[tuple[int, int]]:
    """Shapes of the first epoch's batches; the run counts the FLOPs of each once."""
    shapes = _epoch_shapes(warm_up, rows, config.training.batch_size, 0, 0)[:num_steps]
    return {(int(count), int(length)) for count, length in shapes}


@lru_cache(maxsize=256)
def _epoch_flops(warm_up: WarmUp, rows: TrainingRows, batch_size: int, seed: int, epoch: int) -> FloatArray:
    shapes = _epoch_shapes(warm_up, rows, batch_size, seed, epoch)
    return _shape_flops(warm_up, shapes[:, 0], shapes[:, 1], "training")


@lru_cache(maxsize=256)
def _epoch_shapes(warm_up: WarmUp, rows: TrainingRows, batch_size: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """(steps, 2): examples and padded length of each batch of an epoch."""
    batches = BatchOrder(_training_lengths(warm_up, rows), batch_size, seed).epoch(epoch)
    return np.array([batch.shape for batch in batches], dtype=np.int64)


def _training_lengths(warm_up: WarmUp, rows: TrainingRows) -> NDArray[np.int64]:
    """(n,) tokens of a run's examples: their own where all were looked at, else those of a sample, repeated."""
    known, looked_at = warm_up.lengths["train"], warm_up.positions
    if looked_at is None:
        return known if rows.positions is None else known[rows.positions]
    if rows.positions is not None:
        found = known[np.isin(looked_at, rows.positions)]
        known = found if len(found) >= FEWEST_FOUND else known
    return np.resize(known, rows.num_examples)


def _shape_flops(warm_up: WarmUp, counts: NDArray[Any], lengths: NDArray[Any], kind: str) -> FloatArray:
    """FLOPs of batches; between the lengths that were counted, FLOPs per token are taken for linear."""
    counted = warm_up.numbers["flops"]
    known = np.asarray(counted["lengths"], dtype=np.float64)
    pairs = np.asarray(counted[kind], dtype=np.float64)  # (lengths, 2): of one and of two examples
    first = np.interp(lengths, known, pairs[:, 0] / known) * lengths
    more = np.interp(lengths, known, (pairs[:, 1] - pairs[:, 0]) / known) * lengths
    return np.asarray(first + (counts - 1) * more, dtype=np.float64)


@lru_cache(maxsize=64)
def _step_seconds(warm_up: WarmUp, column: int) -> tuple[float, float]:
    """Seconds that a step takes in any case, and for each of its FLOPs.

    :param column: of what was timed: 2 is the clock, 3 the processor.
    """
    timed = np.asarray(warm_up.numbers["steps"], dtype=np.float64)  # (steps, 4)
    shapes, place = np.unique(timed[:, :2], axis=0, return_inverse=True)
    # The median of each shape: another process may have had the machine for a moment.
    seconds = np.array([np.median(timed[place.reshape(-1) == index, column]) for index in range(len(shapes))])
    flops = _shape_flops(warm_up, shapes[:, 0], shapes[:, 1], "training")
    if len(shapes) > 2:
        per_flop, fixed = np.polyfit(flops, seconds, 1)
        if per_flop > 0 and fixed >= 0:
            return float(fixed), float(per_flop)
    return 0.0, float(seconds.sum() / flops.sum())


@lru_cache(maxsize=512)
def _pass_flops(warm_up: WarmUp, split: str, *, most: int | None = None) -> float:
    """FLOPs of predicting a split, or at most so many of its examples."""
    lengths = warm_up.lengths.get(split)
    if lengths is None or len(lengths) == 0:
        return 0.0
    num_examples = int(warm_up.numbers["splits"][split]["num_examples"])
    batches = evaluation_batches(lengths, np.arange(len(lengths)))
    shapes = np.array([(len(rows), length) for rows, length in batches])
    flops = float(_shape_flops(warm_up, shapes[:, 0], shapes[:, 1], "forward").sum())
    return flops * min(num_examples, most or num_examples) / len(lengths)


def _pass_seconds(warm_up: WarmUp, split: str, column: int) -> float:
    """Seconds per FLOP of predicting a split, by the mean length of its texts.

    :param column: of what was timed: 1 is the clock, 2 the processor.
    """
    lengths = warm_up.lengths.get(split)
    timed = np.asarray(warm_up.numbers["evaluation"], dtype=np.float64)
    if lengths is None or len(lengths) == 0:
        return float(timed[0, column])
    return float(np.interp(padded_lengths(lengths).mean(), timed[:, 0], timed[:, column]))
