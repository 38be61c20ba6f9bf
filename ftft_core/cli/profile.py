"""`ftft profile`: what sets a selection of a map apart from the rest."""

from __future__ import annotations

import sys
from typing import Any

import click
import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ftft_core.cli.app import Settings, cli, config_options, pass_settings
from ftft_core.cli.output import print_json, print_table, print_text
from ftft_core.config import parse
from ftft_core.errors import InputError
from ftft_core.profile import IN_SAMPLE, Profile, describe, percent
from ftft_core.selection import STRATEGIES, Recipe, in_words

_MOST_ROWS = 12


@cli.command("profile")
@click.argument("run")
@click.option("--where", metavar="FILTER", help='The examples that a filter leaves, such as "confidence < 0.4".')
@click.option("--subset", metavar="TEXT", help="The examples of this subset (id or name).")
@click.option("--strategy", metavar="TEXT", help=f"One of {', '.join(STRATEGIES)}; or top:SCORE, bottom:SCORE.")
@config_options(Recipe, ["fraction", "balance", "seed", "epochs"])
@pass_settings
def profile(
    settings: Settings, /, run: str, where: str | None, subset: str | None, strategy: str | None, **given: Any
) -> None:
    """Say what sets some examples on the map of RUN apart: labels, words, scores, probable label errors."""
    if where is not None and not where.strip():
        raise InputError("--where: received an empty filter; give one, such as 'confidence < 0.4', or leave it out.")
    if where is None and subset is None and strategy is None:
        raise InputError(
            "Which examples? Give at least one of --where FILTER, --subset X, and --strategy S with --fraction F."
        )
    workspace = settings.open()
    chosen = workspace.run(run)
    conditions: list[dict[str, Any]] = []
    if subset is not None:
        record = workspace.subset(subset)
        if record.suite != chosen["suite"]:
            raise InputError(
                f"Subset '{subset}' is of suite '{record.suite}', run '{run}' of suite '{chosen['suite']}'; "
                "a subset can be looked at on maps of its own suite."
            )
        conditions.append({"kind": "set", "expression": record.name, "operands": {record.name: record.subset}})
    if where is not None:
        conditions.append({"kind": "where", "expression": where})
    values = {key: value for key, value in given.items() if value is not None}
    values |= {"source_run": chosen["run_id"], "strategy": strategy, "conditions": conditions}
    recipe = parse(Recipe, values, what="The selection")
    ids = workspace.preview_subset(recipe)
    with _words_progress() as progress:
        task = progress.add_task("reading the texts", visible=False)
        source = workspace.profile_source(
            chosen["run_id"],
            epochs=recipe.epochs,
            on_progress=lambda done, total: progress.update(task, completed=done, total=total, visible=True),
        )
    mask = pd.Index(source.data_map["example_id"]).isin(ids)
    found = describe(source, np.asarray(mask, dtype=bool))
    if settings.as_json:
        print_json({"run": chosen["run_id"], **_document(found)})
    else:
        counted = f"{found.num_selected:,} of {len(mask):,} examples ({percent(found.num_selected / len(mask))})"
        print_text(f"{counted}: {in_words(recipe, run_name=chosen['name'])}")
        print_text("")
        _print(found)


def _document(found: Profile) -> dict[str, Any]:
    issues = found.num_issues
    return {
        "num_selected": found.num_selected,
        "num_rest": found.num_rest,
        "sentences": found.sentences,
        "labels": found.labels,
        "groups": found.groups,
        "share_misread": dict(zip(("selected", "rest"), found.share_misread, strict=True)),
        "given_against_predicted": {str(name): row.to_dict() for name, row in found.confusion.iterrows()},
        "scores": found.scores,
        "lengths": None if found.lengths is None else found.lengths.to_dict("index"),
        "words": found.words,
        "curves": found.curves,
        "num_label_issues": None if issues is None else dict(zip(("selected", "rest"), issues, strict=True)),
    }


def _print(found: Profile) -> None:
    print_text("\n".join(f"  {sentence}" for sentence in found.sentences))
    print_text("")
    for name, table in (("Labels", found.labels), ("Groups", found.groups)):
        if len(table):
            columns = ["value", "num_selected", "share_selected", "share_rest", "lift"]
            most = table.sort_values("num_selected", ascending=False, kind="stable").head(_MOST_ROWS)
            print_table(most.to_dict("records"), columns, title=name)
            print_text("")
    columns = ["score", "median_selected", "median_rest", "probability_higher"]
    print_table(found.scores.head(_MOST_ROWS).to_dict("records"), columns, title="Scores, most different first")
    if found.words is not None and len(found.words):
        print_text("")
        columns = ["word", "num_selected", "num_rest", "share_selected", "share_rest", "z"]
        print_table(found.words.to_dict("records"), columns, title="Words, most distinctive first")
    if found.num_issues is not None and found.num_issues[0]:
        print_text(f"\nProbable label errors: {IN_SAMPLE}")


def _words_progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
