"""A training process that is held where it is, so that what one does meanwhile does not depend on anybody's speed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ftft_core.run_folder import RunFolder
from tests.queued_runs import wait_until


class Held:
    """A run whose process is paused; one that is paused still counts as running."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder

    @property
    def step(self) -> int:
        """The step that it has told of last; 0 before it told of any."""
        return int(self._folder.read_progress().get("step") or 0)

    def move_to(self, step: int) -> None:
        """Let it train until it tells of this step, or a later one."""
        self.let_go()
        wait_until(lambda: self.step >= step, f"it is at step {step}")
        self._send(signal.SIGSTOP)
        state = self._folder.read_state()
        assert state["status"] == "running", f"it was too fast to be held: {state}"

    def let_go(self) -> None:
        """Let it train."""
        self._send(signal.SIGCONT)

    def _send(self, sign: signal.Signals) -> None:
        with suppress(FileNotFoundError, KeyError, ProcessLookupError):
            os.kill(self._folder.read_state()["pid"], sign)


@contextmanager
def holding(folder: RunFolder, *, step: int = 1) -> Iterator[Held]:
    """Wait until a run tells of a step, and hold it there; it is let go in the end, or before."""
    held = Held(folder)
    try:
        held.move_to(step)
        yield held
    finally:
        held.let_go()
