"""Waiting for runs, with a progress bar and the time left of each."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn

from ftft_core.errors import FTFTError, RunError
from ftft_core.experiments import PlannedRun, seconds_left
from ftft_core.run_folder import ENDED
from ftft_core.workspace import RunProgress, Workspace

_POLL_SECONDS = 0.2
_QUIET_SECONDS = 15.0
"""Without a terminal, a line is printed this often."""


class Watcher:
    """Shows runs on stderr: bars on a terminal, else a line now and then."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TaskProgressColumn(),
            TextColumn("{task.fields[detail]}"),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._said: dict[str, tuple[str, float]] = {}

    def __enter__(self) -> Watcher:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def show(self, name: str, progress: RunProgress) -> None:
        """Bring one run's line up to date."""
        detail = in_words(progress)
        if self.console.is_terminal:
            if name not in self._tasks:
                self._tasks[name] = self._bars.add_task(name, total=1.0, detail=detail)
            self._bars.update(self._tasks[name], completed=progress.fraction, detail=detail)
            return
        status, said_at = self._said.get(name, ("", 0.0))
        is_due = progress.status == "running" and time.monotonic() - said_at > _QUIET_SECONDS
        if progress.status != status or is_due:
            self._said[name] = (progress.status, time.monotonic())
            self.console.print(f"{name}: {100 * progress.fraction:.0f} % {detail}")

    def show_plan(self, planned: Sequence[PlannedRun]) -> None:
        """Bring the lines of an experiment up to date, with the time left of all of it."""
        progress_of = {}
        for run in planned:
            if run.run_id:
                with suppress(FTFTError):  # Somebody removed it.
                    progress_of[run.key] = self.workspace.progress(run.run_id)
        for run in planned:
            if run.key in progress_of:
                self.show(run.key, progress_of[run.key])
            elif self.console.is_terminal and run.key not in self._tasks:
                self._tasks[run.key] = self._bars.add_task(run.key, total=1.0, detail="waits")
        left = seconds_left(planned, progress_of)
        said = "" if left is None else f"about {in_minutes(left)} left"
        done = sum(run.status == "finished" for run in planned)
        if self.console.is_terminal:
            if "all" not in self._tasks:
                self._tasks["all"] = self._bars.add_task("all runs", total=len(planned), detail=said)
            fractions = [progress_of[run.key].fraction if run.key in progress_of else 0.0 for run in planned]
            self._bars.update(self._tasks["all"], completed=sum(fractions), detail=said)
        elif said and time.monotonic() - self._said.get("all", ("", 0.0))[1] > _QUIET_SECONDS:
            self._said["all"] = ("", time.monotonic())
            self.console.print(f"{done} of {len(planned)} runs finished, {said}")


def wait_for_run(workspace: Workspace, run_id: str, *, detach: bool) -> dict[str, str]:
    """Wait for a run unless `detach`; give its run_id, name and status.

    Ctrl-C stops the run after its current step; it can be resumed.

    :raises RunError: when it did not finish.
    """
    name = str(workspace.run(run_id)["name"])
    if not detach:
        try:
            with Watcher(workspace) as watcher:
                folder = workspace.run_folder(run_id)
                while True:
                    if folder.outbox_files():
                        workspace.sync()
                    progress = workspace.progress(run_id)
                    watcher.show(name, progress)
                    if progress.status in ENDED:
                        break
                    time.sleep(_POLL_SECONDS)
        except KeyboardInterrupt:
            _stop(workspace, run_id)
            raise RunError(f"Run '{name}' was stopped; `ftft runs resume {name}` goes on with it.") from None
        workspace.sync()
    run = workspace.run(run_id)
    if not detach and run["status"] != "finished":
        raise RunError(
            f"Run '{name}' is {run['status']}: {run['message']}", [f"Its log is in {_log(workspace, run_id)}."]
        )
    return {"run_id": run_id, "name": name, "status": str(run["status"])}


def in_words(progress: RunProgress) -> str:
    """Say how a run is doing, in half a line."""
    if progress.status != "running":
        return progress.status + (f": {progress.message}" if progress.message else "")
    if progress.step is None:
        return "starting"
    parts = [f"step {progress.step:,} of {progress.num_steps:,}"]
    if progress.stage != "training":
        parts = [str(progress.stage)]
    if progress.loss is not None:
        parts.append(f"loss {progress.loss:.3f}")
    if "accuracy" in progress.dev_scores:
        parts.append(f"dev accuracy {100 * progress.dev_scores['accuracy']:.1f} %")
    if progress.seconds_left is not None:
        parts.append(f"{in_minutes(progress.seconds_left)} left")
    return ", ".join(parts)


def in_minutes(seconds: float) -> str:
    """Word a duration."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _stop(workspace: Workspace, run_id: str) -> None:
    try:
        workspace.cancel(run_id)
    except RunError:
        return  # It ended in the meantime.
    while workspace.progress(run_id).status == "running":
        time.sleep(_POLL_SECONDS)
    workspace.sync()


def _log(workspace: Workspace, run_id: str) -> str:
    return str(workspace.run_folder(run_id).log)
