"""Starting and stopping the process that embeds; it outlives whoever started it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import filelock
import psutil

from ftft_core.errors import RunError, WorkspaceBusyError
from ftft_core.neighbours.folder import EmbeddingState, NeighboursFolder
from ftft_core.run_folder import start_detached

_STOP_SECONDS = 5.0


def start(workspace: Path, folder: NeighboursFolder, *, model: str, location: str, max_length: int) -> EmbeddingState:
    """See that the texts of a suite are embedded by a model; nothing happens when they are, or just being.

    :param model: as it is named to people; `location` is the folder or hub name that it was found at.
    :raises RunError: when another model embeds the same suite just now.
    """
    folder.path.mkdir(exist_ok=True)
    with _changing(folder):
        state = folder.state()
        embedding = folder.embedding(model, location, max_length)
        if state.status == "running":
            if folder.read_progress().get("embedding") == embedding.name:
                return state
            raise RunError(
                f"The texts are just being embedded by '{state.model}', and only one model can at a time; "
                "wait for it, or cancel it."
            )
        if folder.is_complete(embedding):
            return EmbeddingState("finished", "was there already", model)
        facts: dict[str, Any] = {
            "model": model,
            "embedding": embedding.name,
            "stage": "starting",
            "done": 0,
            "total": 0,
        }
        arguments = [workspace, folder.suite_folder.name, "--model", model, "--max-length", max_length]
        pid = start_detached("ftft_core.neighbours", arguments, log=folder.log, append=False)
        # The child takes this very lock before its first word, so that it can't be overwritten by this one.
        folder.write_progress("running", pid=pid, **facts)
    return folder.state()


def cancel(folder: NeighboursFolder) -> None:
    """Stop the process that embeds; the next start goes on from its last chunk.

    :raises RunError: when none runs, or it runs on another machine.
    """
    if not folder.path.is_dir():
        raise RunError("The texts are not being embedded; there is nothing to cancel.")
    with _changing(folder):
        progress = folder.read_progress()
        if folder.state().status != "running":
            raise RunError("The texts are not being embedded; there is nothing to cancel.")
        if progress["host"] != socket.gethostname():
            raise RunError(f"The texts are being embedded on {progress['host']}; cancel it there.")
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(progress["pid"])
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except psutil.TimeoutExpired:
                process.kill()
                process.wait(_STOP_SECONDS)
        facts = {name: progress[name] for name in ("model", "embedding", "stage", "done", "total")}
        message = "cancelled; the next start goes on from here"
        # It may have come to its end first.
        if folder.read_progress().get("status") == "running":
            folder.write_progress("cancelled", message=message, **facts)


@contextmanager
def _changing(folder: NeighboursFolder) -> Iterator[None]:
    lock = folder.changing()
    try:
        lock.acquire()
    except filelock.Timeout as failure:
        raise WorkspaceBusyError(
            f"Another process has been starting or stopping the embedding in {folder.path} for long; try again."
        ) from failure
    try:
        yield
    finally:
        lock.release()
