"""`ftft mark`: tags, notes, exclusions and proposed labels of training examples, each undoable."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from typing import Any, TypeVar

import click
import pandas as pd

from ftft_core.cli.app import Settings, cli, pass_settings
from ftft_core.cli.output import print_json, print_table, print_text
from ftft_core.errors import InputError

CommandT = TypeVar("CommandT", bound=Callable[..., Any])

_SHOWN_ROWS = 20
_SHOWN_CHARACTERS = 60


@cli.group("mark")
def mark_group() -> None:
    """Marks on training examples: tag, note, exclude, propose a label, and undo; source data are never changed."""


def _os_user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "unknown"


_author = click.option(
    "--author", metavar="TEXT", default=_os_user, help="Who does it; this machine's user by default."
)


def _marks_examples(command: CommandT) -> CommandT:
    """Give a command its examples, by id or as a subset, and who marks them and why."""
    for decorate in (
        _author,
        click.option("--reason", metavar="TEXT", help="Why; kept in the history."),
        click.option("--subset", metavar="TEXT", help="All examples of this subset, instead of ids."),
        click.argument("example_ids", nargs=-1, metavar="[ID...]"),
    ):
        command = decorate(command)
    return command


@mark_group.command("tag")
@click.argument("suite")
@click.argument("tag")
@_marks_examples
@pass_settings
def tag(settings: Settings, /, suite: str, tag: str, **given: Any) -> None:
    """Tag examples."""
    _mark(settings, suite, "tag", tag, **given)


@mark_group.command("untag")
@click.argument("suite")
@click.argument("tag")
@_marks_examples
@pass_settings
def untag(settings: Settings, /, suite: str, tag: str, **given: Any) -> None:
    """Take a tag off examples."""
    _mark(settings, suite, "untag", tag, **given)


@mark_group.command("note")
@click.argument("suite")
@click.argument("text")
@_marks_examples
@pass_settings
def note(settings: Settings, /, suite: str, text: str, **given: Any) -> None:
    """Write a note on examples; notes add up."""
    _mark(settings, suite, "note", text, **given)


@mark_group.command("exclude")
@click.argument("suite")
@_marks_examples
@pass_settings
def exclude(settings: Settings, /, suite: str, **given: Any) -> None:
    """Exclude examples from training: no run that is queued afterwards trains on them, and no selection takes them."""
    _mark(settings, suite, "exclude", None, **given)


@mark_group.command("include")
@click.argument("suite")
@_marks_examples
@pass_settings
def include(settings: Settings, /, suite: str, **given: Any) -> None:
    """Take the exclusion of examples back."""
    _mark(settings, suite, "include", None, **given)


@mark_group.command("label")
@click.argument("suite")
@click.argument("label")
@_marks_examples
@pass_settings
def label(settings: Settings, /, suite: str, label: str, **given: Any) -> None:
    """Propose another label for examples."""
    _mark(settings, suite, "propose_label", label, **given)


@mark_group.command("unlabel")
@click.argument("suite")
@_marks_examples
@pass_settings
def unlabel(settings: Settings, /, suite: str, **given: Any) -> None:
    """Withdraw the labels that were proposed for examples."""
    _mark(settings, suite, "propose_label", None, **given)


def _mark(
    settings: Settings,
    suite: str,
    kind: str,
    value: str | None,
    *,
    example_ids: tuple[str, ...],
    subset: str | None,
    reason: str | None,
    author: str,
) -> None:
    workspace = settings.open()
    if (subset is None) == (not example_ids):
        raise InputError(
            "Name either examples by their ids or a --subset; received " + ("both." if subset else "none.")
        )
    if subset is None:
        action = workspace.mark(suite, example_ids, kind, value, author=author, reason=reason)
    else:
        record = workspace.subset(subset)
        if record.suite != suite:
            raise InputError(f"Subset '{subset}' is of suite '{record.suite}', not of '{suite}'.")
        positions = workspace.subset_positions(record.subset)
        action = workspace.mark_positions(suite, positions, kind, value, author=author, reason=reason)
    done = workspace.actions(suite).set_index("action").loc[action]
    size, kept = int(done["num_examples"]), None if pd.isna(done["value"]) else str(done["value"])
    if settings.as_json:
        print_json({"action": action, "kind": kind, "value": kept, "num_examples": size})
    else:
        examples = "1 example" if size == 1 else f"{size:,} examples"
        print_text(f"Action {action}: {_in_words(kind, kept)}, {examples}. `ftft mark undo {action}` undoes it.")


@mark_group.command("list")
@click.argument("suite")
@pass_settings
def list_(settings: Settings, suite: str) -> None:
    """List the marked examples of a suite with the marks that stand, in the order of the training file."""
    workspace = settings.open()
    marks = workspace.marks(suite)
    if settings.as_json:
        print_json(marks)
    elif marks.empty:
        print_text(f"No example of suite {suite} is marked: `ftft mark tag {suite} TAG ID...` tags some.")
    else:
        shown = marks.head(_SHOWN_ROWS)
        rows = [
            {**row, "tags": ", ".join(row["tags"]), "notes": _short(" / ".join(row["notes"]))}
            for row in shown.to_dict("records")
        ]
        more = f", the first {len(shown)} of them" if len(marks) > len(shown) else ""
        title = f"{len(marks):,} marked examples{more}"
        print_table(rows, ["example_id", "tags", "excluded", "proposed_label", "notes"], title=title)


@mark_group.command("history")
@click.argument("suite")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the last this many actions.")
@pass_settings
def history(settings: Settings, suite: str, limit: int | None) -> None:
    """List what was done to the examples of a suite, latest first, with who, when and why."""
    actions = settings.open().actions(suite, limit)
    if settings.as_json:
        print_json(actions)
    elif actions.empty:
        print_text(f"Nothing was marked in suite {suite} yet.")
    else:
        rows = [
            {**row, "value": _short("" if pd.isna(row["value"]) else row["value"])}
            for row in actions.to_dict("records")
        ]
        columns = ["action", "kind", "value", "num_examples", "author", "reason", "created_at", "undone_at"]
        print_table(rows, columns)


@mark_group.command("undo")
@click.argument("action", type=int)
@_author
@pass_settings
def undo(settings: Settings, action: int, author: str) -> None:
    """Take an action back; it stays in the history."""
    settings.open().undo_mark(action, author=author)
    if settings.as_json:
        print_json({"undone": action})
    else:
        print_text(f"Action {action} was undone; `ftft mark redo {action}` brings it back.")


@mark_group.command("redo")
@click.argument("action", type=int)
@_author
@pass_settings
def redo(settings: Settings, action: int, author: str) -> None:
    """Bring an undone action back."""
    settings.open().redo_mark(action, author=author)
    if settings.as_json:
        print_json({"redone": action})
    else:
        print_text(f"Action {action} stands again.")


def _in_words(kind: str, value: str | None) -> str:
    if kind == "propose_label":
        return "proposed labels withdrawn" if value is None else f"label '{value}' proposed"
    return kind if value is None else f"{kind} '{_short(value)}'"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN_CHARACTERS else f"{line[: _SHOWN_CHARACTERS - 1]}…"
