"""`ftft map`, `select`, `import` and `export`: data maps, and what is made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ftft_core.cartography import map_doubts
from ftft_core.cli.app import Settings, cli, config_options, pass_settings
from ftft_core.cli.output import print_json, print_table, print_text, say, write_frame
from ftft_core.cli.subsets import print_subset
from ftft_core.config import parse
from ftft_core.errors import InputError, one_of, unknown
from ftft_core.run_folder import ENDED
from ftft_core.selection import STRATEGIES, Recipe, leaving_out_excluded
from ftft_core.workspace import Workspace

_MAP_COLUMNS = ["example_id", "label", "predicted_label", "confidence", "variability", "correctness"]
_SHOWN_ROWS = 20
FORMATS = ("cartography", "ftft")


@cli.command("map")
@click.argument("run")
@click.option("--epochs", type=int, metavar="N", help="Only the first this many epochs.")
@click.option("--out", metavar="FILE", help="Write all scores of all examples to a .csv, .parquet or .jsonl file.")
@pass_settings
def map_(settings: Settings, run: str, epochs: int | None, out: str | None) -> None:
    """Give the data map of RUN: one row of scores per training example, in the order of the training file."""
    workspace = settings.open()
    data_map = workspace.data_map(run, epochs=epochs)
    _say_doubts(workspace, run)
    if out is not None:
        path = write_frame(data_map, out)
        if settings.as_json:
            print_json({"file": path, "num_examples": len(data_map)})
        else:
            print_text(f"{len(data_map):,} examples were written to {path}.")
    elif settings.as_json:
        print_json(data_map)
    else:
        most = data_map.sort_values("variability", ascending=False, kind="stable").head(_SHOWN_ROWS)
        print_table(most.to_dict("records"), _MAP_COLUMNS, title=f"The most ambiguous of {len(data_map):,} examples")


@cli.command("select")
@click.argument("run")
@click.option("--strategy", metavar="TEXT", help=f"One of {', '.join(STRATEGIES)}; or top:SCORE, bottom:SCORE.")
@config_options(Recipe, ["fraction", "balance", "seed", "epochs"])
@click.option("--where", metavar="FILTER", help='Filter before the fraction is taken, such as "confidence < 0.4".')
@click.option("--name", metavar="TEXT", help="Name of the subset; made from the strategy when left out.")
@pass_settings
def select(
    settings: Settings, /, run: str, strategy: str | None, where: str | None, name: str | None, **given: Any
) -> None:
    """Save a subset of the training examples, chosen by their place on the data map of RUN."""
    if where is not None and not where.strip():
        raise InputError("--where: received an empty filter; give one, such as 'confidence < 0.4', or leave it out.")
    workspace = settings.open()
    source_run = workspace.run(run)["run_id"]
    conditions = [{"kind": "where", "expression": where}] if where is not None else []
    values = {key: value for key, value in given.items() if value is not None}
    values |= {"source_run": source_run, "strategy": strategy, "conditions": conditions}
    recipe = parse(Recipe, values, what="The selection")
    if len(workspace.excluded_positions(str(workspace.run(run)["suite"]))):
        recipe = leaving_out_excluded(recipe)
    saved = workspace.save_subset(recipe, name=name)
    if recipe.strategy != "random":
        _say_doubts(workspace, source_run)
    print_subset(settings, workspace, saved)


def _say_doubts(workspace: Workspace, run: str) -> None:
    """Say beside the result why the map of all of a run's epochs tells little; early ones do, and that is no fault."""
    if workspace.run(run)["status"] in ENDED:
        for doubt in map_doubts(workspace.map_frame(run)):
            say(doubt)


@cli.command("import")
@click.argument("path")
@click.option("--format", "kind", required=True, metavar="FORMAT", help=f"One of {', '.join(FORMATS)}.")
@click.option("--name", required=True, metavar="TEXT", help="Name of the new run.")
@click.option("--suite", metavar="TEXT", help="The suite whose training examples these are, matched by their ids.")
@click.option("--model", metavar="TEXT", default="imported", help="The model that gave them.")
@pass_settings
def import_(settings: Settings, path: str, kind: str, name: str, suite: str | None, model: str) -> None:
    """Take in training dynamics that another tool recorded, as a run with a data map."""
    workspace = settings.open()
    run_id = workspace.import_dynamics(
        _read_dynamics(workspace, path, kind, suite), name=name, suite=suite, model=model
    )
    if settings.as_json:
        print_json({"run_id": run_id, "name": name, "status": "finished"})
    else:
        print_text(f"Run {name} ({run_id}) was imported: `ftft map {name}` gives its data map.")


def _read_dynamics(workspace: Workspace, path: str, kind: str, suite: str | None) -> Any:
    from ftft_core.interchange import read_cartography, read_ftft

    label_names = workspace.suite_labels(suite) if suite else None
    if kind == "cartography":
        return read_cartography(path, label_names=label_names)
    if kind == "ftft":
        if suite is None:
            raise InputError("--suite is needed with --format ftft: its files hold logits, but no gold labels.")
        from ftft_core.modeling.tensors import load_tensors

        return read_ftft(path, workspace.training_labels(suite), load_tensors=load_tensors, label_names=label_names)
    raise InputError(unknown("format", kind, FORMATS))


@cli.command("export")
@click.argument("run")
@click.argument("folder")
@click.option("--format", "kind", default="cartography", metavar="FORMAT", help="cartography.")
@pass_settings
def export(settings: Settings, run: str, folder: str, kind: str) -> None:
    """Write the training dynamics of RUN as allenai/cartography reads them."""
    from ftft_core.interchange import write_cartography

    if kind != "cartography":
        raise InputError(f"--format: received '{kind}'; allowed is {one_of(['cartography'])}.")
    path: Path = write_cartography(settings.open().dynamics(run), folder)
    if settings.as_json:
        print_json({"run": run, "folder": path})
    else:
        print_text(f"The dynamics of run {run} were written to {path}.")
