"""`ftft worker`: working off the queue in the foreground."""

from __future__ import annotations

import time
from contextlib import suppress

import click

from ftft_core.cli.app import Settings, cli, pass_settings
from ftft_core.cli.output import print_json, print_text, say
from ftft_core.errors import NotFoundError
from ftft_core.jobs import Queue, Worker, find_devices
from ftft_core.workspace import Workspace

_POLL_SECONDS = 0.5


@cli.command("worker")
@click.option("--devices", metavar="LIST", help="Train on these from now on: cuda:0,cuda:1 or cpu, say, or all.")
@click.option("--runs-per-device", metavar="N", help="So many runs share a device from now on.")
@click.option("--until-idle", is_flag=True, help="End once nothing waits or runs.")
@pass_settings
def worker(settings: Settings, devices: str | None, runs_per_device: str | None, until_idle: bool) -> None:
    """Train what waits, here in the foreground, until Ctrl-C.

    Runs are trained also without it: whoever queues one sees that a worker is alive in the background. If one is, this
    one waits until it has ended. Ctrl-C has the runs write checkpoints and go back to the queue, from where they go on
    with the next worker; a second one kills them, and they go on from their newest checkpoint. --devices and
    --runs-per-device are kept in the workspace, for every worker.
    """
    workspace = settings.open()
    changes: dict[str, object] = {}
    if devices is not None:
        names = [name.strip() for name in devices.split(",") if name.strip()]
        changes["devices"] = None if names == ["all"] else tuple(names)
    if runs_per_device is not None:
        changes["runs_per_device"] = runs_per_device
    chosen = workspace.change_worker_settings(**changes) if changes else workspace.worker_settings()
    places = ", ".join(f"{chosen.runs_per_device} at a time on {device}" for device in chosen.devices or find_devices())
    ours = _work(workspace, until_idle=until_idle, places=places)
    if not ours.was_stopped:
        # Not after Ctrl-C: to look at what waits would start a worker in the background.
        workspace.sync()
    rows = []
    for run_id, status in ours.worked.items():
        with suppress(NotFoundError):  # It was removed meanwhile.
            rows.append({"run_id": run_id, "name": workspace.run(run_id)["name"], "status": status})
    if settings.as_json:
        print_json({"settings": chosen.model_dump(), "runs": rows})
    else:
        print_text(f"{len(rows)} run{'s' * (len(rows) != 1)} worked on; {len(workspace.queue())} in the queue.")


def _work(workspace: Workspace, *, until_idle: bool, places: str) -> Worker:
    """Work off the queue once no other worker does."""
    queue = Queue(workspace.folder)
    ours = Worker(queue, until_idle=until_idle, say=lambda line: say(f"{time.strftime('%H:%M:%S')} {line}"))
    has_said = False
    with suppress(KeyboardInterrupt):  # While another worker is waited for; one at work listens itself.
        say(f"working on {workspace.folder}: {places}; Ctrl-C stops")
        while not ours.work():
            if not has_said:
                named = queue.worker()
                other = "another worker" if named is None else f"another worker (process {named['pid']})"
                say(f"{other} is at work on this queue; this one takes over when it ends")
                has_said = True
            if until_idle and workspace.queue().empty:
                break
            time.sleep(_POLL_SECONDS)
    return ours
