"""`ftft plan`: what runs will cost, or every reason why they can't work, before any of them starts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import click

from ftft_core.cli.app import Settings, cli, config_options, pass_settings
from ftft_core.cli.output import print_json, print_table, print_text, say
from ftft_core.config import BudgetConfig, RunConfig, TrainingConfig
from ftft_core.errors import InputError, RunError
from ftft_core.experiments import ExperimentPlan, Recipe, preview, raise_problems
from ftft_core.planning import Plan, duration_words, flops_words, memory_words
from ftft_core.planning.asked import Asked
from ftft_core.workspace import Workspace

_RUN_FIELDS = tuple(name for name in RunConfig.model_fields if name not in {"budget", "training", "excluded"})
_BUDGET_FIELDS = tuple(BudgetConfig.model_fields)
_TRAINING_FIELDS = tuple(TrainingConfig.model_fields)
_MOST_SEEDS = 1000
_POLL_SECONDS = 0.2
_MOST_STARTS = 3
"""A warm-up gives way to one that was asked for later, and is then asked for again."""


@cli.command("plan")
@config_options(RunConfig, _RUN_FIELDS)
@config_options(BudgetConfig, _BUDGET_FIELDS)
@config_options(TrainingConfig, _TRAINING_FIELDS)
@click.option("--seeds", metavar="LIST", help="Plan a run for each of these seeds, such as 0,1,2 or 0-4.")
@pass_settings
def plan(settings: Settings, /, seeds: str | None, **given: Any) -> None:
    """Say what `ftft train` with the same options would cost: FLOPs, time, memory, share of plain fine-tuning.

    A few real steps are taken for it in a process of its own, once per model, batch size, precision, length, device and
    suite; what they told is kept in the workspace. What can't work is refused with all reasons at once.
    """
    asked = _asked(given, seeds)
    workspace = settings.open()
    _refuse(workspace.plan(asked))
    found = _measured(workspace, asked)
    if settings.as_json:
        print_json(_as_json(found, asked))
        return
    print_text(found.words[:1].upper() + found.words[1:] + ".")
    rows = [
        {
            "seed": values.get("seed", 0),
            "steps": run.num_steps,
            "training": flops_words(run.train_flops),
            "time": duration_words(run.seconds),
            "of that in steps": duration_words(run.train_seconds),
            "memory": memory_words(run.peak_memory_mib),
        }
        for values, run in zip(asked, found.runs, strict=True)
        if run is not None
    ]
    print_table(rows, list(rows[0]))
    if found.erm_share is not None and found.erm_words != "itself":
        print_text(f"Plain fine-tuning is taken to be {found.erm_words}.")
    for remark in found.remarks:
        say(remark)


def _asked(given: dict[str, Any], seeds: str | None) -> list[dict[str, Any]]:
    """One mapping of fields for each seed."""
    said: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    missing = [f"--{name} is required, but missing." for name in ("suite", "model") if name not in said]
    if missing:
        raise InputError("`ftft plan` needs to know what to train, and on what.", missing)
    if str(said.get("gradient_clip_norm", "")).lower() in {"none", "null"}:
        said["gradient_clip_norm"] = None
    if seeds is None:
        return [said]
    if "seed" in said:
        raise InputError("--seed and --seeds were both given; leave out one of them.")
    return [{**said, "seed": seed} for seed in _read_seeds(seeds)]


def _read_seeds(text: str) -> list[int]:
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if not first.isdecimal() or not (last or "0").isdecimal() or ("-" in part and not last):
            raise InputError(f"--seeds: received '{text}'; it must be whole numbers and ranges such as 0,1,2 or 0-4.")
        found += range(int(first), min(int(last or first), int(first) + _MOST_SEEDS) + 1)
    unique = list(dict.fromkeys(found))
    if not 1 <= len(unique) <= _MOST_SEEDS:
        raise InputError(f"--seeds: received '{text}', which is {len(unique):,} seeds; allowed are 1 to {_MOST_SEEDS}.")
    return unique


def _refuse(found: Plan) -> None:
    if found.problems:
        noun = "The run" if found.num_runs == 1 else "The runs"
        count = len(found.problems)
        raise InputError(f"{noun} can't work, for {count} reason{'s' * (count != 1)}.", found.problems)


def _measured(workspace: Workspace, asked: Sequence[dict[str, Any]]) -> Plan:
    """Give the plan with everything measured, warming up first where that is needed."""
    found = workspace.plan(asked)
    starts = 0
    while not found.is_measured and starts < _MOST_STARTS:
        if starts == 0:
            say("Taking a few steps to see what a run takes; this is done once for these settings.")
        workspace.start_measuring(asked, again=True)
        starts += 1
        _wait(workspace, asked)
        found = workspace.plan(asked)
        _refuse(found)
        if found.measuring_failed is not None:
            raise RunError(f"What the run will take could not be measured: {found.measuring_failed}")
    if not found.is_measured:
        raise RunError("What the run will take could not be measured: others are being planned just now; try again.")
    return found


def _wait(workspace: Workspace, asked: Sequence[Asked]) -> None:
    told = ""
    while (doing := workspace.measuring(asked)) is not None:
        stage = doing.partition(" (")[0]
        if stage != told:
            say(f"  {stage}")
            told = stage
        time.sleep(_POLL_SECONDS)


def measured(workspace: Workspace, recipe: Recipe, plan: ExperimentPlan) -> ExperimentPlan:
    """Give an experiment's plan with everything measured; that it can't be measured keeps nobody from starting it."""
    starts = 0
    while plan.num_missing and not plan.is_measured and starts < _MOST_STARTS:
        if starts == 0:
            say("Taking a few steps to see what the runs take; this is done once for these settings.")
        workspace.start_measuring(plan.asked, again=True)
        starts += 1
        _wait(workspace, plan.asked)
        plan = preview(workspace, recipe)
        raise_problems(plan)
        if plan.measuring_failed is not None:
            say(f"What the runs will take could not be measured: {plan.measuring_failed}")
            break
    return plan


def _as_json(found: Plan, asked: Sequence[dict[str, Any]]) -> dict[str, Any]:
    names = ("num_runs", "num_steps", "train_flops", "seconds", "peak_memory_bytes", "erm_share", "can_stop_early")
    runs = [
        {"seed": int(values.get("seed", 0)), **run.as_dict()}
        for values, run in zip(asked, found.runs, strict=True)
        if run is not None
    ]
    facts = {name: getattr(found, name) for name in names}
    return {**facts, "words": found.words, "plain_fine_tuning": found.erm_words, "remarks": found.remarks, "runs": runs}
