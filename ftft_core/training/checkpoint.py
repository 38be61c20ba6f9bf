"""Checkpoints: everything that a run needs to go on as if it had never stopped.

A checkpoint is a folder `checkpoint-<step>` of safetensors and JSON; nothing in it is pickled. It is written under a
temporary name, synced, and renamed; older ones are removed after that. A run that goes on from one gives the same
dynamics and weights, bit for bit on the same machine, as a run that was never interrupted. The best weights, where a
run keeps some, are one file that the checkpoint links to.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import safetensors.numpy
import safetensors.torch
import torch
from accelerate import Accelerator

from ftft_core.dynamics import DynamicsRecorder
from ftft_core.errors import RunError
from ftft_core.run_folder import RunFolder, read_json, sync_file, sync_folder
from ftft_core.training.random_state import random_tensors, set_random
from ftft_core.training.stopping import StopState

_BEST = "best.safetensors"
"""The best weights so far of a run that stops by patience; in its folder, and in each checkpoint as they were then."""


@dataclass
class Counters:
    """Where a run is, and what it has cost so far."""

    step: int = 0
    """Optimizer steps taken."""
    epoch: int = 0
    """The epoch that is under way, from 0."""
    batch_in_epoch: int = 0
    """Batches of that epoch that are done."""
    examples_seen: int = 0
    """Examples of all steps, repeats counted."""
    train_flops: float = 0.0
    """FLOPs of forward and backward passes."""
    evaluation_flops: float = 0.0
    """FLOPs of passes over the dev split during training."""
    train_seconds: float = 0.0
    """Seconds spent in training steps."""
    evaluation_seconds: float = 0.0
    """Seconds spent in passes over the dev split during training."""
    snapshot_flops: float = 0.0
    """FLOPs of looks at the test splits; no part of what the method costs."""
    snapshot_seconds: float = 0.0
    """Seconds of looks at the test splits."""
    stop: StopState = field(default_factory=StopState)
    """What stopping early remembers."""

    @property
    def kept_step(self) -> int:
        """Optimizer steps behind the weights that the run keeps."""
        return self.step if self.stop.best_step is None else self.stop.best_step


@dataclass(frozen=True)
class TrainingParts:
    """What has a state."""

    model: torch.nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    recorder: DynamicsRecorder
    accelerator: Accelerator


def newest_checkpoint(folder: RunFolder) -> Path | None:
    """Give the checkpoint with the most steps; None if there is none."""
    found = [path for path in folder.path.glob("checkpoint-*") if path.is_dir()]
    return max(found, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def remove_checkpoints(folder: RunFolder, *, but: Path | None = None) -> None:
    """Remove all checkpoints, finished and half written ones, except one; without exception, the best weights too."""
    for path in [*folder.path.glob("checkpoint-*"), *folder.path.glob(".checkpoint-*")]:
        if path != but:
            shutil.rmtree(path)
    if but is None:
        (folder.path / _BEST).unlink(missing_ok=True)


def keep_best(folder: RunFolder, parts: TrainingParts) -> None:
    """Keep the weights as they are now as the best ones; every process calls it."""
    if parts.accelerator.is_main_process:
        # A new file each time: the newest checkpoint goes on linking to the best weights of its own step.
        new = folder.path / f".{_BEST}.{os.getpid()}.new"
        safetensors.torch.save_model(parts.accelerator.unwrap_model(parts.model), str(new))
        sync_file(new)
        os.replace(new, folder.path / _BEST)
        sync_folder(folder.path)
    parts.accelerator.wait_for_everyone()


def load_best(folder: RunFolder, parts: TrainingParts) -> None:
    """Put the best weights back; every process calls it."""
    safetensors.torch.load_model(parts.accelerator.unwrap_model(parts.model), str(folder.path / _BEST))


def save_checkpoint(folder: RunFolder, parts: TrainingParts, counters: Counters) -> None:
    """Write a checkpoint, then remove older ones; every process calls it.

    One of the same step is kept as it is: it was written after the last batch of an epoch, and ending that epoch again
    gives the same. To replace it would leave a moment without any checkpoint.
    """
    accelerator = parts.accelerator
    final = folder.path / f"checkpoint-{counters.step}"
    if final.exists():
        return
    building = folder.path / f".checkpoint-{counters.step}"
    if accelerator.is_main_process:
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir()
        model = accelerator.unwrap_model(parts.model)
        safetensors.torch.save_model(model, str(building / "model.safetensors"))
        safetensors.torch.save_file(_optimizer_tensors(parts.optimizer), building / "optimizer.safetensors")
        for epoch in parts.recorder.epochs:
            safetensors.numpy.save_file(parts.recorder.state_arrays(epoch), building / f"dynamics-{epoch}.safetensors")
        if counters.stop.best_step is not None:
            _link(folder.path / _BEST, building / _BEST)
        state = {"counters": asdict(counters), "scheduler": _plain(parts.scheduler)}
        if accelerator.scaler is not None:
            state["scaler"] = accelerator.scaler.state_dict()
        (building / "state.json").write_text(json.dumps(state), encoding="utf-8")
    accelerator.wait_for_everyone()
    safetensors.torch.save_file(random_tensors(), building / f"random-{accelerator.process_index}.safetensors")
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        # The history too: what it says of steps that are not repeated must outlive a power loss with the checkpoint.
        for path in [*building.iterdir(), *folder.path.glob("history.jsonl")]:
            sync_file(path)
        sync_folder(building)
        os.rename(building, final)
        sync_folder(folder.path)
        remove_checkpoints(folder, but=final)
    accelerator.wait_for_everyone()


def load_checkpoint(path: Path, parts: TrainingParts) -> Counters:
    """Put everything back as it was, and give the counters.

    :raises RunError: when another number of processes wrote it.
    """
    accelerator = parts.accelerator
    num_written = len(list(path.glob("random-*.safetensors")))
    if num_written != accelerator.num_processes:
        raise RunError(
            f"The checkpoint {path.name} was written by {num_written} process(es), but this run has "
            f"{accelerator.num_processes}; resume it with {num_written}, or remove the checkpoint to start again."
        )
    state = read_json(path / "state.json")
    safetensors.torch.load_model(accelerator.unwrap_model(parts.model), str(path / "model.safetensors"))
    _load_optimizer(parts.optimizer, safetensors.torch.load_file(path / "optimizer.safetensors"))
    _load_scheduler(parts, state["scheduler"])
    if accelerator.scaler is not None:
        accelerator.scaler.load_state_dict(state["scaler"])
    for epoch in range(state["counters"]["epoch"] + 1):
        dynamics = path / f"dynamics-{epoch}.safetensors"
        if dynamics.exists():
            parts.recorder.load_state_arrays(safetensors.numpy.load_file(dynamics))
    set_random(safetensors.torch.load_file(path / f"random-{accelerator.process_index}.safetensors"))
    counters = _counters(state["counters"])
    if counters.stop.best_step is not None and accelerator.is_main_process:
        # What lies beside the checkpoint may be better, and of a step that is yet to be repeated.
        _link(path / _BEST, path.parent / _BEST)
    accelerator.wait_for_everyone()
    return counters


def _counters(values: dict[str, Any]) -> Counters:
    stop = StopState(**values.get("stop", {}))
    # A checkpoint of version 0.1 holds `has_settled` instead.
    return Counters(**{name: value for name, value in values.items() if name not in {"stop", "has_settled"}}, stop=stop)


def _link(source: Path, target: Path) -> None:
    """Have a second name for a file; a copy where the file system has no such thing."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    state = optimizer.state_dict()["state"]
    return {
        f"{index}.{name}": tensor.contiguous() for index, values in state.items() for name, tensor in values.items()
    }


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = tensor
    # The groups are made from the run's configuration; their learning rates are put back with the schedule.
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _plain(scheduler: torch.optim.lr_scheduler.LRScheduler) -> dict[str, Any]:
    # The shape of the schedule is made from the run's configuration.
    return {key: value for key, value in scheduler.state_dict().items() if key != "lr_lambdas"}


def _load_scheduler(parts: TrainingParts, state: dict[str, Any]) -> None:
    groups = parts.optimizer.param_groups
    parts.scheduler.load_state_dict({**state, "lr_lambdas": [None] * len(groups)})
    # A schedule sets the optimizer's rates when it steps, not when it is loaded.
    for group, learning_rate in zip(groups, parts.scheduler.get_last_lr(), strict=True):
        group["lr"] = learning_rate
