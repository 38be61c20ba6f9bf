"""`ftft serve` and `ftft doctor`: the app, and what this machine has."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

from ftft_core.cli.app import Settings, cli, pass_settings
from ftft_core.cli.output import print_json, print_table, print_text, say
from ftft_core.errors import InputError, WorkspaceError
from ftft_core.run_folder import child_environment
from ftft_core.workspace import Workspace

APP = Path(__file__).resolve().parents[2] / "app.py"
_FIRST_PORT = 8501
_PORTS_TRIED = 50


@cli.command("serve")
@click.option("--port", type=int, metavar="N", help=f"Port; the first free one from {_FIRST_PORT} when left out.")
@click.option("--host", default="127.0.0.1", show_default=True, metavar="TEXT", help="Address to bind to.")
@pass_settings
def serve(settings: Settings, port: int | None, host: str) -> None:
    """Serve the app until Ctrl-C."""
    if not APP.exists():
        raise InputError(f"The app is not at {APP}; run ftft from a checkout of the project.")
    workspace = Workspace(settings.workspace)
    chosen = _free_port(host, port)
    address = f"http://{host}:{chosen}"
    if settings.as_json:
        print_json({"address": address, "workspace": workspace.folder})
    else:
        print_text(f"FTFT is at {address} (workspace {workspace.folder}); Ctrl-C stops it.")
    sys.stdout.flush()
    command = [sys.executable, "-m", "streamlit", "run", str(APP), "--server.port", str(chosen)]
    command += ["--server.address", host, "--server.headless", "true", "--browser.gatherUsageStats", "false"]
    environment = {**child_environment(), "FTFT_WORKSPACE": str(workspace.folder)}
    # Streamlit announces the address itself, and several more; ours is the one that works.
    process = subprocess.Popen(command, env=environment, cwd=APP.parent, stdout=subprocess.DEVNULL)
    try:
        status = process.wait()
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        return
    if status not in (0, -2, -15):
        raise InputError(f"The app ended with status {status}; what it said is above.")


def _free_port(host: str, port: int | None) -> int:
    tried = range(_FIRST_PORT, _FIRST_PORT + _PORTS_TRIED) if port is None else [port]
    for candidate in tried:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, candidate))
            except OverflowError:
                raise InputError(f"--port: received {candidate}; allowed is 0 to 65535.") from None
            except OSError as failure:
                say(f"Port {candidate} of {host} can't be used ({failure.strerror}).")
            else:
                return int(probe.getsockname()[1])
    raise InputError(f"No port of {host} could be used (tried {tried[0]} to {tried[-1]}); give another with --port.")


@cli.command("doctor")
@click.option("--repair", is_flag=True, help="Mend what can be mended; nothing that was paid for is deleted.")
@pass_settings
def doctor(settings: Settings, repair: bool) -> None:
    """Say what this machine has, and whether the workspace is healthy."""
    from ftft_core.modeling.device import describe_device, library_versions

    machine = {**describe_device().as_dict(), "num_cpus": os.cpu_count(), **_memory()}
    repaired: list[str] = []
    try:
        workspace = settings.open()
        repaired = workspace.repair() if repair else []
        health = workspace.health()
    except WorkspaceError as failure:
        # What can still be said is said; nothing is mended in a file that can't be read.
        health = {"folder": Path(settings.workspace).resolve(), "problems": [failure.message]}
    if settings.as_json:
        answer = {"machine": machine, "versions": library_versions(), "workspace": health}
        print_json({**answer, "repaired": repaired} if repair else answer)
        return
    facts: dict[str, Any] = {**machine, **library_versions(), **{k: v for k, v in health.items() if k != "problems"}}
    print_table([{"": name, "value": value} for name, value in facts.items()], ["", "value"])
    for sentence in repaired:
        print_text(f"mended: {sentence}")
    if repair and not repaired:
        print_text("There was nothing to mend.")
    for problem in health["problems"]:
        print_text(f"problem: {problem}")
    if not health["problems"]:
        print_text("The workspace is healthy.")


def _memory() -> dict[str, float]:
    import psutil

    memory = psutil.virtual_memory()
    return {"memory_gib": memory.total / 2**30, "memory_available_gib": memory.available / 2**30}
