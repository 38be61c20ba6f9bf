"""Before an experiment starts: how many runs, how many are there, what the missing ones take, or why it can't work.

A run whose subset or budget depends on others that have not finished has a stand-in that takes as long. Nothing is
started or saved. What a machine takes for a step is measured by the same warm-ups as for single runs; where none was
made, finished runs of the same model tell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydantic

from ftft_core.config import BudgetConfig, RunConfig, parse
from ftft_core.errors import FTFTError, InputError
from ftft_core.experiments.planning import PlannedRun, StandIn, remarks_on_little
from ftft_core.experiments.recipe import Recipe
from ftft_core.experiments.running import plan_experiment
from ftft_core.jobs import find_devices
from ftft_core.planning import Plan, amount_words, duration_words, flops_words
from ftft_core.workspace import Workspace


@dataclass(frozen=True)
class MethodCost:
    """The runs of one method, or of one of its versions where there are several references or fractions."""

    label: str
    """The method, with the reference and the fraction where they matter."""
    method: str
    num_runs: int
    num_finished: int
    flops: float | None
    """Of training one run."""
    share: float | None
    """FLOPs of one run with those of its reference, over those of plain fine-tuning."""


@dataclass(frozen=True)
class ExperimentPlan:
    """What an experiment will take; what needs a warm-up that was not made yet is None."""

    problems: tuple[str, ...]
    """Every reason why it can't work, one sentence each."""
    remarks: tuple[str, ...]
    runs: tuple[PlannedRun, ...]
    """Empty where something speaks against it."""
    asked: tuple[RunConfig, ...]
    """One run for every model, to warm up for."""
    flops: float | None = None
    """FLOPs of training what is missing."""
    seconds: float | None = None
    """Expected seconds of what is missing, one run after the other."""
    erm_flops: float | None = None
    """FLOPs of one plain fine-tuning with the full budget."""
    seconds_left: Mapping[str, float] = field(default_factory=dict)
    """Expected seconds of what is missing of each run, by key."""
    num_devices: int = 1
    """Devices that runs are trained on at the same time."""
    measuring_failed: str | None = None
    methods: tuple[MethodCost, ...] = ()

    @property
    def is_measured(self) -> bool:
        """Whether FLOPs and time are known."""
        return self.flops is not None

    @property
    def num_finished(self) -> int:
        """Runs that are there already."""
        return sum(run.status == "finished" for run in self.runs)

    @property
    def num_missing(self) -> int:
        """Runs that are not there yet, or not finished."""
        return len(self.runs) - self.num_finished

    @property
    def words(self) -> str:
        """Such as "12 runs, 3 of them finished already, 9 to do: 41 TFLOP, about 38 minutes, as much as 5.2 plain
        fine-tunings".
        """
        said = f"{len(self.runs)} run{'s' * (len(self.runs) != 1)}, {self.num_finished} of them finished already, "
        said += f"{self.num_missing} to do"
        if self.num_missing == 0:
            return said
        if self.flops is None or self.seconds is None:
            return f"{said}: {'not measured yet' if self.measuring_failed is None else 'could not be measured'}"
        parts = [flops_words(self.flops), self._duration_words(self.seconds)]
        if self.erm_flops:
            number = amount_words(self.flops / self.erm_flops)
            parts.append(f"as much as {number} plain fine-tuning{'s' * (number not in ('1', '1.0'))}")
        if any(run.stand_in.config.stop is not None for run in self.runs):
            parts.append("less if they stop early")
        return f"{said}: {', '.join(parts)}"

    def _duration_words(self, seconds: float) -> str:
        at_once = min(self.num_devices, self.num_missing)
        if at_once == 1:
            return f"about {duration_words(seconds)}"
        # Until each run has ended, after those that it waits for; the plan is in such an order.
        ends: dict[str, float] = {}
        for run in self.runs:
            ends[run.key] = self.seconds_left[run.key] + max((ends[key] for key in run.needs), default=0.0)
        return f"about {duration_words(max(seconds / at_once, *ends.values()))} on {at_once} devices"


def preview(workspace: Workspace, recipe: Recipe) -> ExperimentPlan:
    """Say what an experiment will take, or every reason why it can't work."""
    asked = tuple(_one_of_each_model(recipe))
    plan = workspace.plan(asked)
    problems, planned = [*plan.problems, *_changes(workspace, recipe.suite)], []
    try:
        planned = plan_experiment(workspace, recipe)
    except FTFTError as failure:
        problems += [each for each in failure.problems or [failure.message] if each not in problems]
    if problems:
        return ExperimentPlan(tuple(problems), plan.remarks, (), asked)
    return _with_costs(workspace, planned, plan, asked)


