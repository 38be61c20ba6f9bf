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
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from ftft_core.errors import FTFTError
from ftft_core.modeling.device import describe_device, library_versions, peak_memory_mib
from ftft_core.modeling.encoder import save_classifier
from ftft_core.run_folder import RunFolder, sync_file, sync_folder
from ftft_core.training.checkpoint import Counters, newest_checkpoint, remove_checkpoints
from ftft_core.training.loop import Stopped, fit
from ftft_core.training.setup import Setup, prepare
from ftft_core.training.stopping import in_words

_LOOK_SECONDS = 0.5
"""How often a run looks whether it was asked to stop."""


def main(folder: RunFolder) -> int:
    """Train one run; give the exit status.

    Of several processes that train one run together, the first speaks for all.
    """
    stop_requested = _listen_for_stop(folder)
    # Set by the launcher; the Accelerator, which would know too, is made after the first word is said.
    is_main = os.environ.get("RANK", "0") == "0"
    started = newest_checkpoint(folder)
    facts: dict[str, Any] = {"resumed_from_step": int(started.name.rpartition("-")[2]) if started else None}

    def leave(status: str, message: str = "") -> None:
        if is_main:
            folder.set_status(status, message, **facts)

    if is_main:
        folder.remove_leftovers()
        folder.claim("starting")
    try:
        setup = prepare(folder)
        accelerator = setup.parts.accelerator
        facts |= describe_device(accelerator, precision=setup.training.precision).as_dict()
        facts |= {"versions": library_versions(), "num_steps_planned": setup.num_steps}
        if is_main:
            folder.claim("training")
        counters = fit(setup, stop_requested=stop_requested)
        facts |= _counted(counters, setup)
        if is_main:
            _keep_model(setup)
            leave("finished", in_words(counters.stop, setup.config, step=counters.step, num_steps=setup.num_steps))
            remove_checkpoints(folder)
            folder.clear_cancel()
        accelerator.wait_for_everyone()
        accelerator.end_training()
    except Stopped:
        if is_main:
            folder.clear_cancel()
        leave("cancelled", "stopped on request; resume goes on from here")
    except FTFTError as error:
        leave("failed", str(error))
        return 1
    except (torch.OutOfMemoryError, MemoryError) as error:
        traceback.print_exc()
        leave("failed", f"out of memory: lower batch_size or max_length ({error})")
        return 1
    except Exception as error:
        leave("failed", f"{type(error).__name__}: {error}")
        raise
    return 0


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
    sys.exit(main(RunFolder(Path(sys.argv[1]).resolve())))
