"""`ftft neighbours`: embedding a suite's texts, nearest neighbours, and duplicates."""

from __future__ import annotations

import time

import click
import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from ftft_core.cli.app import Settings, cli, pass_settings
from ftft_core.cli.output import print_json, print_table, print_text, write_frame
from ftft_core.cli.watching import in_minutes
from ftft_core.errors import InputError, RunError
from ftft_core.neighbours import DEFAULT_THRESHOLD, EmbeddingState
from ftft_core.neighbours.folder import MAX_LENGTH, NUM_NEIGHBOURS
from ftft_core.workspace import Workspace

_POLL_SECONDS = 0.3
_SHOWN_GROUPS = 10
_SHOWN_CHARACTERS = 100


@cli.group("neighbours")
def neighbours_group() -> None:
    """Neighbours: training examples whose texts are alike, by the cosine of their embeddings."""


@neighbours_group.command("build")
@click.argument("suite")
@click.option(
    "--model",
    metavar="MODEL",
    default="minilm",
    show_default=True,
    help="minilm, a local folder, a hub name, or run:NAME for the model that a run kept.",
)
@click.option(
    "--max-length", type=int, metavar="N", default=MAX_LENGTH, show_default=True, help="Tokens that are read of a text."
)
@click.option("--detach", is_flag=True, help="Return at once; the work goes on in the background.")
@pass_settings
def build(settings: Settings, suite: str, model: str, max_length: int, detach: bool) -> None:
    """Embed the texts of SUITE once, and find the training texts nearest to each; goes on after a kill."""
    workspace = settings.open()
    state = workspace.start_embedding(suite, model=model, max_length=max_length)
    if state.status == "running" and not detach:
        state = _wait(workspace, suite)
    if state.status not in {"running", "finished"}:
        raise RunError(f"The texts of suite '{suite}' were not embedded: {state.message}.")
    if settings.as_json:
        print_json({"suite": suite, "model": state.model, "status": state.status})
    elif state.status == "running":
        print_text(f"The texts of suite {suite} are being embedded; the same command shows how far it is.")
    else:
        print_text(f"The texts of suite {suite} are embedded by {state.model}.")


@neighbours_group.command("show")
@click.argument("suite")
@click.argument("example_id")
@click.option("--k", type=int, metavar="N", default=NUM_NEIGHBOURS, show_default=True, help="How many; 10 at most.")
@click.option("--split", metavar="SPLIT", default="train", show_default=True, help="The split that EXAMPLE_ID is of.")
@click.option("--model", metavar="MODEL", help="Whose embedding; the one made last when left out.")
@pass_settings
def show(settings: Settings, suite: str, example_id: str, k: int, split: str, model: str | None) -> None:
    """Show the training examples of SUITE whose texts are nearest to that of EXAMPLE_ID."""
    workspace = settings.open()
    if split == "train":
        found = workspace.neighbours(suite, example_id, k, model=model)
    else:
        found = workspace.nearest_training(suite, split, [example_id], k, model=model).drop(columns="for_example_id")
    texts = workspace.examples(suite, "train", found["example_id"].tolist())
    rows = found.assign(text=texts["text"], text_pair=texts["text_pair"])
    if settings.as_json:
        print_json(rows)
    elif rows.empty:
        print_text(f"Suite {suite} has no other training example.")
    else:
        columns = ["example_id", "cosine", "label", *(["text", "text_pair"] if texts["text_pair"].any() else ["text"])]
        shown = rows.assign(text=rows["text"].str.slice(0, _SHOWN_CHARACTERS))
        shown["text_pair"] = shown["text_pair"].str.slice(0, _SHOWN_CHARACTERS)
        print_table(shown.to_dict("records"), columns)


@neighbours_group.command("duplicates")
@click.argument("suite")
@click.option(
    "--threshold",
    type=float,
    metavar="X",
    default=DEFAULT_THRESHOLD,
    show_default=True,
    help="Cosine from which two texts are near-duplicates.",
)
@click.option("--exact", is_flag=True, help="Only the very same texts, case and blanks aside; needs no embedding.")
@click.option("--subset", metavar="X", help="Only among the examples of this subset.")
@click.option("--model", metavar="MODEL", help="Whose embedding; the one made last when left out.")
@click.option("--out", metavar="FILE", help="Write all groups to a .csv, .parquet or .jsonl file.")
@pass_settings
def duplicates(
    settings: Settings,
    suite: str,
    threshold: float,
    exact: bool,
    subset: str | None,
    model: str | None,
    out: str | None,
) -> None:
    """Find groups of training examples of SUITE with nearly the same text, and which of them contradict each other."""
    workspace = settings.open()
    positions = None
    if subset is not None:
        record = workspace.subset(subset)
        if record.suite != suite:
            raise InputError(f"--subset: subset '{subset}' is of suite '{record.suite}', not of '{suite}'.")
        positions = workspace.subset_positions(subset)
    if exact:
        found = workspace.exact_duplicates(suite, positions)
    else:
        found = workspace.near_duplicates(suite, positions, threshold, model=model)
    counts = {name: found.attrs[name] for name in ("num_groups", "num_contradicting")}
    summary = (
        f"Groups of duplicates: {counts['num_groups']:,}, with {len(found):,} examples in all; "
        f"with different labels in one group: {counts['num_contradicting']:,}."
    )
    if out is not None:
        path = write_frame(found, out)
        if settings.as_json:
            print_json({**counts, "num_examples": len(found), "file": path})
        else:
            print_text(f"{summary}\nThey were written to {path}.")
    elif settings.as_json:
        print_json({**counts, "num_examples": len(found), "examples": found})
    else:
        _print_groups(workspace, suite, found, summary)


def _print_groups(workspace: Workspace, suite: str, found: pd.DataFrame, summary: str) -> None:
    """Print the first groups, those that contradict each other before the others."""
    first = found.sort_values(["contradicting", "group"], ascending=[False, True], kind="stable")
    shown = first[first["group"].isin(first["group"].unique()[:_SHOWN_GROUPS])]
    texts = workspace.examples(suite, "train", shown["example_id"].tolist())["text"].str.slice(0, _SHOWN_CHARACTERS)
    if len(shown):
        print_table(
            shown.assign(text=texts.to_numpy()).to_dict("records"),
            ["group", "example_id", "label", "contradicting", "text"],
        )
    print_text(summary)


def _wait(workspace: Workspace, suite: str) -> EmbeddingState:
    """Wait for the process, with a bar on a terminal; Ctrl-C stops it.

    :raises RunError: when it was stopped here.
    """
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TaskProgressColumn(),
        TextColumn("{task.fields[left]}"),
    )
    try:
        with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
            task = bars.add_task("starting", total=1.0, left="")
            while (state := workspace.embedding_state(suite)).status == "running":
                left = "" if state.seconds_left is None else f"{in_minutes(state.seconds_left)} left"
                bars.update(task, description=state.stage or "", completed=state.fraction, left=left)
                time.sleep(_POLL_SECONDS)
            bars.update(task, completed=1.0 if state.status == "finished" else state.fraction, left="")
    except KeyboardInterrupt:
        workspace.cancel_embedding(suite)
        raise RunError(f"Stopped; `ftft neighbours build {suite}` goes on from here.") from None
    return state
