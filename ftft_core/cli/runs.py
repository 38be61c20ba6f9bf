"""`ftft train` and `ftft runs`: starting runs, and what became of them."""

from __future__ import annotations

import time
from typing import Any

import click
import pandas as pd

from ftft_core.cli.app import Settings, cli, config_options, pass_settings
from ftft_core.cli.output import print_json, print_table, print_text
from ftft_core.cli.watching import in_minutes, in_words, wait_for_run
from ftft_core.config import BudgetConfig, RunConfig, StopConfig, TrainingConfig
from ftft_core.errors import InputError
from ftft_core.workspace import Workspace

_METHOD_FIELDS = ("method", "reference", "error_weight", "error_pass")
_RUN_FIELDS = ("suite", "model", "layers", "subset", *_METHOD_FIELDS, "seed", "name", *StopConfig.model_fields)
_BUDGET_FIELDS = ("epochs", "max_steps", "max_flops")
_TRAINING_FIELDS = tuple(TrainingConfig.model_fields)
_COUNTS = ("num_optimizer_steps", "num_examples_seen", "resumed_from_step", "num_steps_planned", "kept_step")
_DEFAULT_EPOCHS = 3
_NOTHING = frozenset({"none", "null"})
_CANCEL_SECONDS = 90.0

detach_option = click.option("--detach", is_flag=True, help="Return at once; the work goes on in the background.")


@cli.command("train")
@config_options(RunConfig, _RUN_FIELDS)
@config_options(BudgetConfig, _BUDGET_FIELDS)
@config_options(TrainingConfig, _TRAINING_FIELDS)
@click.option("--like", metavar="RUN", help="Repeat this run, with what else is given changed.")
@detach_option
@pass_settings
def train(settings: Settings, /, like: str | None, detach: bool, **given: Any) -> None:
    """Fine-tune a model on a suite's training examples, or on a subset of them, and evaluate it on every split.

    A run with the method reference is evaluated on dev alone: it is made for its dynamics.

    The budget is one of --epochs, --max-steps and --max-flops; 3 epochs when left out. With --like everything that is
    not given is as it was in that run, and `none` leaves out what it had.
    """
    workspace = settings.open()
    if like is None:
        run_id = workspace.submit(workspace.checked(_run_values(given)))
    else:
        run_id = workspace.duplicate(like, _changes(given))
    _answer(settings, wait_for_run(workspace, run_id, detach=detach))


def _run_values(given: dict[str, Any]) -> dict[str, Any]:
    said = {name: value for name, value in given.items() if value is not None}
    missing = [f"--{name} is required, but missing." for name in ("suite", "model") if name not in said]
    if missing:
        raise InputError("`ftft train` needs to know what to train, and on what.", missing)
    values: dict[str, Any] = {name: said[name] for name in _RUN_FIELDS if name in said}
    values["budget"] = {name: said[name] for name in _BUDGET_FIELDS if name in said} or {"epochs": _DEFAULT_EPOCHS}
    values["training"] = {name: said[name] for name in _TRAINING_FIELDS if name in said}
    if said.get("gradient_clip_norm", "").lower() in _NOTHING:
        values["training"]["gradient_clip_norm"] = None
    return values


def _changes(given: dict[str, Any]) -> dict[str, Any]:
    """Give what is to be different from the run that is repeated."""
    return {
        name: None if isinstance(value, str) and value.lower() in _NOTHING else value
        for name, value in given.items()
        if value is not None
    }


def _answer(settings: Settings, answer: dict[str, str]) -> None:
    if settings.as_json:
        print_json(answer)
    else:
        print_text(f"Run {answer['name']} ({answer['run_id']}) is {answer['status']}.")


@cli.group("runs")
def runs_group() -> None:
    """Runs: listing, showing, stopping, resuming and removing them."""


@runs_group.command("list")
@click.option("--suite", metavar="TEXT", help="Only the runs on this suite.")
@pass_settings
def list_(settings: Settings, suite: str | None) -> None:
    """List the runs as they stand in the queue: those that run, those that wait, and those that ended, newest first."""
    workspace = settings.open()
    if suite is not None:
        workspace.suite_facts(suite)
    runs = _in_order(workspace.runs(suite), workspace.queue())
    if settings.as_json:
        # A column with a missing number holds floats; steps are whole numbers.
        print_json(runs.astype(dict.fromkeys((*_COUNTS, "position"), "Int64")))
    elif runs.empty:
        print_text("There is no run yet: `ftft train` starts one, `ftft demo` those of the sample suite.")
    else:
        columns = ["run_id", "name", "suite", "model", "num_layers", "method", "seed", "fraction", "status"]
        in_queue = ["position", "left"] if runs["position"].notna().any() else []
        left = [None if pd.isna(seconds) else in_minutes(seconds) for seconds in runs["seconds_left"]]
        rows = runs.astype({"position": "Int64"}).assign(left=left).to_dict("records")
        print_table(rows, [*columns, *in_queue, "num_optimizer_steps", "train_seconds"])


