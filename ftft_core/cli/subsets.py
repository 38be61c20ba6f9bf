"""`ftft subset`: what becomes of saved subsets."""

from __future__ import annotations

from typing import Any

import click

from ftft_core.cli.app import Settings, cli, pass_settings
from ftft_core.cli.output import print_json, print_table, print_text
from ftft_core.errors import FTFTError
from ftft_core.selection import Recipe, SetCondition, expression_names
from ftft_core.workspace import BALANCE_WAYS, RemadeSubset, SubsetComparison, SubsetRecord, Workspace
from ftft_core.workspace.exports import FORMATS

_seed = click.option(
    "--seed", type=click.IntRange(min=0), metavar="N", default=0, help="Seed of the draw. [default: 0]"
)
_new_name = click.option("--name", required=True, metavar="TEXT", help="Name of the new subset.")


@cli.group("subset")
def subset_group() -> None:
    """Subsets: listing, combining, balancing, comparing, making again, exporting, removing and restoring them."""


@subset_group.command("list")
@click.option("--removed", is_flag=True, help="Those that were removed and can be restored, last removed first.")
@pass_settings
def list_(settings: Settings, removed: bool) -> None:
    """List the subsets, oldest first."""
    workspace = settings.open()
    subsets = workspace.removed_subsets() if removed else workspace.subsets()
    if settings.as_json:
        print_json(subsets)
    elif removed:
        if subsets.empty:
            print_text("There is no removed subset.")
        else:
            print_table(subsets.to_dict("records"), ["subset", "name", "suite", "size", "removed_at"])
    elif subsets.empty:
        print_text("There is no subset yet: `ftft select RUN --strategy ambiguous --fraction 0.33` saves one.")
    else:
        columns = ["subset", "name", "suite", "source_run", "strategy", "fraction", "size"]
        print_table(subsets.to_dict("records"), columns)


@subset_group.command("show")
@click.argument("subset")
@pass_settings
def show(settings: Settings, subset: str) -> None:
    """Show how a subset was made, its label balance, who uses it, and whether its recipe would now give another."""
    workspace = settings.open()
    record = workspace.subset(subset)
    balance, users = workspace.subset_labels(record.subset), workspace.subset_users(record.subset)
    remade: RemadeSubset | None = None
    try:
        remade = workspace.remake_subset(record.subset)
        now = _difference(remade)
    except FTFTError as failure:
        now = f"The recipe can't be followed any more: {failure.message}"
    if settings.as_json:
        facts = {"suite": record.suite, "source_run": record.source_run, "labels": balance, "used_by": users}
        facts |= {"recipe": record.recipe.model_dump(mode="json", exclude_none=True)}
        print_json({**_facts(record), **facts, "remade": _counts(remade) if remade else None, "remade_in_words": now})
        return
    labels = ", ".join(f"{count:,} {label}" for label, count in balance.items())
    print_text(f"subset {record.name} ({record.subset}) of suite {record.suite}")
    print_text(f"{workspace.recipe_words(record.recipe)}\n{record.size:,} examples: {labels}")
    if users:
        print_text(f"used by {', '.join(users)}")
    print_text(now)


@subset_group.command("combine")
@click.argument("expression")
@_new_name
@pass_settings
def combine(settings: Settings, expression: str, name: str) -> None:
    """Save a combination of subsets: A & B (both), A | B (either), A - B (without), with parentheses."""
    workspace = settings.open()
    operands = {operand: workspace.subset(operand).subset for operand in expression_names(expression)}
    recipe = Recipe(conditions=(SetCondition(expression=expression, operands=operands),))
    print_subset(settings, workspace, workspace.save_subset(recipe, name=name))


@subset_group.command("balance")
@click.argument("subset")
@click.option("--how", metavar="TEXT", default="equal", help=f"One of {', '.join(BALANCE_WAYS)}. [default: equal]")
@_new_name
@_seed
@pass_settings
def balance(settings: Settings, subset: str, how: str, name: str, seed: int) -> None:
    """Save a part of a subset, drawn at random, whose labels are balanced: equal, or as in the suite."""
    workspace = settings.open()
    print_subset(settings, workspace, workspace.balance_subset(subset, how=how, name=name, seed=seed))


@subset_group.command("twin")
@click.argument("subset")
@_new_name
@_seed
@click.option("--same-labels", is_flag=True, help="As many of each label as the subset has.")
@pass_settings
def twin(settings: Settings, subset: str, name: str, seed: int, same_labels: bool) -> None:
    """Save a random subset of the same size from the same suite: an honest baseline."""
    workspace = settings.open()
    print_subset(settings, workspace, workspace.random_twin(subset, name=name, seed=seed, same_labels=same_labels))


