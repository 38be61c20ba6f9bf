"""The process that works on an experiment: `python -m ftft_core.experiments WORKSPACE EXPERIMENT`.

Exit status: 0 all of it finished, 1 it did not; the reason stands in its record.
"""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from types import FrameType

from ftft_core.errors import FTFTError
from ftft_core.experiments import record
from ftft_core.experiments.costs import preview
from ftft_core.experiments.driving import raise_problems, told, work_on
from ftft_core.workspace import Workspace


def main(folder: Path, experiment: str) -> int:
    """Work on an experiment that was claimed for this process; give the exit status."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _interrupt)
    kept = None
    try:
        # Whoever started this process holds that lock until it has claimed the experiment for it.
        with record.changing(folder):
            kept = record.find(folder, experiment)
        workspace = Workspace(folder)
        workspace.database.linger()
        plan = preview(workspace, kept.read().recipe)
        raise_problems(plan)
        work_on(workspace, kept, plan.runs, watch=told(_print))
    except FTFTError as failure:
        _print(str(failure))
        if kept is not None and kept.read_state()["status"] in record.ACTIVE:
            kept.change(status="failed", message=failure.message, problems=list(failure.problems), since=time.time())
        return 1
    except KeyboardInterrupt:
        if kept is not None:
            kept.change(status="stopped", message="stopped before it began", since=time.time())
        return 1
    _print("all of it has finished")
    return 0


def _print(line: str) -> None:
    sys.stdout.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve(), sys.argv[2]))
