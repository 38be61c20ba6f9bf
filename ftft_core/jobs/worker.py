"""The worker: takes queued runs one after another and gives each a training process."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import suppress

import filelock

from ftft_core.jobs.queue import Queue, child_environment
from ftft_core.run_folder import RunFolder, last_word

_POLL_SECONDS = 0.2
_IDLE_SECONDS = 3.0
_LOCK_SECONDS = 2.0


def work_off(queue: Queue) -> None:
    """Work until nothing has waited for a few seconds; return at once if another worker is alive.

    A training process that a killed worker left behind is waited for: one run trains at a time.
    """
    # Waiting a little: others hold the lock for a moment to see whether a worker is alive.
    lock = queue.working(timeout_seconds=_LOCK_SECONDS)
    try:
        lock.acquire()
    except filelock.Timeout:
        return
    finally:
        queue.starting.unlink(missing_ok=True)
    idle_since = time.monotonic()
    try:
        while True:
            while queue.running():
                time.sleep(_POLL_SECONDS)
                idle_since = time.monotonic()
            waiting = queue.waiting()
            if waiting:
                train(queue, waiting[0])
                idle_since = time.monotonic()
                continue
            if time.monotonic() - idle_since > _IDLE_SECONDS:
                # Under this lock nobody queues a run, so none can slip in between looking and leaving.
                with queue.changing():
                    if not queue.waiting():
                        lock.release()
                        return
            time.sleep(_POLL_SECONDS)
    finally:
        lock.release()


def train(queue: Queue, folder: RunFolder) -> None:
    """Train one run in a process of its own, and see that its end is recorded."""
    with queue.changing():
        if not (folder.path / "state.json").exists() or folder.read_state()["status"] != "queued":
            return
        with folder.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "ftft_core.training", str(folder.path)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=child_environment(),
            )
        # Claimed for the child at once, so that nobody takes the run for waiting while the child still imports.
        folder.claim("starting", pid=process.pid)
    status = process.wait()
    # The run may have been removed, or the disk be full: whoever looks is told so all the same.
    with queue.changing(), suppress(OSError):
        state = folder.read_state()
        # Somebody who looked in between may have recorded the run as lost already; here the reason is known.
        if state["status"] in {"running", "lost"}:
            folder.set_status(*last_word(folder, status))