def _changes(workspace: Workspace, suite: str) -> list[str]:
    """Say what speaks against going on with a suite whose files were changed after it was added."""
    try:
        changed = workspace.changed_files(suite)
    except FTFTError:  # There is no such suite, which is told already.
        return []
    if not changed:
        return []
    files = f"{changed[0]} and {len(changed) - 1} more" if len(changed) > 1 else changed[0]
    return [
        f"The suite '{suite}' changed since it was added: {files}. Its runs, and the copy that they are trained on, "
        "are of the data as they were; add the changed data under another name with `ftft suite add`, or put the old "
        "files back."
    ]


def preview_values(
    workspace: Workspace, values: object, *, what: str = "The recipe"
) -> tuple[Recipe | None, ExperimentPlan]:
    """Do the same for what somebody wrote; what is wrong in it is told together with what can't be used.

    :return: the recipe, None where it is none; and the plan.
    """
    try:
        recipe = parse(Recipe, values, what=what)
        return recipe, preview(workspace, recipe)
    except InputError as failure:
        problems = list(failure.problems or [failure.message])
    if isinstance(values, Mapping):
        # What can be told all the same: whether suite and models are there, and the suite is as it was.
        said = [*workspace.plan([asked for asked in _named_in(values) if asked]).problems]
        said += _changes(workspace, str(values.get("suite")))
        problems += [problem for problem in said if problem not in problems]
    return None, ExperimentPlan(tuple(problems), (), (), ())


def _one_of_each_model(recipe: Recipe) -> list[RunConfig]:
    main = recipe.main_model
    asked = [
        RunConfig(
            suite=recipe.suite, model=main.model, layers=main.layers, budget=recipe.budget,
            training=recipe.training.of("main"), **main.stop_values,
        )
    ]  # fmt: skip
    for each in recipe.reference_model:
        budget = BudgetConfig(epochs=each.epochs, max_steps=each.max_steps) if each.epochs or each.max_steps else None
        asked.append(
            RunConfig(
                suite=recipe.suite, model=each.model, layers=each.layers, method="reference",
                budget=budget or recipe.budget, training=recipe.training.of("reference"),
            )
        )  # fmt: skip
    return list(dict.fromkeys(asked))


def _named_in(values: Mapping[Any, Any]) -> list[dict[str, Any]]:
    """Give suite, model, layers, precision and trackers of every model in values that are no recipe, as far as they are
    of their kind.
    """
    suite = values.get("suite")
    references = values.get("reference_model") or []
    models = [values.get("main_model"), *(references if isinstance(references, list) else [references])]
    training = values.get("training")
    settings = (
        {name: training[name] for name in ("precision", "trackers") if name in training}
        if isinstance(training, Mapping)
        else {}
    )
    found = []
    for model in models:
        if isinstance(suite, str) and isinstance(model, Mapping) and isinstance(model.get("model"), str):
            layers = model.get("layers")
            is_number = isinstance(layers, int) and not isinstance(layers, bool) and layers > 0
            layers_of = {"layers": layers} if is_number else {}
            found.append({"suite": suite, "model": model["model"], **layers_of, "training": settings})
    return found


@dataclass(frozen=True)
class _Cost:
    """What one run takes."""

    flops: float
    """Of training, and of the passes over dev that decide when it ends."""
    seconds: float
    train_seconds: float
    """Of these, in optimizer steps."""


class _Costs:
    """What runs take, by warm-ups or by finished runs."""

    def __init__(self, workspace: Workspace, suite: str) -> None:
        self._workspace = workspace
        self._suite = suite
        self._known: dict[StandIn, _Cost | None] = {}
        self._per_step: dict[tuple[str, bool], tuple[float, float]] | None = None

    def of(self, run: StandIn) -> _Cost | None:
        """Give what a run takes; None where nothing tells."""
        if run not in self._known:
            found = self._workspace.estimate(run.config, num_examples=run.num_examples)
            if found is None:
                self._known[run] = self._by_finished_runs(run)
            else:
                self._known[run] = _Cost(found.train_flops + found.stopping_flops, found.seconds, found.train_seconds)
        return self._known[run]

    def _by_finished_runs(self, run: StandIn) -> _Cost | None:
        if self._per_step is None:
            self._per_step = self._read_finished_runs()
        # Steps of a run on all the data are alike; a part may have longer texts, and its last batches are less full.
        is_whole = run.num_examples is None
        alike = (self._per_step.get((_kind(run.config), each)) for each in (is_whole, not is_whole))
        if (per_step := next(filter(None, alike), None)) is None:
            return None
        flops, seconds = per_step
        budget = run.config.budget
        if budget.max_flops is not None:
            num_steps = max(1, round(budget.max_flops / flops))
        else:
            num_examples = run.num_examples or self._workspace.num_train(self._suite)
            num_steps = budget.num_steps(num_examples, run.config.training.batch_size) or 1
        return _Cost(flops * num_steps, seconds * num_steps, seconds * num_steps)

    def _read_finished_runs(self) -> dict[tuple[str, bool], tuple[float, float]]:
        """FLOPs and seconds of a step, by kind of run and whether it was on all the data; the newest run's count."""
        rows = self._workspace.runs(self._suite)
        rows = rows[(rows["status"] == "finished") & (rows["config"] != "{}") & (rows["num_optimizer_steps"] > 0)]
        found = {}
        for row in rows[rows["train_flops"].notna() & rows["train_seconds"].notna()].to_dict("records"):
            with suppress(pydantic.ValidationError):  # An older version may have accepted what this one does not.
                config = RunConfig.model_validate_json(row["config"])
                steps = row["num_optimizer_steps"]
                found[_kind(config), row["fraction"] == 1] = (row["train_flops"] / steps, row["train_seconds"] / steps)
        return found


