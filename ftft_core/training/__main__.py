"""A training process: `python -m ftft_core.training RUN_FOLDER`.

It claims the run, trains it, and leaves its state as finished, cancelled or failed, with the reason. Exit status: 0
finished or cancelled, 1 failed.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import filelock

from ftft_core.errors import FTFTError
from ftft_core.modeling.device import describe_device, library_versions, peak_memory_mib
from ftft_core.modeling.encoder import save_classifier
from ftft_core.run_folder import RunFolder, sync_file, sync_folder, trouble_in_words
from ftft_core.training.checkpoint import Counters, newest_checkpoint
from ftft_core.training.loop import Stopped, fit
from ftft_core.training.reporting import leave_dynamics
from ftft_core.training.setup import Setup, prepare
from ftft_core.training.stopping import in_words
from ftft_core.training.tracking import Tracker, begin_tracking, is_busy, tell_costs

_LOOK_SECONDS = 0.5
"""How often a run looks whether it was asked to stop."""


def main(folder: RunFolder) -> int:
    """Train one run; give the exit status.

    Of several processes that train one run together, the first speaks for all.
    """
    # Set by the launcher; the Accelerator, which would know too, is made after the first word is said.
    is_main = os.environ.get("RANK", "0") == "0"
    # Held until this process has ended, however that comes about.
    held = folder.training()
    try:
        if is_main:
            held.acquire()
    except filelock.Timeout:
        print("another process still trains this run; wait for its end, or stop it, then resume", file=sys.stderr)
        return 1
    if folder.read_state()["status"] == "finished":
        # Killed while it removed its checkpoints: without them it would begin from the start.
        folder.tidy()
        return 0
    return _Trainer(folder, is_main).train()


class _Trainer:
    """Trains a run, and sees that its folder says how that ended."""

    def __init__(self, folder: RunFolder, is_main: bool) -> None:
        self.folder = folder
        self.is_main = is_main
        self.stop_requested = _listen_for_stop(folder)
        started = newest_checkpoint(folder)
        self.facts: dict[str, Any] = {
            "resumed_from_step": int(started.name.rpartition("-")[2]) if started else None,
        }
        self.trackers: list[Tracker] = []

    def train(self) -> int:
        try:
            return self._train_to_an_end()
        finally:
            # What was told until then is not lost where it stopped or failed either.
            for tracker in self.trackers:
                tracker.finish()

    def _train_to_an_end(self) -> int:
        try:
            self._train()
        except Stopped:
            if self.is_main:
                self.folder.clear_cancel()
            self._leave("cancelled", "stopped on request; resume goes on from here")
        except FTFTError as error:
            self._leave("failed", trouble_in_words(error, self.folder.path) or str(error))
            return 1
        except Exception as error:
            traceback.print_exc()
            trouble = trouble_in_words(error, self.folder.path, batch_size=_batch_size(self.folder))
            self._leave("failed", trouble or f"{type(error).__name__}: {error}")
            return 1
        return 0

    def _train(self) -> None:
        lacked_outbox = not self.folder.outbox.is_dir()
        if self.is_main:
            self.folder.remove_leftovers()
            self.folder.claim("starting", resumed_from_step=self.facts["resumed_from_step"])
            self.folder.outbox.mkdir(exist_ok=True)
            self.folder.hold_reserve()
        setup = prepare(self.folder)
        accelerator = setup.parts.accelerator
        self.facts |= describe_device(accelerator, precision=setup.training.precision).as_dict()
        self.facts |= {"versions": library_versions(), "num_steps_planned": setup.num_steps}
        if self.is_main:
            self.folder.claim("training", **self.facts)
        begin_tracking(accelerator, setup.config, {**self.facts, **_size(setup)})
        self.trackers = accelerator.trackers
        counters = fit(setup, stop_requested=self.stop_requested)
        counted = _counted(counters, setup)
        tell_costs(accelerator, counted, counters.step)
        self.facts |= counted
        if self.is_main:
            if lacked_outbox:
                _leave_all_dynamics(setup)
            _keep_model(setup)
            self._leave(
                "finished", in_words(counters.stop, setup.config, step=counters.step, num_steps=setup.num_steps)
            )
            # Only now: until the run has finished they are what it would go on from.
            self.folder.tidy()
        accelerator.wait_for_everyone()
        accelerator.end_training()

    def _leave(self, status: str, message: str = "") -> None:
        """Say how it ended, also when the disk is full."""
        if not self.is_main:
            return
        self.folder.release_reserve()
        message = "; ".join(filter(None, [message, *(tracker.trouble for tracker in self.trackers)]))
        if status == "failed":
            # Half a checkpoint is of no use, and may be what filled the disk.
            for path in self.folder.half_written_folders():
                shutil.rmtree(path, ignore_errors=True)
        try:
            self.folder.set_status(status, message, **self.facts)
        except OSError:
            # Whoever looks finds no process, and says why: see `RunFolder.true_state`.
            print(f"{status}: {message}", file=sys.stderr)
            traceback.print_exc()


def _batch_size(folder: RunFolder) -> int | None:
    with suppress(OSError, ValueError, KeyError):
        return int(folder.read_run()["config"]["training"]["batch_size"])
    return None


def _leave_all_dynamics(setup: Setup) -> None:
    """Leave every epoch for the database once more: the outbox was lost, and with it what had not been taken in."""
    recorder = setup.parts.recorder
    for epoch in recorder.epochs:
        frame = recorder.epoch_frame(epoch)
        leave_dynamics(setup.folder, replace(frame, positions=setup.data.positions[frame.positions]))


def _size(setup: Setup) -> dict[str, Any]:
    return {"run_id": setup.folder.run_id, "num_train_examples": len(setup.data.labels)}


def _counted(counters: Counters, setup: Setup) -> dict[str, Any]:
    # A pass over dev that decides nothing is no part of what a method costs.
    decides = setup.config.stop == "patience"
    return {
        "num_optimizer_steps": counters.step,
        "num_examples_seen": counters.examples_seen,
        "train_flops": counters.train_flops,
        "train_seconds": counters.train_seconds,
        "evaluation_flops": counters.evaluation_flops,
        "evaluation_seconds": counters.evaluation_seconds,
        "stopping_flops": counters.evaluation_flops if decides else 0.0,
        "stopping_seconds": counters.evaluation_seconds if decides else 0.0,
        "snapshot_flops": counters.snapshot_flops,
        "snapshot_seconds": counters.snapshot_seconds,
        "kept_step": counters.kept_step,
        "peak_memory_mib": peak_memory_mib(),
    }


def _keep_model(setup: Setup) -> None:
    """Write the model that was evaluated; it appears whole or not at all."""
    final = setup.folder.model
    building = final.with_name(".model.new")
    shutil.rmtree(building, ignore_errors=True)
    save_classifier(setup.parts.accelerator.unwrap_model(setup.parts.model), setup.tokenizer, building)
    for path in building.iterdir():
        sync_file(path)
    sync_folder(building)
    shutil.rmtree(final, ignore_errors=True)
    building.rename(final)
    sync_folder(final.parent)


def _listen_for_stop(folder: RunFolder) -> Any:
    """Give a function that says whether the run was asked to stop, by a signal or by a file."""
    stopped = False
    looked = time.monotonic()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)

    def stop_requested() -> bool:
        nonlocal stopped, looked
        if not stopped and time.monotonic() - looked > _LOOK_SECONDS:
            looked = time.monotonic()
            stopped = folder.cancel_requested
        return stopped

    return stop_requested


if __name__ == "__main__":
    status = main(RunFolder(Path(sys.argv[1]).resolve()))
    if is_busy():
        # A server that does not answer must not keep the run's place on the device.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
