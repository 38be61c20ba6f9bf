"""A short trial of a run: real optimizer steps on real batches, timed, so that one knows what the run will take.

Everything is done as a run does it, by the same functions; only the loop around the steps is its own. Nothing is
kept of the trial but numbers. What a run will take is worked out from them in `planning`, without torch.
"""

from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from numpy.typing import NDArray

from ftft_core.cost import FlopMeter
from ftft_core.errors import InputError
from ftft_core.evaluation import predict
from ftft_core.modeling.device import describe_device, peak_memory_mib
from ftft_core.modeling.lengths import EVALUATION_TOKENS, Shape, evaluation_batches, padded_lengths
from ftft_core.objectives import weighted_mean
from ftft_core.run_folder import RunFolder
from ftft_core.suites import Split
from ftft_core.training.batches import Batch
from ftft_core.training.checkpoint import Counters, save_checkpoint
from ftft_core.training.loop import forward
from ftft_core.training.setup import Setup, prepare

STEPS_SECONDS = 8.0
"""Steps are timed for about this long at most, and at least `FEWEST_STEPS` of them."""

FEWEST_STEPS = 3
ROUNDS = 8
"""Times that each of the shapes is timed, where that takes less."""

SHAPES = 8
"""Batches of different lengths that are timed, evenly spread over those of an epoch."""

FIRST_PROBE = 2
"""Examples of the first step, which tells how much memory the model itself takes; each next one has four times more."""

SLOW_SECONDS = 2.0
"""A step that takes longer is not repeated to warm up, and is cut to as many examples as take about this long."""

MOST_FLOP_LENGTHS = 8
"""Lengths whose FLOPs are counted; those between are interpolated."""

SPLIT_SAMPLE = 2_000
"""Examples of each other split whose length is looked at."""

Report = Callable[[str, float], None]
"""Takes what is being done and the share of the trial that is done, in [0, 1]."""


@dataclass
class Trial:
    """What a trial found; `numbers` are plain, `lengths` are (n,) arrays of tokens by split."""

    numbers: dict[str, Any]
    lengths: dict[str, NDArray[np.int64]] = field(default_factory=dict)


def measure(folder: RunFolder, *, available_memory_mib: float | None, report: Report) -> Trial:
    """Try out the run of a folder, whose subset is the sample of training examples to look at.

    :param available_memory_mib: what this process may take; None for a device with memory of its own, which is asked.
    :raises InputError: when model, data and configuration do not fit together, as for a run.
    """
    started = psutil.Process().create_time()
    report("loading", 0.05)
    setup = prepare(folder)
    prepared, prepared_processor = time.time() - started, time.process_time()
    report("tokenising", 0.3)
    lengths = {"train": setup.data.tokens.lengths.astype(np.int64)}
    tokenising, splits = 0.0, dict[str, dict[str, Any]]()
    for split in setup.suite.splits[1:]:
        some = _sample(split)
        splits[split.name] = {"num_examples": len(split), "role": split.role, "problem": None}
        begun = time.perf_counter()
        try:
            lengths[split.name] = setup.tokenise(some).lengths.astype(np.int64)
        except InputError as error:
            # A run made only for its dynamics never reads the test splits: whoever plans decides.
            splits[split.name]["problem"] = str(error)
        tokenising += time.perf_counter() - begun
    per_example = tokenising / max(1, sum(map(len, lengths.values())) - len(lengths["train"]))
    facts: dict[str, Any] = {
        **describe_device(setup.parts.accelerator, precision=setup.training.precision).as_dict(),
        "num_parameters": sum(parameter.numel() for parameter in setup.parts.model.parameters()),
        "num_labels": len(setup.suite.labels),
        "splits": splits,
        "tokenise_seconds_per_example": per_example,
        "startup_seconds": max(0.0, prepared - per_example * len(lengths["train"])),
        "startup_processor_seconds": max(0.0, prepared_processor - per_example * len(lengths["train"])),
    }
    report("counting FLOPs", 0.4)
    facts |= _count_flops(setup.meter, lengths)
    available = _device_memory_mib() if setup.parts.accelerator.device.type == "cuda" else available_memory_mib
    report("first steps", 0.45)
    probe = _probe_memory(setup, available)
    facts |= {"available_memory_mib": available, "fits": probe.fits}
    facts |= {"fixed_memory_mib": probe.fixed_mib, "memory_mib_per_example": probe.mib_per_example}
    needed = probe.needed_mib
    if probe.fits:
        facts["steps"] = _time_steps(setup, report, most_examples=probe.most_examples)
        report("evaluating", 0.85)
        facts["evaluation"] = _time_evaluation(setup, lengths)
        report("writing a checkpoint", 0.95)
        facts |= _time_checkpoint(setup)
        needed = max(needed, peak_memory_mib())
    facts |= {"peak_memory_mib": needed, "measured_seconds": time.time() - started, "measured_at": time.time()}
    facts |= {"load_average": psutil.getloadavg()[0], "num_cores": psutil.cpu_count() or 1}
    return Trial(facts, lengths)


