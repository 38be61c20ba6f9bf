"""`ftft map`, `select`, `subset`, `import` and `export`: data maps, and what is made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ftft_core.cli.app import Settings, cli, config_options, pass_settings
from ftft_core.cli.output import print_json, print_table, print_text, write_frame
from ftft_core.config import parse
from ftft_core.errors import InputError, one_of, unknown
from ftft_core.selection import STRATEGIES, Recipe, SetCondition, expression_names, in_words
from ftft_core.workspace import SubsetRecord, Workspace

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
    data_map = settings.open().data_map(run, epochs=epochs)
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
    _answer(settings, workspace, workspace.save_subset(recipe, name=name))


@cli.group("subset")
def subset_group() -> None:
    """Subsets: listing, showing, combining, exporting and removing them."""


@subset_group.command("list")
@pass_settings
def list_(settings: Settings) -> None:
    """List the subsets, oldest first."""
    subsets = settings.open().subsets()
    if settings.as_json:
        print_json(subsets)
    elif subsets.empty:
        print_text("There is no subset yet: `ftft select RUN --strategy ambiguous --fraction 0.33` saves one.")
    else:
        columns = ["subset", "name", "suite", "source_run", "strategy", "fraction", "size"]
        print_table(subsets.to_dict("records"), columns)


@subset_group.command("show")
@click.argument("subset")
@pass_settings
def show(settings: Settings, subset: str) -> None:
    """Show how a subset was made, and its label balance."""
    workspace = settings.open()
    record = workspace.subset(subset)
    members = workspace.subset_examples(record.subset)
    examples = workspace.examples(record.suite, "train", members["example_id"].tolist())
    balance = examples["label"].value_counts().to_dict()
    if settings.as_json:
        facts = {"suite": record.suite, "source_run": record.source_run, "labels": balance}
        print_json({**_facts(record), **facts, "recipe": record.recipe.model_dump(mode="json", exclude_none=True)})
    else:
        labels = ", ".join(f"{count:,} {label}" for label, count in balance.items())
        print_text(f"subset {record.name} ({record.subset}) of suite {record.suite}")
        print_text(f"{in_words(record.recipe)}\n{record.size:,} examples: {labels}")


@subset_group.command("combine")
@click.argument("expression")
@click.option("--name", required=True, metavar="TEXT", help="Name of the new subset.")
@pass_settings
def combine(settings: Settings, expression: str, name: str) -> None:
    """Save a combination of subsets: A & B (both), A | B (either), A - B (without), with parentheses."""
    workspace = settings.open()
    operands = {operand: workspace.subset(operand).subset for operand in expression_names(expression)}
    recipe = Recipe(conditions=(SetCondition(expression=expression, operands=operands),))
    _answer(settings, workspace, workspace.save_subset(recipe, name=name))


@subset_group.command("export")
@click.argument("subset")
@click.argument("file")
@pass_settings
def export_subset(settings: Settings, subset: str, file: str) -> None:
    """Write the examples of a subset, with their texts, to a .csv, .parquet or .jsonl file."""
    workspace = settings.open()
    record = workspace.subset(subset)
    members = workspace.subset_examples(subset)
    examples = workspace.examples(record.suite, "train", members["example_id"].tolist())
    path = write_frame(examples.assign(weight=members["weight"]).dropna(axis="columns", how="all"), file)
    if settings.as_json:
        print_json({**_facts(record), "file": path})
    else:
        print_text(f"{record.size:,} examples of subset {record.name} were written to {path}.")


@subset_group.command("remove")
@click.argument("subset")
@pass_settings
def remove(settings: Settings, subset: str) -> None:
    """Forget a subset; refused while runs were trained on it."""
    settings.open().remove_subset(subset)
    if settings.as_json:
        print_json({"removed": subset})
    else:
        print_text(f"Subset {subset} was removed.")


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


def _facts(record: SubsetRecord) -> dict[str, Any]:
    return {"subset": record.subset, "name": record.name, "size": record.size}


def _answer(settings: Settings, workspace: Workspace, record: SubsetRecord) -> None:
    if settings.as_json:
        print_json(_facts(record))
        return
    source = workspace.run(record.source_run)["name"] if record.source_run else None
    words = in_words(record.recipe, run_name=source)
    print_text(f"Subset {record.name} ({record.subset}): {record.size:,} examples, {words}.")
