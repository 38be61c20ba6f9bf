"""`ftft suite`: adding, listing, showing and removing suites."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from ftft_core.cli.app import Settings, cli, pass_settings
from ftft_core.cli.output import print_json, print_table, print_text, say
from ftft_core.store.splits import ExampleFilter
from ftft_core.suites import SpecText


@cli.group("suite")
def suite_group() -> None:
    """Suites: training data, an in-distribution dev and test split, and out-of-distribution test splits."""


@suite_group.command("add")
@click.argument("name")
@click.argument("spec")
@click.option("--drop-leaked", is_flag=True, help="Leave texts that also stand in dev or a test split out of training.")
@click.option("--folder", default=".", help="With SPEC -: what its paths are relative to.")
@pass_settings
def add(settings: Settings, name: str, spec: str, drop_leaked: bool, folder: str) -> None:
    """Load, validate and keep the suite that SPEC describes: a YAML file, or - for standard input."""
    workspace = settings.open()
    source: str | SpecText = spec
    if spec == "-":
        source = SpecText(sys.stdin.read(), Path(folder).expanduser())
    suite = workspace.add_suite(name, source, drop_leaked=drop_leaked)
    splits = workspace.suite_splits(name).drop(columns=["label_map"])
    if settings.as_json:
        print_json({"suite": suite.name, "splits": splits, "warnings": suite.warnings})
        return
    for warning in suite.warnings:
        say(f"warning: {warning}")
    print_table(splits.to_dict("records"), ["split", "role", "num_examples"], title=f"Suite {name} was added.")


@suite_group.command("list")
@pass_settings
def list_(settings: Settings) -> None:
    """List the suites."""
    suites = settings.open().suites()
    if settings.as_json:
        print_json(suites)
    elif suites.empty:
        print_text("There is no suite yet: `ftft suite add NAME SPEC.yaml` adds one, `ftft demo` the sample suite.")
    else:
        rows = suites.assign(labels=[", ".join(labels) for labels in suites["labels"]]).to_dict("records")
        print_table(rows, ["suite", "labels", "num_train", "num_splits", "created_at"])


@suite_group.command("show")
@click.argument("name")
@pass_settings
def show(settings: Settings, name: str) -> None:
    """Show the splits, labels, fingerprint and warnings of a suite."""
    workspace = settings.open()
    facts, splits = workspace.suite_facts(name), workspace.suite_splits(name)
    if settings.as_json:
        print_json({**facts, "splits": splits})
        return
    print_text(f"suite {name}\nlabels {', '.join(facts['labels'])}\nfingerprint {facts['fingerprint']}\n")
    print_table(splits.to_dict("records"), ["split", "role", "num_examples", "has_groups", "label_map"])
    for warning in facts["warnings"]:
        say(f"warning: {warning}")


@suite_group.command("examples")
@click.argument("name")
@click.argument("split")
@click.option("--search", default="", help="Only examples one of whose texts contains this; case is ignored.")
@click.option("--regex", is_flag=True, help="Take --search as a regular expression (RE2).")
@click.option("--label", help="Only examples of this label.")
@click.option("--group", help="Only examples of this group; an empty one for those without a group.")
@click.option("--offset", default=0, type=click.IntRange(min=0), help="How many to pass over.")
@click.option("--limit", default=20, type=click.IntRange(1, 10_000), help="How many to show.")
@pass_settings
def examples(settings: Settings, /, name: str, split: str, offset: int, limit: int, **wanted: Any) -> None:
    """Show examples of a split in file order; the beginnings of long texts."""
    page = settings.open().split_examples(name, split, ExampleFilter(**wanted), offset=offset, limit=limit)
    if settings.as_json:
        print_json({"total": page.total, "examples": page.rows})
        return
    optional = [column for column in ("text_pair", "group") if page.rows[column].notna().any()]
    print_table(page.rows.to_dict("records"), ["example_id", "text", "label", *optional])
    print_text(f"{len(page.rows):,} of {page.total:,} examples, from number {offset:,} on.")


@suite_group.command("remove")
@click.argument("name")
@pass_settings
def remove(settings: Settings, name: str) -> None:
    """Forget a suite; refused while runs or subsets use it."""
    settings.open().remove_suite(name)
    if settings.as_json:
        print_json({"removed": name})
    else:
        print_text(f"Suite {name} was removed.")