def _in_order(runs: pd.DataFrame, queue: pd.DataFrame) -> pd.DataFrame:
    """Order runs as the page does, with their position (0 runs, 1 is next) and seconds left."""
    places = queue.reset_index(names="place")[["run_id", "place", "position", "seconds_left"]]
    listed = runs.merge(places, on="run_id", how="left")
    listed["ended"] = listed["finished_at"].fillna(listed["created_at"])
    listed = listed.sort_values(["place", "ended"], ascending=[True, False], na_position="last", kind="stable")
    return listed.drop(columns=["place", "ended"])


@runs_group.command("show")
@click.argument("run")
@pass_settings
def show(settings: Settings, run: str) -> None:
    """Show everything that is kept about a run."""
    workspace = settings.open()
    row, progress = workspace.run(run), workspace.progress(run)
    queue = workspace.queue().set_index("run_id")
    in_queue = queue.loc[row["run_id"]] if row["run_id"] in queue.index else pd.Series(dtype=object)
    row |= {"position": in_queue.get("position"), "seconds_left": in_queue.get("seconds_left")}
    row |= {"expected_seconds": progress.expected_seconds, "disk_bytes": workspace.disk_bytes(run)}
    if settings.as_json:
        print_json(row)
        return
    print_table([{"": name, "value": value} for name, value in row.items()], ["", "value"])
    if row["status"] in {"queued", "running"}:
        print_text(in_words(progress))
    elif row["status"] == "finished" and progress.expected_seconds is not None:
        took = sum(row[name] or 0.0 for name in ("train_seconds", "evaluation_seconds", "snapshot_seconds"))
        print_text(f"Expected {in_minutes(progress.expected_seconds)}, took {in_minutes(took)}.")


@runs_group.command("cancel")
@click.argument("run")
@pass_settings
def cancel(settings: Settings, run: str) -> None:
    """Stop a run after its current step; it can be resumed."""
    workspace = settings.open()
    workspace.cancel(run)
    deadline = time.monotonic() + _CANCEL_SECONDS
    while workspace.progress(run).status == "running" and time.monotonic() < deadline:
        time.sleep(0.2)
    workspace.sync()
    _answer(settings, _state(workspace, run))


@runs_group.command("resume")
@click.argument("run")
@detach_option
@pass_settings
def resume(settings: Settings, run: str, detach: bool) -> None:
    """Go on with a run from its newest checkpoint; nothing happens if it has finished."""
    workspace = settings.open()
    if workspace.run(run)["status"] != "finished":
        workspace.resume(run)
    _answer(settings, wait_for_run(workspace, str(workspace.run(run)["run_id"]), detach=detach))


@runs_group.command("retry")
@click.argument("run")
@click.option("--from-scratch", is_flag=True, help="Forget its checkpoint and what it left, and begin anew.")
@detach_option
@pass_settings
def retry(settings: Settings, run: str, from_scratch: bool, detach: bool) -> None:
    """Try a run again that ended without finishing, from its newest checkpoint."""
    workspace = settings.open()
    workspace.retry(run, from_scratch=from_scratch)
    _answer(settings, wait_for_run(workspace, str(workspace.run(run)["run_id"]), detach=detach))


@runs_group.command("move")
@click.argument("run")
@click.option("--to", "position", type=int, required=True, metavar="N", help="Its new place: 1 is next.")
@pass_settings
def move(settings: Settings, run: str, position: int) -> None:
    """Give a run that waits another place in the queue."""
    workspace = settings.open()
    workspace.move(run, position)
    queue, row = workspace.queue().set_index("run_id"), _state(workspace, run)
    # It may have been taken from the queue by now: then it runs, at 0.
    place = int(queue["position"].get(row["run_id"], 0))
    if settings.as_json:
        print_json({**row, "position": place})
    else:
        print_text(f"Run {row['name']} is number {place} of those that wait." if place else "It runs already.")


@runs_group.command("log")
@click.argument("run")
@click.option("--lines", type=click.IntRange(min=1), default=40, show_default=True, metavar="N", help="How many.")
@pass_settings
def log(settings: Settings, run: str, lines: int) -> None:
    """Show the last lines that a run's training process printed."""
    workspace = settings.open()
    said = workspace.log_tail(run, lines)
    if settings.as_json:
        print_json({**_state(workspace, run), "log": said})
    else:
        print_text(said or "Its training process has printed nothing.")


def _state(workspace: Workspace, run: str) -> dict[str, str]:
    row = workspace.run(run)
    return {name: str(row[name]) for name in ("run_id", "name", "status")}
