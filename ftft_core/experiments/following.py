"""How far an experiment is: the progress of its runs, read from their files, and the time left of all of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ftft_core.errors import FTFTError
from ftft_core.experiments.planning import PlannedRun
from ftft_core.experiments.record import Experiment, RunLine
from ftft_core.experiments.running import REMOVED
from ftft_core.workspace import RunProgress, Workspace

_NOT_TO_DO = ("finished", "skipped", "failed", "lost", REMOVED)


@dataclass(frozen=True)
class Following:
    """How far an experiment is."""

    progress: Mapping[str, RunProgress]
    """By key, of the runs that there are."""
    statuses: Mapping[str, str]
    """By key: that of the run, or `planned`, `skipped`, `failed` or `removed` where there is none."""
    fraction: float
    """Share of all work that is done, in [0, 1]."""
    seconds_left: float | None
    """None when nobody works on it, or nothing tells."""

    @property
    def num_finished(self) -> int:
        """Runs that have finished."""
        return sum(status == "finished" for status in self.statuses.values())


def follow(workspace: Workspace, experiment: Experiment) -> Following:
    """Look how far an experiment is."""
    progress, statuses = {}, {}
    for line in experiment.runs:
        statuses[line.key] = line.status
        if line.run_id is not None:
            try:
                progress[line.key] = workspace.progress(line.run_id)
            except FTFTError:
                statuses[line.key] = REMOVED
                continue
            statuses[line.key] = progress[line.key].status
    works = _works(experiment.runs)
    done = sum(work * progress[key].fraction for key, work in works.items() if key in progress)
    fraction = done / sum(works.values()) if works else 0.0
    left = seconds_left(experiment.runs, progress) if experiment.is_active else None
    return Following(progress, statuses, min(1.0, fraction), left)


def seconds_left(planned: Sequence[PlannedRun | RunLine], progress_of: Mapping[str, RunProgress]) -> float | None:
    """Estimate from what was expected of the runs, at the pace of those that run, and as many at once as now.

    Before any of them has taken a step those that have finished tell the pace. Where nothing was expected: by seconds
    per unit of planned work; None before any run has begun.
    """
    works, trained = _works(planned), _training_works(planned)
    paces: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    left, num_running, running = 0.0, 0, []
    for run in planned:
        progress = progress_of.get(run.key)
        status = run.status if progress is None else progress.status
        is_running = status == "running"
        num_running += is_running
        if is_running and progress is not None and progress.seconds_left is not None:
            running.append(progress.seconds_left)
        elif status not in _NOT_TO_DO:
            left += works[run.key] * (1.0 if progress is None else 1.0 - progress.fraction)
        if progress is not None and progress.seconds_elapsed and progress.num_steps and progress.step:
            # Finished ones may have been trained long ago, or on another machine.
            done = trained[run.key] * progress.step / progress.num_steps
            paces[is_running] += [(progress.seconds_elapsed, done)] if done else []
    told = paces[True] or paces[False]
    if not told and any(run.seconds is None for run in planned):
        return None
    pace = sum(spent for spent, _ in told) / sum(done for _, done in told) if told else 1.0
    return max([(sum(running) + left * pace) / max(1, num_running), *running])


def _works(planned: Sequence[PlannedRun | RunLine]) -> dict[str, float]:
    """Weigh runs by the seconds that they are expected to take; where one is not known, all by steps and layers."""
    if all(run.seconds is not None for run in planned):
        return {run.key: run.seconds or 0.0 for run in planned}
    return {run.key: run.work for run in planned}


def _training_works(planned: Sequence[PlannedRun | RunLine]) -> dict[str, float]:
    """The same of optimizer steps alone, which is what runs tell the time of."""
    if all(run.train_seconds is not None for run in planned):
        return {run.key: run.train_seconds or 0.0 for run in planned}
    return _works(planned)
