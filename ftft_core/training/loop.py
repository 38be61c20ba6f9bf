"""The training loop: forward, loss, backward, step, record; after every epoch dynamics, dev scores, checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from numpy.typing import NDArray

from ftft_core.evaluation import evaluation_batches, predict
from ftft_core.metrics import score_split
from ftft_core.modeling.batching import make_batch
from ftft_core.objectives import weighted_mean
from ftft_core.suites import Split, TokenisedSplit
from ftft_core.training.batches import Batch
from ftft_core.training.checkpoint import Counters, load_checkpoint, newest_checkpoint, save_checkpoint
from ftft_core.training.reporting import Reporter
from ftft_core.training.settling import map_has_settled
from ftft_core.training.setup import Setup, mean_step_tokens


class Stopped(Exception):
    """The run was asked to stop; a checkpoint was written."""


def fit(setup: Setup, *, stop_requested: Callable[[], bool]) -> Counters:
    """Train a run to the end of its budget, from its newest checkpoint if it has one, and evaluate it.

    Only the dev split is looked at while training; the other splits are predicted once, by the kept model.

    :raises Stopped: once `stop_requested` said so and a checkpoint was written.
    :raises RunError: when the model diverges.
    """
    parts, accelerator = setup.parts, setup.parts.accelerator
    splits = _splits_to_evaluate(setup)
    dev = splits["dev"]
    checkpoint = newest_checkpoint(setup.folder)
    counters = load_checkpoint(checkpoint, parts) if checkpoint else Counters()
    reporter = _make_reporter(setup, splits)
    checkpoint_due = _every(setup.training.checkpoint_seconds)

    parts.model.train()
    while counters.batch_in_epoch or (counters.step < setup.num_steps and not counters.has_settled):
        for batch in _batches_left(setup, counters):
            started = time.perf_counter()
            logits, losses, weights = _forward(setup, batch)
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
            reporter.step(counters, float(losses.detach().mean()), parts.scheduler.get_last_lr()[0])
            stopping = _agree(accelerator, stop_requested())
            # One clock decides: with several, each would ask for a checkpoint of its own.
            if stopping or _agree(accelerator, accelerator.is_main_process and checkpoint_due()):
                save_checkpoint(setup.folder, parts, counters)
            if stopping:
                raise Stopped
        _finish_epoch(setup, reporter, counters, dev)

    for split, tokens in splits.values():
        reporter.progress(counters, f"evaluating {split.name}")
        logits = _predict(setup, reporter, tokens)
        reporter.predictions(split.name, logits)
        reporter.scores(counters, split.name, _score(setup, split, logits), final=True)
    reporter.progress(counters, "finished")
    return counters


def _batches_left(setup: Setup, counters: Counters) -> list[Batch]:
    batches = setup.order.epoch(counters.epoch)
    return batches[counters.batch_in_epoch :][: setup.num_steps - counters.step]


def _forward(setup: Setup, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
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
    return logits, setup.objective(logits, labels), weights


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


def _finish_epoch(setup: Setup, reporter: Reporter, counters: Counters, dev: tuple[Split, TokenisedSplit]) -> None:
    """Leave dynamics and dev scores for the database, then write a checkpoint: in this order nothing is lost."""
    split, tokens = dev
    recorder = setup.parts.recorder
    frame = recorder.epoch_frame(counters.epoch)
    # The dynamics speak of the suite's training split, not of the run's own examples.
    reporter.dynamics(replace(frame, positions=setup.data.positions[frame.positions]))
    if counters.step < setup.num_steps:
        started = time.perf_counter()
        logits = _predict(setup, reporter, tokens)
        counters.evaluation_seconds += time.perf_counter() - started
        batches = evaluation_batches(tokens.lengths, np.arange(len(tokens)))
        counters.evaluation_flops += sum(setup.meter.forward((len(rows), length)) for rows, length in batches)
        reporter.scores(counters, split.name, _score(setup, split, logits), final=False)
    counters.has_settled = setup.config.stop == "settled" and map_has_settled(recorder)
    counters.epoch += 1
    counters.batch_in_epoch = 0
    save_checkpoint(setup.folder, setup.parts, counters)


def _predict(setup: Setup, reporter: Reporter, tokens: TokenisedSplit) -> NDArray[np.float32]:
    parts = setup.parts
    logits = predict(parts.model, tokens, pad_token_id=setup.pad_token_id, accelerator=parts.accelerator)
    reporter.evaluated(_padded_tokens(tokens))
    return logits


def _score(setup: Setup, split: Split, logits: NDArray[np.float32]) -> pd.DataFrame:
    examples = split.examples
    groups = examples["group"].to_numpy() if examples["group"].notna().any() else None
    gold = examples["label"].to_numpy()
    return score_split(logits, gold, setup.suite.labels, label_map=split.label_map, groups=groups)


def _splits_to_evaluate(setup: Setup) -> dict[str, tuple[Split, TokenisedSplit]]:
    """Give dev and the test splits, tokenised; a run made only for its dynamics is scored on dev alone."""
    dev_only = setup.config.method == "reference"
    chosen = [split for split in setup.suite.splits if split.role == "dev" or (split.role != "train" and not dev_only)]
    return {split.name: (split, setup.tokenise(split)) for split in chosen}


def _make_reporter(setup: Setup, splits: dict[str, tuple[Split, TokenisedSplit]]) -> Reporter:
    dev_tokens = _padded_tokens(splits["dev"][1])
    final_tokens = sum(_padded_tokens(tokens) for _, tokens in splits.values())
    return Reporter(
        setup.folder,
        is_active=setup.parts.accelerator.is_main_process,
        num_steps=setup.num_steps,
        num_epochs=setup.num_epochs,
        step_tokens=mean_step_tokens(setup.order),
        evaluation_tokens=final_tokens + (setup.num_epochs - 1) * dev_tokens,
    )


def _padded_tokens(tokens: TokenisedSplit) -> float:
    batches = evaluation_batches(tokens.lengths, np.arange(len(tokens)))
    return float(sum(len(rows) * length for rows, length in batches))


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
