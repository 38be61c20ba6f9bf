"""The process that warms up: `python -m ftft_core.planning FOLDER`.

Exit status: 0 done, or not wanted any more; 1 failed, with the reason in the folder.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

import filelock

from ftft_core.errors import FTFTError
from ftft_core.planning.folder import (
    WarmUp,
    WarmUpFolder,
    changing_lock,
    measuring_lock,
    read_positions,
    read_wanted,
)
from ftft_core.planning.machine import free_memory_mib
from ftft_core.run_folder import RunFolder, trouble_in_words


def main(path: Path) -> int:
    """Make one warm-up; give the exit status."""
    folder, plans = WarmUpFolder(path), path.parent
    # Whoever started this process holds that lock until it has written what it started.
    with changing_lock(plans):
        folder.write_progress("waiting for another measurement", 0.0)
    lock = measuring_lock(plans)
    while True:
        try:
            lock.acquire()
            break
        except filelock.Timeout:
            if path.name not in read_wanted(plans):
                (path / "progress.json").unlink(missing_ok=True)
                return 0
    folder.write_progress("loading", 0.02)
    folder.remove_leftovers()
    available_mib = free_memory_mib()
    try:
        # Late, so that a process that has nothing to do ends at once.
        from ftft_core.training.measuring import measure

        trial = measure(RunFolder(path), available_memory_mib=available_mib, report=folder.write_progress)
        folder.keep(WarmUp(trial.numbers, trial.lengths, read_positions(path)))
    except FTFTError as error:
        folder.keep(WarmUp({}, failure=str(error), is_refusal=error.exit_code == 2))
        return 1
    except Exception as error:
        traceback.print_exc()
        said = trouble_in_words(error, path) or f"{type(error).__name__}: {error}"
        folder.keep(WarmUp({}, failure=said))
        return 1
    finally:
        folder.remove_leftovers()
        (path / "progress.json").unlink(missing_ok=True)
        lock.release()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
