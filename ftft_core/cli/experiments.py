"""`ftft demo`, `experiment` and `compare`: methods side by side."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ftft_core.cli.app import Settings, cli, pass_settings
from ftft_core.cli.output import print_json, print_table, print_text, say, write_whole
from ftft_core.cli.runs import detach_option
from ftft_core.cli.watching import Watcher
from ftft_core.comparison import to_csv, to_records
from ftft_core.comparison.pairs import Pair, mcnemar
from ftft_core.config import METHODS
from ftft_core.errors import InputError, RunError, unknown
from ftft_core.experiments import Recipe, plan_experiment, prepare_demo, read_recipe, run_experiment, stop_experiment
from ftft_core.jobs.queue import child_environment
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
    _run(workspace, recipe)
    report = workspace.compare(recipe.suite)
    if settings.as_json:
        print_json(report.comparison.records())
    else:
        _print_report(report)
        print_text(_SERVE_HINT)


@cli.command("experiment")
@click.argument("recipe")
@detach_option
@pass_settings
def experiment(settings: Settings, recipe: str, detach: bool) -> None:
    """Run the methods and seeds of RECIPE (a YAML file), only what is missing."""
    workspace = settings.open()
    parsed = read_recipe(recipe)
    if detach:
        plan_experiment(workspace, parsed)
        _detach(settings, ["experiment", str(Path(recipe).resolve())])
        return
    runs = _run(workspace, parsed)
    if settings.as_json:
        print_json({"suite": parsed.suite, "runs": runs})
    else:
        _print_report(workspace.compare(parsed.suite))


def _run(workspace: Workspace, recipe: Recipe) -> list[dict[str, Any]]:
    planned = plan_experiment(workspace, recipe)
    missing = [run for run in planned if run.status != "finished"]
    say(f"{len(planned)} runs, {len(planned) - len(missing)} of them finished already, {len(missing)} to do.")
    try:
        with Watcher(workspace) as watcher:
            run_experiment(workspace, planned, watch=watcher.show_plan)
    except KeyboardInterrupt:
        say("Stopping: the run that trains finishes its step and writes a checkpoint.")
        stop_experiment(workspace, planned)
        raise RunError("Stopped; the same command goes on from here.") from None
    return [{"run_id": run.run_id, "key": run.key, "status": run.status} for run in planned]


def _detach(settings: Settings, arguments: list[str]) -> None:
    workspace = Workspace(settings.workspace)
    with (workspace.folder / "experiment.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "ftft_core", *arguments, "--workspace", str(workspace.folder)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=child_environment(),
        )
    if settings.as_json:
        print_json({"process": process.pid, "log": workspace.folder / "experiment.log"})
    else:
        print_text(f"Process {process.pid} works on it; `ftft runs list` shows how far it is.")


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
    if baseline not in METHODS:
        raise InputError(f"--baseline: {unknown('method', baseline, METHODS)}")
    if (pair is None) != (split is None) or (pair is not None and out is not None):
        raise InputError("--pair A B and --split go together, and without --out; give both, or neither.")
    workspace = settings.open()
    report = workspace.compare(suite, baseline=baseline)
    if pair is not None and split is not None:
        _print_pair(settings, workspace.compare_pair(report, *pair, split), pair)
        return
    if out is not None:
        path = write_whole(out, _REPORT_WRITERS, report)
        say(f"The comparison was written to {path}.")
    if settings.as_json:
        print_json(report.comparison.records())
    elif out is None:
        _print_report(report)


def _print_pair(settings: Settings, pair: Pair, names: tuple[str, str]) -> None:
    counts = pair.counts()
    p_value = mcnemar(counts["won"], counts["lost"])
    if settings.as_json:
        print_json(
            {
                "split": pair.split,
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
        columns = ["group", "num_examples", "first", "second", "delta", "low", "high", "marked"]
        print_table(groups.to_dict("records"), columns, title=f"Accuracy of {first} (first) and {second} (second)")
    for note in pair.notes:
        say(f"note: {note}")


def _print_report(report: ComparisonReport) -> None:
    if report.rows.empty:
        print_text("\n".join(report.notes))
        return
    print_text(report.as_markdown(["accuracy"]))
    print_text("")
    print_table(_costs(report), ["method", "TFLOP", "share of FLOPs", "minutes", "share of time", "steps"])
    print_text("")
    print_text(report.conclusion)
    for note in report.notes:
        say(f"note: {note}")


def _costs(report: ComparisonReport) -> list[dict[str, Any]]:
    """The cost of each method with its reference's, for display."""
    names = {column.column: column.name for column in report.columns}
    return [
        {
            "method": names[method.column],
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
    ".csv": _write(lambda report: to_csv(report.rows)),
    ".md": _write(ComparisonReport.as_markdown),
    ".tex": _write(ComparisonReport.as_latex),
}