@subset_group.command("compare")
@click.argument("a")
@click.argument("b")
@click.option("--run", metavar="TEXT", help="Give the median scores of this run, too.")
@pass_settings
def compare(settings: Settings, a: str, b: str, run: str | None) -> None:
    """Say what two subsets share, and how their labels and scores differ."""
    comparison = settings.open().compare_subsets(a, b, run=run)
    if settings.as_json:
        print_json(
            {
                "a": _facts(comparison.a),
                "b": _facts(comparison.b),
                "num_train": comparison.num_train,
                "num_shared": comparison.num_shared,
                "num_only_a": comparison.num_only_a,
                "num_only_b": comparison.num_only_b,
                "jaccard": comparison.jaccard,
                "jaccard_by_chance": comparison.jaccard_by_chance,
                "labels": comparison.labels,
                "medians": comparison.medians,
            }
        )
    else:
        _print_comparison(comparison)


def _print_comparison(comparison: SubsetComparison) -> None:
    a, b = comparison.a.name, comparison.b.name
    print_text(
        f"a: {a}, {comparison.a.size:,} examples\nb: {b}, {comparison.b.size:,} examples\n"
        f"in both {comparison.num_shared:,}, only in a {comparison.num_only_a:,}, only in b {comparison.num_only_b:,}\n"
        f"Jaccard overlap {comparison.jaccard:.3f}, by chance {comparison.jaccard_by_chance:.3f}"
    )
    for frame in (comparison.labels, comparison.medians):
        if frame is not None:
            print_text("")
            print_table(frame.to_dict("records"), list(frame.columns))


@subset_group.command("remake")
@click.argument("subset")
@click.option("--name", metavar="TEXT", help="Save what the recipe gives now under this name.")
@pass_settings
def remake(settings: Settings, subset: str, name: str | None) -> None:
    """Follow the recipe of a subset again: say what would differ, or with --name save it as a new subset."""
    workspace = settings.open()
    remade = workspace.remake_subset(subset, save=name is not None, name=name)
    if settings.as_json:
        print_json({**(_facts(remade.saved) if remade.saved else {}), **_counts(remade)})
        return
    print_text(_difference(remade))
    if remade.saved is not None:
        print_subset(settings, workspace, remade.saved)


@subset_group.command("rename")
@click.argument("subset")
@click.argument("name")
@pass_settings
def rename(settings: Settings, subset: str, name: str) -> None:
    """Give a subset another name."""
    workspace = settings.open()
    print_subset(settings, workspace, workspace.rename_subset(subset, name))


@subset_group.command("export")
@click.argument("subset")
@click.argument("file")
@click.option(
    "--format", "kind", metavar="FORMAT", help=f"One of {', '.join(FORMATS)}; by FILE's ending when left out."
)
@click.option("--run", metavar="RUN", help="Add the scores of this run.")
@pass_settings
def export_subset(settings: Settings, subset: str, file: str, kind: str | None, run: str | None) -> None:
    """Write the examples of a subset, with their texts, to a .csv, .jsonl or .parquet FILE, or a folder of datasets."""
    workspace = settings.open()
    record = workspace.subset(subset)
    path = workspace.export_subset(record.subset, file, run=run, file_format=kind)
    if settings.as_json:
        print_json({**_facts(record), "file": path})
    else:
        print_text(f"{record.size:,} examples of subset {record.name} were written to {path}.")


@subset_group.command("remove")
@click.argument("subset")
@pass_settings
def remove(settings: Settings, subset: str) -> None:
    """List a subset no more and free its name; refused while runs or other subsets were made from it."""
    removed = settings.open().remove_subset(subset)
    if settings.as_json:
        print_json({"removed": subset})
    else:
        print_text(f"Subset {subset} was removed; `ftft subset restore {removed}` brings it back.")


@subset_group.command("restore")
@click.argument("subset")
@click.option("--name", metavar="TEXT", help="Restore it under this name; its own when left out.")
@pass_settings
def restore(settings: Settings, subset: str, name: str | None) -> None:
    """Bring a removed subset back, by its id or its name (the last removed of that name)."""
    workspace = settings.open()
    print_subset(settings, workspace, workspace.restore_subset(subset, name=name))


def print_subset(settings: Settings, workspace: Workspace, record: SubsetRecord) -> None:
    """Print a subset that was just made or changed."""
    if settings.as_json:
        print_json(_facts(record))
        return
    words = workspace.recipe_words(record.recipe)
    print_text(f"Subset {record.name} ({record.subset}): {record.size:,} examples, {words}.")


def _facts(record: SubsetRecord) -> dict[str, Any]:
    return {"subset": record.subset, "name": record.name, "size": record.size}


def _counts(remade: RemadeSubset) -> dict[str, Any]:
    return {"size_now": remade.size, "num_added": remade.num_added, "num_lost": remade.num_lost}


def _difference(remade: RemadeSubset) -> str:
    if not remade.differs:
        return "The recipe gives the same examples today."
    return (
        f"The recipe would give something else today: {remade.size:,} examples, {remade.num_added:,} of them new, "
        f"and {remade.num_lost:,} that are in the subset left out."
    )
