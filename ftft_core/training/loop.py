"""The training loop: forward, loss, backward, step, record, look; after every epoch dynamics, dev, checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray

from ftft_core.modeling.batching import make_batch
from ftft_core.objectives import weighted_mean
from ftft_core.training.batches import Batch
from ftft_core.training.checkpoint import (
    Counters,
    keep_best,
    load_best,
    load_checkpoint,
    newest_checkpoint,
    save_checkpoint,
)
from ftft_core.training.evaluating import Evaluator, make_evaluator
from ftft_core.training.settling import selection_overlap
from ftft_core.training.setup import Setup
from ftft_core.training.stopping import evaluation_interval, note_overlap, note_score


class Stopped(Exception):
    """The run was asked to stop; a checkpoint was written."""


def fit(setup: Setup, *, stop_requested: Callable[[], bool]) -> Counters:
    """Train a run to its end, from its newest checkpoint if it has one, and evaluate what it keeps.

    It ends with its budget, or before, if it is to stop early. Only dev can have a say in that: the test splits are
    predicted once, by the kept model, and what snapshots see of them is told and forgotten.

    :raises Stopped: once `stop_requested` said so and a checkpoint was written.
    :raises RunError: when the model diverges.
    """
    parts, accelerator = setup.parts, setup.parts.accelerator
    evaluator = make_evaluator(setup)
    checkpoint = newest_checkpoint(setup.folder)
    counters = load_checkpoint(checkpoint, parts) if checkpoint else Counters()
    checkpoint_due = _every(setup.training.checkpoint_seconds)

    parts.model.train()
    while counters.batch_in_epoch or (counters.step < setup.num_steps and not counters.stop.has_stopped):
        for batch in _batches_left(setup, counters):
            started = time.perf_counter()
            logits, losses, weights = forward(setup, batch)
            loss = weighted_mean(
                losses,
                weights,
                total_weight=float(setup.data.weights[batch.rows].sum()),
                num_processes=accelerator.num_processes,
            )
            accelerator.backward(loss)
            if setup.training.gradient_clip_norm is not None:
                accelerator.clip_grad_norm_(parts.model.parameters(), setup.training.gradient_clip_norm)
            parts.optimizer.step()
            parts.scheduler.step()
            parts.optimizer.zero_grad()
            _record(setup, batch, logits)
            _count(counters, setup, batch, started)
            evaluator.reporter.step(counters, float(losses.detach().mean()), parts.scheduler.get_last_lr()[0])
            _look_around(evaluator, counters)
            stopping = _agree(accelerator, stop_requested())
            # One clock decides: with several, each would ask for a checkpoint of its own.
            if stopping or _agree(accelerator, accelerator.is_main_process and checkpoint_due()):
                save_checkpoint(setup.folder, parts, counters)
            if stopping:
                raise Stopped
            if counters.stop.has_stopped:
                break
        _finish_epoch(evaluator, counters)

    if counters.kept_step != counters.step:
        load_best(setup.folder, parts)
    evaluator.evaluate_kept(counters)
    return counters


def _batches_left(setup: Setup, counters: Counters) -> list[Batch]:
    if counters.stop.has_stopped:
        return []
    batches = setup.order.epoch(counters.epoch)
    return batches[counters.batch_in_epoch :][: setup.num_steps - counters.step]


def forward(setup: Setup, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Give logits (b, C), losses (b,) and weights (b,) of this process's share of a batch."""
    accelerator = setup.parts.accelerator
    rows = _share(setup, batch)
    inputs = make_batch(
        setup.data.tokens, rows, batch.length, pad_token_id=setup.pad_token_id, device=accelerator.device
    )
    logits = setup.parts.model(**inputs).logits.float()
    labels = torch.from_numpy(setup.data.labels[rows]).to(accelerator.device)
    weights = torch.from_numpy(setup.data.weights[rows]).to(accelerator.device)
    if len(batch.share(accelerator.process_index, accelerator.num_processes)) == 0:
        weights = torch.zeros_like(weights)
    guide = {name: torch.from_numpy(values[rows]).to(accelerator.device) for name, values in setup.data.guide.items()}
    return logits, setup.objective(logits, labels, guide), weights


