"""`ftft demo`, `experiment`, `experiments` and `compare`: methods side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ftft_core.cli.app import Settings, cli, pass_settings
from ftft_core.cli.output import print_json, print_table, print_text, say, write_whole
from ftft_core.cli.plans import measured
from ftft_core.cli.runs import detach_option
from ftft_core.cli.watching import Watcher
from ftft_core.comparison import to_records
from ftft_core.comparison.pairs import Pair, mcnemar
from ftft_core.config import METHODS
from ftft_core.errors import InputError, RunError, unknown
from ftft_core.experiments import (
    ExperimentFolder,
    ExperimentPlan,
    Recipe,
    drive,
    experiments,
    find,
    follow,
    mapping_of,
    prepare_demo,
    preview,
    preview_values,
    raise_problems,
    read_values,
    resume,
    start_experiment,
    stop,
    yaml_of,
)
from ftft_core.planning import amount_words, flops_words
from ftft_core.run_folder import start_detached
from ftft_core.workspace import ComparisonReport, Workspace

_SERVE_HINT = "`ftft serve` opens the data map and the comparison at http://127.0.0.1:8501 (or the next free port)."


@cli.command("demo")
@detach_option
@pass_settings
def demo(settings: Settings, detach: bool) -> None:
    """Do the main job on the sample suite: reference, map, selection, four methods, and one table.

    Trains what is missing in the workspace, and goes on where an interruption left it.
    """
    if detach:
        _detach(settings, ["demo"])
        return
    workspace = settings.open()
    recipe = prepare_demo(workspace)
    say(f"Workspace {workspace.folder}; the map can be looked at as soon as the reference is done: {_SERVE_HINT}")
    plan = preview(workspace, recipe)
    raise_problems(plan)
    _run(workspace, recipe, measured(workspace, recipe, plan))
    report = workspace.compare(recipe.suite)
    if settings.as_json:
        print_json(report.comparison.records())
    else:
        _print_report(report)
        print_text(_SERVE_HINT)


@cli.command("experiment")
@click.argument("recipe")
@click.option("--dry-run", is_flag=True, help="Say what it would take, or all that speaks against it; start nothing.")
@click.option(
    "--warm-up/--no-warm-up",
    default=True,
    help="Take a few steps to measure what runs take, where no earlier ones tell; once for the same settings.",
)
@detach_option
@pass_settings
def experiment(settings: Settings, recipe: str, dry_run: bool, warm_up: bool, detach: bool) -> None:
    """Run the methods and seeds of RECIPE (a YAML file), only what is missing.

    Before it starts it says how many runs there are and are missing, their FLOPs, and about how long they take.
    """
    workspace = settings.open()
    values = read_values(recipe)
    parsed, plan = preview_values(workspace, values, what=f"The recipe {recipe}")
    if parsed is None:
        count = len(plan.problems)
        raise InputError(f"The recipe {recipe} has {count} problem{'s' * (count != 1)}.", plan.problems)
    raise_problems(plan)
    if warm_up:
        plan = measured(workspace, parsed, plan)
    if dry_run:
        _print_plan(settings, plan)
        if not warm_up and not plan.is_measured:
            say("note: leave out --no-warm-up, and what it takes is measured by a few steps.")
    elif detach:
        say(f"{plan.words}.")
        _say_started(settings, start_experiment(workspace, parsed, plan=plan))
    else:
        runs = _run(workspace, parsed, plan)
        if settings.as_json:
            print_json({"suite": parsed.suite, "runs": runs})
        else:
            _print_report(workspace.compare(parsed.suite))


def _run(workspace: Workspace, recipe: Recipe, plan: ExperimentPlan) -> list[dict[str, Any]]:
    say(f"{plan.words}.")
    try:
        with Watcher(workspace) as watcher:
            drive(workspace, recipe, plan=plan, watch=watcher.show_plan)
    except KeyboardInterrupt:
        raise RunError("Stopped; the same command goes on from here.") from None
    return [{"run_id": run.run_id, "key": run.key, "status": run.status} for run in plan.runs]


def _print_plan(settings: Settings, plan: ExperimentPlan) -> None:
    costs = [
        {
            "method": cost.label,
            "runs": cost.num_runs,
            "finished": cost.num_finished,
            "FLOPs of one": None if cost.flops is None else flops_words(cost.flops),
            "share of plain fine-tuning": None if cost.share is None else f"{amount_words(100 * cost.share)} %",
        }
        for cost in plan.methods
    ]
    if settings.as_json:
        runs = [
            {"key": run.key, "run_id": run.run_id, "status": run.status, "seconds": run.seconds} for run in plan.runs
        ]
        facts = {"num_runs": len(plan.runs), "num_finished": plan.num_finished, "num_missing": plan.num_missing}
        methods = [asdict(cost) for cost in plan.methods]
        costs_left = {"flops": plan.flops, "seconds": plan.seconds, "erm_flops": plan.erm_flops}
        said = {"words": plan.words, "remarks": plan.remarks}
        print_json({**facts, **costs_left, **said, "methods": methods, "runs": runs})
        return
    print_text(f"{plan.words}.")
    print_table(costs, list(costs[0]))
    for remark in plan.remarks:
        say(remark)


def _say_started(settings: Settings, folder: ExperimentFolder) -> None:
    facts = {"experiment": folder.experiment, "process": folder.read_state()["pid"], "log": folder.log}
    if settings.as_json:
        print_json(facts)
    else:
        print_text(
            f"Process {facts['process']} works on experiment {folder.experiment}; `ftft experiments list` shows how "
            "far it is."
        )


@cli.group("experiments")
def of_experiments() -> None:
    """List experiments, and stop or go on with one."""


@of_experiments.command("list")
@click.option("--suite", metavar="TEXT", help="Only those on this suite.")
@pass_settings
def list_all(settings: Settings, suite: str | None) -> None:
    """List experiments, wherever they were started: those under way, then the one that changed last."""
    workspace = settings.open()
    rows = []
    for each in experiments(workspace, suite):
        seen = follow(workspace, each)
        rows.append(
            {
                "experiment": each.experiment,
                "suite": each.suite,
                "status": each.status,
                "runs": len(each.runs),
                "finished": seen.num_finished,
                "fraction": seen.fraction,
                "seconds_left": seen.seconds_left,
                "message": each.message,
            }
        )
    if settings.as_json:
        print_json(rows)
    elif rows:
        print_table(rows, list(rows[0]))
    else:
        print_text("There is no experiment yet; `ftft experiment RECIPE.yaml` starts one.")


@of_experiments.command("stop")
@click.argument("experiment")
@pass_settings
def stop_one(settings: Settings, experiment: str) -> None:
    """Stop EXPERIMENT; each of its runs that trains writes a checkpoint first."""
    stop(settings.open(), experiment)
    words = f"Experiment {experiment} stops; `ftft experiments resume {experiment}` goes on with it."
    _tell(settings, experiment, "stopping", words)


@of_experiments.command("resume")
@click.argument("experiment")
@pass_settings
def resume_one(settings: Settings, experiment: str) -> None:
    """Go on with EXPERIMENT, in the background: only what is missing is trained."""
    _say_started(settings, resume(settings.open(), experiment))


@of_experiments.command("recipe")
@click.argument("experiment")
@pass_settings
def recipe_one(settings: Settings, experiment: str) -> None:
    """Print the recipe of EXPERIMENT."""
    recipe = mapping_of(find(settings.open().folder, experiment).read().recipe)
    if settings.as_json:
        print_json(recipe)
    else:
        print_text(yaml_of(recipe))


def _tell(settings: Settings, experiment: str, status: str, words: str) -> None:
    if settings.as_json:
        print_json({"experiment": experiment, "status": status})
    else:
        print_text(words)


def _detach(settings: Settings, arguments: list[str]) -> None:
    workspace = Workspace(settings.workspace)
    log = workspace.folder / "experiment.log"
    pid = start_detached("ftft_core", [*arguments, "--workspace", workspace.folder], log=log)
    if settings.as_json:
        print_json({"process": pid, "log": log})
    else:
        print_text(f"Process {pid} works on it; `ftft runs list` shows how far it is.")


@cli.command("compare")
@click.option("--suite", required=True, metavar="TEXT", help="The suite whose finished runs are compared.")
@click.option("--baseline", default="erm", show_default=True, metavar="METHOD", help="What differences are taken to.")
@click.option("--out", metavar="FILE", help="Write the comparison to a .csv, .md or .tex file.")
@click.option("--pair", nargs=2, metavar="A B", help="Compare these two methods point by point, on --split.")
@click.option("--split", metavar="TEXT", help="The split that --pair is about.")
@pass_settings
def compare(
    settings: Settings, suite: str, baseline: str, out: str | None, pair: tuple[str, str] | None, split: str | None
) -> None:
    """Compare methods in and out of distribution, with 95 % intervals and what each cost."""
    compared = [method for method in METHODS if method != "reference"]
    if baseline not in compared:
        raise InputError(f"--baseline: {unknown('method', baseline, compared)}")
    if (pair is None) != (split is None) or (pair is not None and out is not None):
        raise InputError("--pair A B and --split go together, and without --out; give both, or neither.")
    if pair is not None and pair[0] == pair[1]:
        raise InputError(f"--pair: received {pair[0]!r} twice; give two methods, or the ids of two versions of one.")
    workspace = settings.open()
    report = workspace.compare(suite, baseline=baseline)
    if pair is not None and split is not None:
        _say_versions(report, pair)
        _print_pair(settings, workspace.compare_pair(report, *pair, split), pair)
        return
    if out is not None:
        path = write_whole(out, _REPORT_WRITERS, report)
        say(f"The comparison was written to {path}.")
        for note in report.notes:
            say(f"note: {note}")
    if settings.as_json:
        print_json(report.comparison.records())
    elif out is None:
        _print_report(report)


def _say_versions(report: ComparisonReport, names: Sequence[str]) -> None:
    """Say which version of a method a name stands for, and how others are named."""
    for name in names:
        versions = report.versions(name)
        if len(versions) > 1:
            others = "; ".join(f"{each.id} is {each.name}" for each in versions[1:])
            say(
                f"note: {name} has {len(versions)} versions. This is {versions[0].name}; for another give its id: "
                f"{others}."
            )


def _print_pair(settings: Settings, pair: Pair, names: tuple[str, str]) -> None:
    counts = pair.counts()
    p_value = mcnemar(counts["won"], counts["lost"])
    if settings.as_json:
        print_json(
            {
                "split": pair.split,
                "first": pair.first.id,
                "second": pair.second.id,
                "labels": pair.labels,
                "counts": counts,
                "mcnemar_p": p_value,
                "differences": {metric: asdict(found) for metric, found in pair.differences.items()},
                "confusions": {side: getattr(pair, side).confusion.tolist() for side in ("first", "second")},
                "groups": to_records(pair.groups),
            }
        )
        return
    first, second = names
    found = pair.differences["accuracy"]
    print_text(
        f"{pair.split}: of {len(pair.gold):,} examples only {first} is right in most seeds on {counts['won']:,}, only "
        f"{second} on {counts['lost']:,} (McNemar's exact p = {p_value:.3g}); difference in accuracy "
        f"{100 * found.delta:+.1f} points, 95 % interval {100 * found.low:+.1f} to {100 * found.high:+.1f}."
    )
    groups = pair.groups[pair.groups["metric"] == "accuracy"]
    if len(groups):
        print_text("")
        numbers = ["first", "second", "delta", "low", "high"]
        rows = (groups.assign(**{name: 100 * groups[name] for name in numbers})).to_dict("records")
        title = f"Accuracy of {first} (first) and {second} (second) in percent; marked: holds after Holm's correction"
        print_table(rows, ["group", "num_examples", *numbers, "marked"], title=title)
    for note in pair.notes:
        say(f"note: {note}")


def _print_report(report: ComparisonReport) -> None:
    if report.rows.empty:
        print_text("\n".join(report.notes))
        return
    print_text(report.as_markdown(["accuracy"]))
    print_text("")
    print_table(_costs(report), ["method", "TFLOP", "share of FLOPs", "minutes", "share of time", "steps"])
    if report.together:
        print_text(report.together)
    print_text("")
    print_text(report.conclusion)
    for note in report.notes:
        say(f"note: {note}")


def _costs(report: ComparisonReport) -> list[dict[str, Any]]:
    """The cost of each method with its reference's, for display."""
    names = {column.id: column.name for column in report.columns}
    return [
        {
            "method": names[method.id],
            "TFLOP": None if row["flops"] is None else row["flops"] / 1e12,
            "share of FLOPs": row["flops_share"],
            "minutes": None if row["seconds"] is None else row["seconds"] / 60,
            "share of time": row["seconds_share"],
            "steps": row["optimizer_steps"],
        }
        for method, row in zip(report.comparison.methods, to_records(report.costs), strict=True)
    ]


def _write(render: Callable[[ComparisonReport], str]) -> Callable[[ComparisonReport, Path], None]:
    def write(report: ComparisonReport, path: Path) -> None:
        path.write_text(render(report), encoding="utf-8")

    return write


_REPORT_WRITERS = {
    ".csv": _write(ComparisonReport.as_csv),
    ".md": _write(ComparisonReport.as_markdown_file),
    ".tex": _write(ComparisonReport.as_latex_file),
}
