"""`ftft transfer`: whether the map of one run can stand in for another's, and maps averaged over runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
import numpy as np
import pandas as pd

from ftft_core.cli.app import Settings, cli, pass_settings
from ftft_core.cli.output import print_json, print_table, print_text, say, write_frame
from ftft_core.cli.subsets import print_subset
from ftft_core.comparison import SCORE_ENDS, UNSURE
from ftft_core.errors import InputError, unknown
from ftft_core.workspace import ProbeReport, TransferReport, Workspace

_TABLES = {
    "reference": "reference", "overlap": "overlap", "correlation": "correlation",
    "corrected_correlation": "corrected", "easy_share": "easy", "never_learnt_share": "never learnt",
    "easy_for_main": "easy for main", "cost_share": "cost share", "good_enough": "good enough",
}  # fmt: skip
"""Column of the advice -> what the table calls it."""


@cli.command("transfer")
@click.argument("runs", nargs=-1, required=True)
@click.option("--fraction", type=float, metavar="X", help="Share of the examples in each set. [default: a third]")
@click.option("--score", metavar="TEXT",
              help=f"What the sets are chosen by: one of {', '.join(SCORE_ENDS)}. [default: variability]")  # fmt: skip
@click.option(
    "--main", metavar="RUN", help="A run of the main model; the most expensive plain fine-tuning run when left out."
)
@click.option("--probe", metavar="RUN", help="A short run of the main model: estimate from it which of RUNS transfer.")
@click.option("--average", is_flag=True, help="Average the maps of RUNS into one, to be selected from or written.")
@click.option("--strategy", metavar="TEXT", help="With --average: save what it takes as a subset, such as ambiguous.")
@click.option("--name", metavar="TEXT", help="With --average: name of the subset.")
@click.option("--out", metavar="FILE", help="Write the table of references, or with --average the map, to a .csv, "
              ".parquet or .jsonl file.")  # fmt: skip
@pass_settings
def transfer(
    settings: Settings,
    /,
    runs: tuple[str, ...],
    fraction: float | None,
    score: str | None,
    main: str | None,
    probe: str | None,
    out: str | None,
    **averaging: Any,
) -> None:
    """Compare the data maps of RUNS: do they call the same examples ambiguous, and which reference is good enough?"""
    if score is not None and score not in SCORE_ENDS:
        raise InputError(f"--score: {unknown('score', score, SCORE_ENDS)}")
    workspace = settings.open()
    if averaging["average"]:
        given = {"main": main, "probe": probe, "score": score}
        strange = [f"--{name}" for name, value in given.items() if value is not None]
        if strange:
            raise InputError(f"--average makes a map and compares nothing; leave out {' and '.join(strange)}.")
        _average(settings, workspace, runs, averaging["strategy"], averaging["name"], fraction, out)
        return
    strange = [f"--{name}" for name in ("strategy", "name") if averaging[name] is not None]
    if strange:
        raise InputError(f"{' and '.join(strange)}: only --average saves a subset; add it, or use `ftft select`.")
    fraction, score = 1 / 3 if fraction is None else fraction, score or "variability"
    if probe is not None and main is not None:
        raise InputError("--probe is a run of the main model, and says which that is; leave out --main.")
    if probe is not None:
        _estimate(settings, workspace.estimate_transfer(probe, runs, fraction=fraction, score=score), out)
        return
    report = workspace.transfer_report(runs, main=main, fraction=fraction, score=score)
    if out is not None:
        say(f"The table of references was written to {write_frame(report.advice.references, out)}.")
    if settings.as_json:
        print_json(_as_document(report))
    elif out is None:
        _print(report)


def _average(
    settings: Settings,
    workspace: Workspace,
    runs: tuple[str, ...],
    strategy: str | None,
    name: str | None,
    fraction: float | None,
    out: str | None,
) -> None:
    if strategy is None and out is None:
        raise InputError(
            "--average needs to know what becomes of the map: give --strategy and --fraction (and --name) to save a "
            "subset, or --out to write the map to a file."
        )
    if strategy is None and (name is not None or fraction is not None):
        raise InputError("--name and --fraction say what to save as a subset; give --strategy too.")
    ids = tuple(str(row["run_id"]) for row in workspace.runs_on_same_data(runs))
    if out is not None:
        average = workspace.average_frame(ids)
        path = write_frame(average, out)
        if strategy is None and settings.as_json:
            print_json({"file": path, "num_examples": len(average)})
        else:
            say(f"The average of {len(ids)} maps, {len(average):,} examples, was written to {path}.")
    if strategy is not None:
        recipe = workspace.average_recipe(ids, strategy, fraction)
        print_subset(settings, workspace, workspace.save_subset(recipe, name=name))


def _estimate(settings: Settings, report: ProbeReport, out: str | None) -> None:
    if out is not None:
        say(f"The estimates were written to {write_frame(report.estimate.references, out)}.")
    if settings.as_json:
        counts = {
            key: getattr(report.counts, key) for key in ("right", "total", "pairs_right", "pairs_total", "suites")
        }
        print_json(
            {
                "probe": report.probe,
                "chosen": report.estimate.chosen,
                "references": report.estimate.references,
                "sentences": report.estimate.sentences,
                "counts": counts,
            }
        )
    elif out is None:
        columns = ["reference", "overlap", "expected", "chance", "correlation", "num_examples", "good_enough"]
        print_table(report.estimate.references.to_dict("records"), columns, title=f"Estimated from {report.probe}")
        print_text("\n".join(["", *report.estimate.sentences, report.counts.words]))


def _as_document(report: TransferReport) -> dict[str, Any]:
    found = report.transfer
    return {
        "correlations": found.correlations,
        "overlaps": found.overlaps,
        "ambiguous_sets": found.ambiguous_sets,
        "notes": report.notes,
        "main": report.main.name,
        "groups": [_group(vars(each)) for each in report.candidates],
        "grid": report.grid,
        "ceiling": report.ceiling(),
        "needed_overlap": report.advice.needed_overlap,
        "chosen": report.advice.chosen,
        "references": report.advice.references,
        "sentences": report.advice.sentences,
        "reliabilities": report.reliabilities,
        "averages": report.averages,
        "scores": report.scores,
    }


def _group(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: facts[name] for name in ("name", "runs", "seeds", "model", "num_layers", "cost", "seconds")}


def _print(report: TransferReport) -> None:
    print_text("\n".join(report.advice.sentences[:1]))
    columns = ["group_a", "group_b", "overlap", "chance", "correlation", "num_pairs"]
    pairs = report.grid[report.grid["num_pairs"] > 0]
    print_text("")
    print_table(pairs.to_dict("records"), columns, title=f"Rank correlation of {report.score}, and overlap of the "
                f"{SCORE_ENDS[report.score]} {report.fraction:.0%}")  # fmt: skip
    if len(report.candidates) > 1:
        print_text("")
        _print_frame(report.advice.references.rename(columns=_TABLES), list(_TABLES.values()),
                     f"References for {report.main.name}")  # fmt: skip
        table = report.advice.references
        if unsure := list(table.loc[table["corrected_is_unsure"], "reference"]):
            print_text(f"corrected: unsure for {', '.join(unsure)}, where two seeds of one model correlate by under "
                       f"{UNSURE:.2f}.")  # fmt: skip
    print_text("")
    names = ["group", "num_runs", "reliability_of_one", "reliability_of_average", "runs_needed"]
    _print_frame(report.reliabilities, names, "How far a map can be trusted")
    if len(report.averages):
        print_text("")
        names = ["average", "num_runs", "overlap", "correlation", "cost_share"]
        starred = report.averages["average"] + report.averages["same_seed"].map({True: "*", False: ""})
        _print_frame(report.averages.assign(average=starred), names,
                     "Averages, held against single runs of the main model")  # fmt: skip
        if report.averages["same_seed"].any():
            print_text("* held against a seed that is in the average, whose order of examples it shares: not to be "
                       "compared with the others.")  # fmt: skip
    if len(report.scores):
        print_text("")
        groups = list(dict.fromkeys(report.scores["group"]))
        table = report.scores.pivot(index="score", columns="group", values="correlation")[groups]
        ranked = table.iloc[np.argsort(-table[groups[-1]].fillna(-2.0), kind="stable")].reset_index()
        _print_frame(
            ranked, ["score", *groups], "Which score transfers best: rank correlation with the main model's runs"
        )
    print_text("\n".join(["", *report.advice.sentences[1:]]))
    for note in report.notes:
        if note not in report.advice.sentences:
            say(f"note: {note}")


def _print_frame(frame: pd.DataFrame, columns: list[str], title: str) -> None:
    print_table(frame.to_dict("records"), columns, title=title)
