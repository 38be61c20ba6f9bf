"""Running a plan: only what is missing, in order, and going on where an interruption left it.

A run that is wanted is recognised by its configuration (its name aside, and a budget in epochs taken for the steps
that it comes to) on the same data: a finished one is used as it is, one that was stopped is resumed, and only what
nobody trained yet is queued. A run that also looked for its errors is the same as one that did not, since that changes
nothing in it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress

import pandas as pd
import pydantic

from ftft_core.config import RunConfig
from ftft_core.errors import FTFTError, RunError, WorkspaceBusyError
from ftft_core.experiments import record
from ftft_core.experiments.planning import PlannedRun, model_key, plan
from ftft_core.experiments.recipe import Recipe
from ftft_core.modeling.checkpoints import count_layers
from ftft_core.run_folder import RESUMABLE
from ftft_core.workspace import Workspace

Watch = Callable[[Sequence[PlannedRun]], None]
"""Is shown the plan, over and over, while it is worked off."""

_POLL_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 2.0
_PAUSES_PER_LOOK = 20
"""How much longer than a look the pause after it is: looking at many runs takes time that their training needs."""
REMOVED = "removed"
"""What is said of a run that somebody has removed."""

_CHANGE_NOTHING = ("checkpoint_seconds", "snapshots", "trackers")
"""Fields of training that have no part in what comes of a run."""


def plan_experiment(workspace: Workspace, recipe: Recipe) -> list[PlannedRun]:
    """Expand a recipe to its runs, and see which of them are there already.

    :raises InputError: when the suite or a model can't be found.
    """
    num_train = workspace.num_train(recipe.suite)
    models = (recipe.main_model, *recipe.reference_model)
    num_layers = {model_key(each.model, each.layers): count_layers(each.model, each.layers) for each in models}
    workspace.sync()
    trained = _Trained(workspace)
    num_excluded = len(workspace.excluded_positions(recipe.suite))
    planned = plan(
        recipe, num_train=num_train, num_layers=num_layers, num_excluded=num_excluded, is_there=trained.is_there
    )
    _advance(workspace, planned, start=False)
    return planned


def run_experiment(workspace: Workspace, planned: Sequence[PlannedRun], *, watch: Watch) -> None:
    """Run what is missing of a plan, and return when all of it has finished.

    :raises RunError: when a run failed or was stopped; what does not depend on it is finished first.
    """
    started: set[str] = set()
    seen: object = None
    while True:
        began = time.monotonic()
        # Files are looked at often, the database only when something happened.
        looks = _looks(workspace, planned)
        if looks != seen:
            # Whoever keeps the database busy for long will let go of it; until then nothing new is queued.
            with suppress(WorkspaceBusyError):
                workspace.sync()
                with record.changing(workspace.folder):
                    _advance(workspace, planned, start=True, started=started)
                # What was seen before the database was read: what happened since is then seen as new.
                seen = looks
        watch(planned)
        if all(run.status in {"finished", "skipped"} or _has_failed(run, started) for run in planned):
            break
        pause = _PAUSES_PER_LOOK * (time.monotonic() - began)
        time.sleep(min(max(_POLL_SECONDS, pause), _LONGEST_PAUSE_SECONDS))
    failed = [run for run in planned if run.status != "finished"]
    if failed:
        raise RunError(
            f"{len(failed)} of {len(planned)} runs did not finish; once the reasons are gone, run the experiment again "
            "to go on with them.",
            [f"{run.key}: {run.status}{f' ({run.message})' if run.message else ''}" for run in failed],
        )


def stop_runs(workspace: Workspace, planned: Sequence[PlannedRun], *, keep: Collection[str] = ()) -> None:
    """Stop the runs of a plan that are under way; each leaves a checkpoint to go on from.

    :param keep: ids of runs that others wait for, too: they go on.
    """
    run_ids = [run.run_id for run in planned if run.run_id and run.run_id not in keep]
    asked: set[str] = set()
    while under_way := [each for each in run_ids if _status_of(workspace, each) in {"queued", "running"}]:
        # The last ones first, so that none that waits starts in the meantime; who is too busy to listen is asked again.
        for run_id in (each for each in reversed(under_way) if each not in asked):
            with suppress(WorkspaceBusyError):
                with suppress(RunError):  # It ended while we looked.
                    workspace.cancel(run_id)
                asked.add(run_id)
        time.sleep(_POLL_SECONDS)
    with suppress(WorkspaceBusyError):  # Whoever looks next takes in what was left.
        workspace.sync()


def _status_of(workspace: Workspace, run_id: str) -> str:
    """Give the status of a run that was queued; `REMOVED` when somebody has removed it since."""
    try:
        return workspace.progress(run_id).status
    except FTFTError:
        return REMOVED


def _looks(workspace: Workspace, planned: Sequence[PlannedRun]) -> list[tuple[str, int]]:
    """Give the status of every run that there is, and how many of its files wait to be taken in."""
    looks = []
    for run_id in (run.run_id for run in planned if run.run_id is not None):
        status = _status_of(workspace, run_id)
        looks.append((status, 0 if status == REMOVED else len(workspace.run_folder(run_id).outbox_files())))
    return looks


def _has_failed(run: PlannedRun, started: set[str]) -> bool:
    return run.status in {*RESUMABLE, REMOVED} and run.key in started


def _advance(
    workspace: Workspace, planned: Sequence[PlannedRun], *, start: bool, started: set[str] | None = None
) -> None:
    """Bring the plan up to date; queue or resume what can start.

    :param start: whether anything may be queued, resumed or saved.
    :param started: keys of the runs that were queued or resumed already; none of them is again.
    """
    rows = workspace.runs()
    trained = _Trained(workspace, rows)
    statuses = dict(zip(rows["run_id"], zip(rows["status"], rows["message"], strict=True), strict=True))
    started = set() if started is None else started
    done: dict[str, str] = {}
    by_key = {run.key: run for run in planned}
    for run in planned:
        if run.run_id is None:
            ended = [key for key in run.needs if by_key[key].status == "skipped" or _has_failed(by_key[key], started)]
            if ended:
                run.status, run.message = "skipped", f"it needs a run that did not finish: {'; '.join(ended)}"
            elif all(key in done for key in run.needs) and not _has_failed(run, started):
                _find_or_queue(workspace, planned, run, trained, done, start=start)
                if start and run.run_id not in statuses:
                    started.add(run.key)
        elif run.run_id not in statuses:
            run.status, run.message = REMOVED, "somebody removed it"
            started.add(run.key)
            continue
        if run.run_id is None:
            continue
        run.status, run.message = statuses.get(run.run_id, ("queued", ""))
        if run.status in RESUMABLE and start and run.key not in started:
            _resume(workspace, run)
            started.add(run.key)
        if run.status == "finished":
            done[run.key] = run.run_id


def _find_or_queue(
    workspace: Workspace,
    planned: Sequence[PlannedRun],
    run: PlannedRun,
    trained: _Trained,
    done: dict[str, str],
    *,
    start: bool,
) -> None:
    """Give a planned run the id of the one that is the same; where there is none, queue it if `start`."""
    try:
        config = run.make_config(workspace, done, save=start)
        if config is None:
            return  # Its subset was never made, so nobody trained on it.
        config = workspace.resolve(config)
        run.run_id = trained.find(config)
        if run.run_id is None and start:
            run.run_id = workspace.submit(config)
            _keep_order(workspace, planned, run)
    except WorkspaceBusyError:
        raise  # It is tried again, and what was queued already is found then.
    except FTFTError as error:
        # Such as a map of a single epoch, which has no ambiguous examples: the other runs go on.
        if start:
            run.status, run.message = "failed", str(error)


def _resume(workspace: Workspace, run: PlannedRun) -> None:
    assert run.run_id is not None
    try:
        workspace.resume(run.run_id)
        run.status = "queued"
    except RunError as error:
        run.message = error.message  # Such as one whose folder was deleted: the other runs go on.


def _keep_order(workspace: Workspace, planned: Sequence[PlannedRun], submitted: PlannedRun) -> None:
    """Put a run that had to wait for others before those of later seeds: one seed after the other is completed."""
    assert submitted.run_id is not None
    later = {run.run_id for run in planned[[run.key for run in planned].index(submitted.key) + 1 :]}
    waiting = workspace.queue()
    places = waiting.loc[waiting["run_id"].isin(later) & (waiting["status"] == "queued"), "position"]
    if not places.empty:
        with suppress(RunError):  # It has just started.
            workspace.move(submitted.run_id, int(places.min()))


class _Trained:
    """The runs of a workspace, to be found by their configuration."""

    def __init__(self, workspace: Workspace, rows: pd.DataFrame | None = None) -> None:
        self._workspace = workspace
        rows = workspace.runs() if rows is None else rows
        suites, subsets = workspace.suites().set_index("suite"), workspace.subsets().set_index("subset")
        self._fingerprints = suites["fingerprint"].to_dict()
        self._sizes = {**suites["num_train"].to_dict(), **subsets["size"].to_dict()}
        # Of several, a finished one; else the newest. What another tool trained has no configuration.
        ranked = sorted(rows[rows["config"] != "{}"].to_dict("records"), key=lambda row: row["status"] == "finished")
        self._known = {
            (row["suite_fingerprint"], _stored_identity(row["config"], self._sizes)): str(row["run_id"])
            for row in ranked
        }

    def find(self, config: RunConfig) -> str | None:
        """Give the id of the run with this configuration, as `Workspace.resolve` gives it; None if there is none."""
        run_id = self._exactly(config)
        if run_id is None and not config.error_pass:
            run_id = self._exactly(config.model_copy(update={"error_pass": True}))
        return run_id

    def is_there(self, config: RunConfig) -> bool:
        """Whether there is a run with exactly this configuration, which need not be resolved."""
        return self._exactly(self._workspace.resolve(config)) is not None

    def _exactly(self, config: RunConfig) -> str | None:
        return self._known.get((self._fingerprints[config.suite], _identity(config, self._sizes)))


def _stored_identity(config: str, sizes: Mapping[str, int]) -> str | None:
    """Give the identity of a stored configuration; None for one that this version would not accept."""
    try:
        return _identity(RunConfig.model_validate_json(config), sizes)
    except pydantic.ValidationError:
        return None


def _identity(config: RunConfig, sizes: Mapping[str, int]) -> str:
    """Give what makes two runs the same: everything that changes the result, so not the name, nor what only
    watches or saves.

    :param sizes: training examples of each suite, by name, and of each subset, by id.
    """
    values = config.model_dump(mode="json", exclude={"name": True, "training": set(_CHANGE_NOTHING)})
    num_examples = sizes.get(config.subset or config.suite)
    if num_examples is not None:
        num_examples -= config.excluded.num_examples if config.excluded else 0
        num_steps = config.budget.num_steps(num_examples, config.training.batch_size)
        values["budget"] = {"max_flops": config.budget.max_flops, "max_steps": num_steps}
    return json.dumps(values, sort_keys=True)