def _kind(config: RunConfig) -> str:
    """Name what runs have in common whose steps take alike."""
    path = Path(config.model).expanduser()
    model = str(path.resolve()) if path.is_dir() else config.model
    training = config.training
    return repr((model, config.layers, training.batch_size, training.max_length, training.precision))


def _with_costs(
    workspace: Workspace, planned: Sequence[PlannedRun], plan: Plan, asked: tuple[RunConfig, ...]
) -> ExperimentPlan:
    estimates = _Costs(workspace, asked[0].suite)
    costs = _costs(estimates, planned)
    erm = estimates.of(StandIn(asked[0]))
    facts: dict[str, Any] = {}
    if len(costs) == len(planned):
        left = {run.key: _share_left(workspace, run) for run in planned}
        facts["flops"] = sum(left[key] * cost.flops for key, cost in costs.items())
        facts["seconds_left"] = {key: left[key] * cost.seconds for key, cost in costs.items()}
        facts["seconds"] = sum(facts["seconds_left"].values())
        for run in planned:
            run.seconds, run.train_seconds = costs[run.key].seconds, costs[run.key].train_seconds
    erm_flops = None if erm is None else erm.flops
    return ExperimentPlan(
        (), (*plan.remarks, *remarks_on_little(planned)), tuple(planned), asked, erm_flops=erm_flops,
        measuring_failed=plan.measuring_failed, methods=tuple(_by_method(planned, costs, erm_flops)),
        num_devices=_num_devices(workspace), **facts,
    )  # fmt: skip


def _num_devices(workspace: Workspace) -> int:
    return len(workspace.worker_settings().devices or find_devices())


def _costs(estimates: _Costs, planned: Sequence[PlannedRun]) -> dict[str, _Cost]:
    """What each run takes, by key; those left out that are not known."""
    costs: dict[str, _Cost] = {}
    for run in planned:
        stand_in = run.stand_in
        if stand_in.is_matched:
            spent = [costs[key] for key in _with_sources(planned, run.needs) if key in costs]
            if len(spent) < len(_with_sources(planned, run.needs)):
                continue
            budget = BudgetConfig(max_flops=sum(each.flops for each in spent))
            stand_in = StandIn(stand_in.config.model_copy(update={"budget": budget}))
        if (cost := estimates.of(stand_in)) is not None:
            costs[run.key] = cost
    return costs


def _with_sources(planned: Sequence[PlannedRun], keys: Sequence[str]) -> list[str]:
    """These runs, and those that they need."""
    needs = {run.key: run.needs for run in planned}
    return list(dict.fromkeys([*keys, *(source for key in keys for source in needs[key])]))


def _share_left(workspace: Workspace, run: PlannedRun) -> float:
    """Share of a run that is yet to be done, in [0, 1]."""
    return 1.0 if run.run_id is None else 1.0 - workspace.progress(run.run_id).fraction


def _by_method(planned: Sequence[PlannedRun], costs: Mapping[str, _Cost], erm_flops: float | None) -> list[MethodCost]:
    found = []
    for label in dict.fromkeys(run.label for run in planned):
        runs = [run for run in planned if run.label == label]
        first = runs[0]
        own, share = costs.get(first.key), None
        # A matched cost is not added to the one that it matches.
        sources = [] if first.stand_in.is_matched else [costs.get(key) for key in first.needs]
        if own is not None and erm_flops and None not in sources:
            share = sum(each.flops for each in (own, *sources) if each) / erm_flops
        num_finished = sum(run.status == "finished" for run in runs)
        flops = None if own is None else own.flops
        found.append(MethodCost(label, first.method, len(runs), num_finished, flops, share))
    return found
