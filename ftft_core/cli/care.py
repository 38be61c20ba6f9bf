"""`ftft runs remove`, `trash`, `restore` and `purge`: what is kept of what was trained."""

from __future__ import annotations

import click

from ftft_core.cli.app import Settings, pass_settings
from ftft_core.cli.output import print_json, print_table, print_text
from ftft_core.cli.runs import runs_group
from ftft_core.errors import InputError
from ftft_core.run_folder import in_bytes
from ftft_core.workspace import Workspace


@runs_group.command("remove")
@click.argument("run")
@pass_settings
def remove(settings: Settings, run: str) -> None:
    """Move a run with its dynamics, predictions and model to the trash; it is stopped first, and can be restored."""
    workspace = settings.open()
    run_id = workspace.remove_run(run)
    removed = workspace.removed_runs().set_index("run_id").loc[run_id]
    if settings.as_json:
        print_json({"removed": run, "run_id": run_id, "name": removed["name"], "disk_bytes": removed["disk_bytes"]})
    else:
        print_text(
            f"Run {run} was removed; `ftft runs restore {run_id}` brings it back, and `ftft runs purge {run_id}` "
            f"deletes it for good and frees {in_bytes(int(removed['disk_bytes']))}."
        )


@runs_group.command("trash")
@pass_settings
def trash(settings: Settings) -> None:
    """List the removed runs, last removed first, with what they take on disk."""
    removed = Workspace(settings.workspace).removed_runs()
    if settings.as_json:
        print_json(removed)
    elif removed.empty:
        print_text("The trash is empty.")
    else:
        rows = [{**row, "size": in_bytes(row["disk_bytes"])} for row in removed.to_dict("records")]
        print_table(rows, ["run_id", "name", "suite", "removed_at", "size"])


@runs_group.command("restore")
@click.argument("run")
@pass_settings
def restore(settings: Settings, run: str) -> None:
    """Bring a removed run back, under another name if its own is in use by now."""
    workspace = settings.open()
    row = workspace.run(workspace.restore_run(run))
    if settings.as_json:
        print_json({name: row[name] for name in ("run_id", "name", "status")})
    else:
        print_text(f"Run {row['name']} ({row['run_id']}) is back; it is {row['status']}.")


@runs_group.command("purge")
@click.argument("runs", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All runs in the trash.")
@pass_settings
def purge(settings: Settings, runs: tuple[str, ...], everything: bool) -> None:
    """Delete removed runs for good; their space on disk is freed."""
    # Nothing is taken in before: on a full disk, purging is what makes room for it.
    workspace = Workspace(settings.workspace)
    if bool(runs) == everything:
        raise InputError("Name the removed runs to delete for good, or give --all; `ftft runs trash` lists them.")
    purged = workspace.removed_runs()["run_id"].tolist() if everything else list(runs)
    freed = workspace.purge_runs(purged)
    if settings.as_json:
        print_json({"purged": purged, "freed_bytes": freed})
    else:
        print_text(f"{len(purged)} run{'s' * (len(purged) != 1)} deleted for good; {in_bytes(freed)} freed.")
