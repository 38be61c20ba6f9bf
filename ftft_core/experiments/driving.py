"""Working on an experiment as long as it takes: by this process, or by one of its own that outlives who started it.

A driver queues each run once what it needs has finished, keeps the record up to date, and stops when it is asked to:
then its runs write checkpoints. One that is killed leaves a record that says so; whoever goes on starts another one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from ftft_core.errors import FTFTError, InputError, RunError
from ftft_core.experiments import record
from ftft_core.experiments.costs import ExperimentPlan, preview
from ftft_core.experiments.planning import PlannedRun
from ftft_core.experiments.recipe import Recipe
from ftft_core.experiments.record import Experiment, ExperimentFolder
from ftft_core.experiments.running import Watch, run_experiment, stop_runs
from ftft_core.run_folder import start_detached
from ftft_core.workspace import Workspace

_BEAT_SECONDS = 3.0
"""So often a driver gives a sign of life."""


class _ToldToStop(Exception):
    """Somebody asked the driver to stop."""


def raise_problems(plan: ExperimentPlan) -> None:
    """Refuse a plan that can't work.

    :raises InputError: with all reasons.
    """
    if plan.problems:
        count = len(plan.problems)
        raise InputError(f"The experiment can't work, for {count} reason{'s' * (count != 1)}.", plan.problems)


def drive(workspace: Workspace, recipe: Recipe, *, plan: ExperimentPlan | None = None, watch: Watch) -> ExperimentPlan:
    """Work on an experiment in this process until all of it has finished, or somebody stops it.

    :param plan: what `preview` gave, where the caller asked before.
    :raises RunError: when it is under way already, was stopped, or a run did not finish.
    """
    plan = preview(workspace, recipe) if plan is None else plan
    raise_problems(plan)
    with record.changing(workspace.folder):
        folder = record.keep(workspace.folder, recipe)
        if folder.is_driven():
            raise RunError(record.under_way_words(folder.experiment))
        folder.claim(plan.runs)
    work_on(workspace, folder, plan.runs, watch=watch)
    return plan


def start_experiment(workspace: Workspace, recipe: Recipe, *, plan: ExperimentPlan | None = None) -> ExperimentFolder:
    """Have a process of its own work on an experiment; give its folder at once.

    :raises InputError: with every reason why it can't work.
    :raises RunError: when it is under way already.
    """
    plan = preview(workspace, recipe) if plan is None else plan
    raise_problems(plan)
    with record.changing(workspace.folder):
        folder = record.keep(workspace.folder, recipe)
        if folder.is_driven():
            raise RunError(record.under_way_words(folder.experiment))
        pid = start_detached("ftft_core.experiments", [workspace.folder, folder.experiment], log=folder.log)
        # The child takes this very lock before its first word, so that it can't be overwritten by this one.
        folder.claim(plan.runs, pid)
    return folder


def work_on(workspace: Workspace, folder: ExperimentFolder, planned: Sequence[PlannedRun], *, watch: Watch) -> None:
    """Work on an experiment that was claimed for this process.

    :raises RunError: as `drive` does.
    """
    with folder.driving():
        try:
            run_experiment(workspace, planned, watch=_recording(folder, watch))
        except (_ToldToStop, KeyboardInterrupt):
            folder.say("stopping", planned)
            stop_runs(workspace, planned, keep=_in_use_elsewhere(workspace.folder, folder))
            folder.say("stopped", planned, "stopped; each run left a checkpoint to go on from")
            raise RunError("Stopped; the same command goes on from here.") from None
        except FTFTError as failure:
            folder.say("failed", planned, failure.message, failure.problems)
            raise
        except BaseException as failure:
            folder.say("failed", planned, f"its process failed ({type(failure).__name__}: {failure})")
            raise
        folder.say("finished", planned)


def stop(workspace: Workspace, experiment: str) -> None:
    """Stop an experiment; each of its runs that trains writes a checkpoint first.

    :raises NotFoundError: when there is none with this id.
    :raises RunError: when nothing of it is under way.
    """
    folder = record.find(workspace.folder, experiment)
    with record.changing(workspace.folder):
        if folder.is_driven():
            folder.request_stop()
            return
        # Its process is gone, but its runs may go on.
        lines = [line for line in folder.read().runs if line.run_id is not None]
        kept = _in_use_elsewhere(workspace.folder, folder)
        num_stopped = 0
        for line in reversed(lines):
            with suppress(FTFTError):  # Gone, or ended already.
                if line.run_id and line.run_id not in kept:
                    workspace.cancel(line.run_id)
                    num_stopped += 1
        if not num_stopped:
            raise RunError(f"Nothing of experiment {experiment} is under way, so there is nothing to stop.")
        folder.change(status="stopped", message="stopped; each run left a checkpoint to go on from", since=time.time())


def experiments(workspace: Workspace, suite: str | None = None) -> list[Experiment]:
    """Give the experiments of a suite, or all; those under way first, then the one that changed last."""
    return record.list_experiments(workspace.folder, suite)


def resume(workspace: Workspace, experiment: str) -> ExperimentFolder:
    """Have a process of its own go on with an experiment.

    :raises NotFoundError: when there is none with this id.
    :raises RunError: when it is under way already.
    """
    return start_experiment(workspace, record.find(workspace.folder, experiment).read().recipe)


def _recording(folder: ExperimentFolder, watch: Watch) -> Watch:
    """Show the plan to the record and then to `watch`, and heed a wish to stop."""
    said: list[tuple[object, ...]] = []
    beat_at = 0.0

    def look(planned: Sequence[PlannedRun]) -> None:
        nonlocal said, beat_at
        now: list[tuple[object, ...]] = [(run.status, run.run_id, run.message) for run in planned]
        if now != said:
            folder.say("running", planned)
            said = now
        elif time.monotonic() - beat_at > _BEAT_SECONDS:
            folder.touch()
            beat_at = time.monotonic()
        watch(planned)
        if folder.is_to_stop:
            raise _ToldToStop

    return look


def _in_use_elsewhere(workspace: Path, folder: ExperimentFolder) -> set[str]:
    """Ids of the runs that other experiments under way wait for, too."""
    others = [each for each in record.list_experiments(workspace) if each.experiment != folder.experiment]
    return {line.run_id for each in others if each.is_active for line in each.runs if line.run_id is not None}


Say = Callable[[str], None]


def told(say: Say) -> Watch:
    """Say a line whenever the state of a run changes."""
    before: dict[str, str] = {}

    def look(planned: Sequence[PlannedRun]) -> None:
        for run in planned:
            if before.get(run.key) != run.status:
                before[run.key] = run.status
                if run.status != "planned":
                    say(f"{run.key}: {run.status}{f' ({run.message})' if run.message else ''}")

    return look