def _share(setup: Setup, batch: Batch) -> NDArray[np.int64]:
    """Rows that this process computes; never none, since every process takes part in every step."""
    accelerator = setup.parts.accelerator
    rows = batch.share(accelerator.process_index, accelerator.num_processes)
    return rows if len(rows) else batch.rows[:1]


def _record(setup: Setup, batch: Batch, logits: torch.Tensor) -> None:
    accelerator = setup.parts.accelerator
    logits = logits.detach()
    rows = torch.from_numpy(_share(setup, batch)).to(accelerator.device)
    if accelerator.num_processes > 1:
        rows = accelerator.gather(accelerator.pad_across_processes(rows, pad_index=-1))
        logits = accelerator.gather(accelerator.pad_across_processes(logits))
        logits, rows = logits[rows >= 0], rows[rows >= 0]
    setup.parts.recorder.record(batch.epoch, rows, logits)


def _count(counters: Counters, setup: Setup, batch: Batch, started: float) -> None:
    counters.step += 1
    counters.batch_in_epoch += 1
    counters.examples_seen += len(batch.rows)
    counters.train_seconds += time.perf_counter() - started
    # Counted after the clock was read: counting a new shape takes a moment that training itself does not.
    counters.train_flops += setup.meter.training(batch.shape)


def _look_around(evaluator: Evaluator, counters: Counters) -> None:
    """After a step: a snapshot, or dev, if it is time; at the end of an epoch dev has its turn with the dynamics."""
    setup = evaluator.setup
    evaluator.take_snapshot(counters)
    interval = evaluation_interval(setup.config, setup.num_steps)
    ends_epoch = counters.batch_in_epoch == setup.order.steps_per_epoch or counters.step == setup.num_steps
    if interval is not None and counters.step % interval == 0 and not ends_epoch:
        _try_dev(evaluator, counters)


def _try_dev(evaluator: Evaluator, counters: Counters) -> None:
    """Evaluate dev and, in a run that stops by it, keep the weights if they are the best and see whether it ends."""
    setup = evaluator.setup
    scores = evaluator.score_dev(counters)
    if setup.config.stop != "patience":
        return
    assert setup.config.stop_metric is not None
    if note_score(counters.stop, setup.config, counters.step, scores[setup.config.stop_metric]):
        keep_best(setup.folder, setup.parts)


def _finish_epoch(evaluator: Evaluator, counters: Counters) -> None:
    """Leave dynamics and dev scores for the database, then write a checkpoint: in this order nothing is lost."""
    setup, recorder = evaluator.setup, evaluator.setup.parts.recorder
    frame = recorder.epoch_frame(counters.epoch)
    # The dynamics speak of the suite's training split, not of the run's own examples.
    evaluator.reporter.dynamics(replace(frame, positions=setup.data.positions[frame.positions]))
    if setup.config.error_pass and counters.epoch == 0 and frame.finished:
        evaluator.find_errors(counters)
    if setup.config.stop == "settled" and frame.finished:
        assert setup.config.settled_fraction is not None
        overlap = selection_overlap(recorder, setup.config.settled_fraction)
        if overlap is not None:
            note_overlap(counters.stop, setup.config, overlap)
            evaluator.reporter.overlap(counters, overlap)
    is_over = counters.step == setup.num_steps or counters.stop.has_stopped
    # The final evaluation scores dev; only patience has to know before.
    if counters.stop.evaluated_step != counters.step and (setup.config.stop == "patience" or not is_over):
        _try_dev(evaluator, counters)
    counters.epoch += 1
    counters.batch_in_epoch = 0
    save_checkpoint(setup.folder, setup.parts, counters)


def _agree(accelerator: Accelerator, flag: bool) -> bool:
    """Whether any process says so: stopping and checkpoints are things that all processes do together."""
    if accelerator.num_processes == 1:
        return flag
    votes = accelerator.reduce(torch.tensor(float(flag), device=accelerator.device), reduction="sum")
    return bool(votes.item() > 0)


def _every(seconds: float) -> Callable[[], bool]:
    """Give a function that is true when the last time it was true is at least `seconds` ago."""
    last = time.monotonic()

    def due() -> bool:
        nonlocal last
        now = time.monotonic()
        if now - last < seconds:
            return False
        last = now
        return True

    return due
