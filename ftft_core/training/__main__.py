"""A training process: `python -m ftft_core.training RUN_FOLDER`.

It claims the run, trains it, and leaves its state as finished, cancelled or failed, with the reason. Exit status: 0
finished or cancelled, 1 failed.
"""

from __future__ import annotations

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


def main(folder: RunFolder) -> int:
    """Train one run; give the exit status."""
    stop_requested = _listen_for_stop(folder)
    folder.claim("starting")
    started = newest_checkpoint(folder)
    resumed_from_step = int(started.name.rpartition("-")[2]) if started else None
    facts: dict[str, Any] = {"resumed_from_step": resumed_from_step}
    try:
        setup = prepare(folder)
        is_main = setup.parts.accelerator.is_main_process
        facts |= describe_device(setup.parts.accelerator, precision=setup.training.precision).as_dict()
        facts |= {"versions": library_versions(), "num_steps_planned": setup.num_steps}
        folder.claim("training")
        counters = fit(setup, stop_requested=stop_requested)
        facts |= _counted(counters)
        if is_main:
            _keep_model(setup)
            folder.set_status("finished", "", **facts)
            remove_checkpoints(folder)
    except Stopped:
        folder.clear_cancel()
        folder.set_status("cancelled", "stopped on request; resume goes on from here", **facts)
    except FTFTError as error:
        folder.set_status("failed", str(error), **facts)
        return 1
    except (torch.OutOfMemoryError, MemoryError) as error:
        traceback.print_exc()
        folder.set_status("failed", f"out of memory: lower batch_size or max_length ({error})", **facts)
        return 1
    except Exception as error:
        folder.set_status("failed", f"{type(error).__name__}: {error}", **facts)
        raise
    return 0


def _counted(counters: Counters) -> dict[str, Any]:
    return {
        "num_optimizer_steps": counters.step,
        "num_examples_seen": counters.examples_seen,
        "train_flops": counters.train_flops,
        "train_seconds": counters.train_seconds,
        "evaluation_flops": counters.evaluation_flops,
        "evaluation_seconds": counters.evaluation_seconds,
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
        if not stopped and time.monotonic() - looked > 0.5:
            looked = time.monotonic()
            stopped = folder.cancel_requested
        return stopped

    return stop_requested


if __name__ == "__main__":
    sys.exit(main(RunFolder(Path(sys.argv[1]).resolve())))