def _sample(split: Split) -> Split:
    rows = np.random.default_rng(0).permutation(len(split.examples))[:SPLIT_SAMPLE]
    return replace(split, examples=split.examples.iloc[np.sort(rows)])


def _count_flops(meter: FlopMeter, lengths: dict[str, NDArray[np.int64]]) -> dict[str, Any]:
    """Count one and two examples of each length: what more examples add is then known exactly."""
    found = np.unique(padded_lengths(np.concatenate(list(lengths.values()))))
    chosen = found[np.unique(np.linspace(0, len(found) - 1, min(len(found), MOST_FLOP_LENGTHS)).round().astype(int))]
    # Counted anew, as an architecture's first run does: what is kept would take no time.
    timed = FlopMeter(meter.model)
    begun = time.perf_counter()
    training = [[timed.training((count, int(length))) for count in (1, 2)] for length in chosen]
    per_shape = (time.perf_counter() - begun) / (2 * len(chosen))
    passes = [[meter.forward((count, int(length))) for count in (1, 2)] for length in chosen]
    return {
        "flops": {"lengths": [int(length) for length in chosen], "training": training, "forward": passes},
        "count_seconds_per_shape": per_shape,
    }


def _device_memory_mib() -> float:
    free, _ = torch.cuda.mem_get_info()
    return float(free + torch.cuda.memory_reserved()) / 2**20


@dataclass(frozen=True)
class _Probe:
    """What the first steps tell about memory and speed."""

    needed_mib: float
    """What the largest step takes, or would."""
    fits: bool
    fixed_mib: float | None
    """What a step takes whatever its examples; None when the batches are too small to tell."""
    mib_per_example: float | None
    """What an example of the greatest length adds."""
    most_examples: int
    """Examples of a step that does not take too long to be tried."""


def _probe_memory(setup: Setup, available_mib: float | None) -> _Probe:
    """Take steps with more and more of the longest examples, as far as memory and patience reach.

    Before each of them, what the one before added per example tells what it will take.
    """
    batches = setup.order.epoch(0)
    length = max(batch.length for batch in batches)
    size = max(len(batch.rows) for batch in batches)
    rows = setup.data.tokens.lengths.argsort(kind="stable")[::-1][:size].copy()
    counts = [*itertools.takewhile(lambda count: count < size, (FIRST_PROBE * 4**power for power in range(16))), size]
    peaks: dict[int, float] = {}
    fixed = per_example = None
    seconds_per_example = 0.0
    for count in counts:
        if len(peaks) > 1 and count * seconds_per_example > 2 * SLOW_SECONDS:
            break
        if available_mib is not None and peaks and _line(peaks, count) > available_mib:
            return _Probe(_line(peaks, size), False, fixed, per_example, max(peaks))
        begun = time.perf_counter()
        _take_step(setup, Batch(0, 0, rows[:count], length))
        _wait(setup)
        seconds_per_example = (time.perf_counter() - begun) / count
        peaks[count] = peak_memory_mib()
        if len(peaks) > 1:
            fixed = _line(peaks, 0)
            per_example = _line(peaks, 1) - fixed
    needed = _line(peaks, size)
    return _Probe(needed, available_mib is None or needed <= available_mib, fixed, per_example, max(peaks))


def _line(peaks: dict[int, float], count: int) -> float:
    """Give the MiB that `count` examples take, on the line through the last two peaks."""
    last = [*peaks.items()][-2:]
    (first_count, low), (last_count, high) = last[0], last[-1]
    if first_count == last_count:
        return high
    return high + (high - low) / (last_count - first_count) * (count - last_count)


