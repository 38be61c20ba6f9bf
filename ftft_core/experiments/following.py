"""How far an experiment is: the progress of its runs, read from their files, and the time left of all of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ftft_core.errors import FTFTError
from ftft_core.experiments.planning import PlannedRun
from ftft_core.experiments.record import Experiment, RunLine
from ftft_core.experiments.running import REMOVED
from ftft_core.workspace import RunProgress, Workspace


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
    """Estimate from what was expected of the runs, at the pace of those that have begun, and as many at once as now.

    Where nothing was expected: from the runs that have begun, by seconds per unit of planned work; None before any has.
    """
    works, trained = _works(planned), _training_works(planned)
    spent, done, left, running = 0.0, 0.0, 0.0, []
    for run in planned:
        progress = progress_of.get(run.key)
        if progress is not None and progress.status == "running" and progress.seconds_left is not None:
            running.append(progress.seconds_left)
        elif run.status != "skipped" and (progress is None or progress.status != "finished"):
            left += works[run.key] * (1.0 if progress is None else 1.0 - progress.fraction)
        if progress is not None and progress.seconds_elapsed and progress.num_steps and progress.step:
            spent += progress.seconds_elapsed
            done += trained[run.key] * progress.step / progress.num_steps
    if done == 0 and any(run.seconds is None for run in planned):
        return None
    pace = spent / done if done else 1.0
    return max([(sum(running) + left * pace) / max(1, len(running)), *running])


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
