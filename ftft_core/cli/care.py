"""`ftft runs remove`: taking care of what was trained."""

from __future__ import annotations

import click

from ftft_core.cli.app import Settings, pass_settings
from ftft_core.cli.output import print_json, print_text
from ftft_core.cli.runs import runs_group


@runs_group.command("remove")
@click.argument("run")
@pass_settings
def remove(settings: Settings, run: str) -> None:
    """Delete a run with its dynamics, predictions and model; it is stopped first."""
    settings.open().remove_run(run)
    if settings.as_json:
        print_json({"removed": run})
    else:
        print_text(f"Run {run} was removed.")