def _time_steps(setup: Setup, report: Report, *, most_examples: int) -> list[list[float]]:
    """Time steps on batches of an epoch, evenly spread over their lengths.

    :returns: rows of examples, length, seconds, and seconds of the processor.
    """
    batches = sorted(setup.order.epoch(0), key=lambda batch: (batch.length, len(batch.rows)))
    places = (np.arange(min(SHAPES, len(batches))) + 0.5) / min(SHAPES, len(batches)) * len(batches)
    chosen = [replace(batches[int(place)], rows=batches[int(place)].rows[:most_examples]) for place in places]
    # Spread evenly over the lengths also when time runs out within a round.
    order = sorted(range(len(chosen)), key=lambda index: f"{index:04b}"[::-1])
    warmed: set[Shape] = set()
    timed: list[list[float]] = []
    begun = time.perf_counter()
    for _ in range(ROUNDS):
        for index in order:
            batch = chosen[index]
            if batch.shape not in warmed:
                # The first step of a shape prepares its kernels.
                warmed.add(batch.shape)
                warming = time.perf_counter()
                _take_step(setup, batch)
                if time.perf_counter() - warming > SLOW_SECONDS:
                    warmed.update(each.shape for each in chosen)
            _wait(setup)
            step_began, processor_began = time.perf_counter(), time.process_time()
            _take_step(setup, batch)
            _wait(setup)
            seconds, processor_seconds = time.perf_counter() - step_began, time.process_time() - processor_began
            timed.append([*map(float, batch.shape), seconds, processor_seconds])
            spent = time.perf_counter() - begun
            report("timing steps", 0.5 + 0.35 * min(1.0, spent / STEPS_SECONDS))
            if spent > STEPS_SECONDS and len(timed) >= FEWEST_STEPS:
                return timed
    return timed


def _take_step(setup: Setup, batch: Batch) -> None:
    """What the loop does with a batch."""
    parts = setup.parts
    parts.model.train()
    logits, losses, weights = forward(setup, batch)
    loss = weighted_mean(losses, weights, total_weight=float(setup.data.weights[batch.rows].sum()), num_processes=1)
    parts.accelerator.backward(loss)
    if setup.training.gradient_clip_norm is not None:
        parts.accelerator.clip_grad_norm_(parts.model.parameters(), setup.training.gradient_clip_norm)
    parts.optimizer.step()
    parts.optimizer.zero_grad()
    logits.detach().cpu()


def _wait(setup: Setup) -> None:
    """Let a device that works on its own come to the end of what it was given."""
    if setup.parts.accelerator.device.type == "cuda":
        torch.cuda.synchronize()


def _time_evaluation(setup: Setup, lengths: dict[str, NDArray[np.int64]]) -> list[list[float]]:
    """Time predicting, on about a forward pass of dev and of the split with the longest texts.

    FLOPs leave out what grows with the square of the length, so that long texts take more time for each of theirs.

    :returns: rows of mean padded length, and seconds and seconds of the processor per FLOP; the shortest first.
    """
    mean = {name: float(padded_lengths(each).mean()) for name, each in lengths.items() if name != "train" and len(each)}
    longest = max(mean, key=lambda name: mean[name])
    timed = []
    for name in dict.fromkeys(("dev", longest)):
        some = _sample(setup.suite.split(name))
        padded = padded_lengths(lengths[name])
        stride = max(1, round(padded.sum() / EVALUATION_TOKENS))
        rows = np.sort(padded.argsort(kind="stable")[::stride])
        tokens = setup.tokenise(replace(some, examples=some.examples.iloc[rows]))
        batches = evaluation_batches(tokens.lengths, np.arange(len(tokens)))
        flops = sum(setup.meter.forward((len(rows), length)) for rows, length in batches)
        seconds = processor_seconds = 0.0
        for _ in range(2):  # the first prepares its kernels
            begun, processor_began = time.perf_counter(), time.process_time()
            predict(setup.parts.model, tokens, pad_token_id=setup.pad_token_id, accelerator=setup.parts.accelerator)
            seconds, processor_seconds = time.perf_counter() - begun, time.process_time() - processor_began
        timed.append([mean[name], seconds / flops, processor_seconds / flops])
    return sorted(timed)


def _time_checkpoint(setup: Setup) -> dict[str, float]:
    begun = time.perf_counter()
    save_checkpoint(setup.folder, setup.parts, Counters(step=1))
    seconds = time.perf_counter() - begun
    size = setup.folder.size_mib()
    _remove(setup.folder.path / "checkpoint-1")
    return {"checkpoint_seconds": seconds, "checkpoint_mib": size}


def _remove(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
