"""How runs end that could not say so themselves: what is recorded, and which of them go back to the queue.

Two kinds go back by themselves. A run that a worker was to hand back when it was told to stop has the file `return` in
its folder. A run that was claimed for a process which ended before it could speak, as its worker did, has `attempts` in
its state: it never began.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from ftft_core.run_folder import ENDED, RunFolder, last_word, read_json, write_json

RETURNED = "its worker was stopped; it goes on from its newest checkpoint once it is its turn"
MOST_ATTEMPTS = 3
"""So often a run that never began is tried again by itself."""

_RETURN = "return"
_OF_A_PROCESS = ("pid", "pid_started", "boot", "oom_kills", "attempts", "place")


def place_of(state: dict[str, Any]) -> float:
    """Give a waiting run's place in the queue; lower ones come first."""
    return float(state.get("place", state["since"]))


def ask_to_return(folder: RunFolder, place: float) -> None:
    """Note that a run which is being stopped goes back to the queue then, to this place."""
    write_json(folder.path / _RETURN, {"place": place})


def returns(folder: RunFolder) -> bool:
    """Whether the run goes back to the queue once it has stopped."""
    return (folder.path / _RETURN).exists()


def clear_return(folder: RunFolder) -> None:
    """Withdraw that."""
    (folder.path / _RETURN).unlink(missing_ok=True)


def needs_word(folder: RunFolder, state: dict[str, Any]) -> bool:
    """Whether a run's true state is still to be recorded.

    :param state: the true one.
    """
    if state["status"] not in ENDED:
        return False
    with suppress(FileNotFoundError):
        return returns(folder) or folder.read_state()["status"] == "running"
    return False


def record(folder: RunFolder, *, exit_status: int | None = None) -> dict[str, Any]:
    """Record how a run stands whose process has ended, and give its state; under the queue's lock.

    :param exit_status: of its process, as `subprocess` gives it; None when nobody knows.
    """
    state, written = folder.true_state(), folder.read_state()
    if state["status"] not in ENDED:
        return state  # Another process trains it by now, or it was queued anew.
    if returns(folder):
        if state["status"] in {"lost", "cancelled"}:
            return _requeue(folder, RETURNED, **_place_to_return_to(folder))
        clear_return(folder)
    if exit_status is not None and written["status"] in {"running", "lost"}:
        # Somebody who looked in between may have recorded the run as lost already; here the reason is known.
        folder.set_status(*last_word(folder, exit_status), **_facts(written))
    elif written["status"] == "running":
        if written.get("attempts", MOST_ATTEMPTS) < MOST_ATTEMPTS:
            return _requeue(folder, "", place=place_of(written), attempts=written["attempts"])
        folder.set_status("lost", state["message"], **_facts(written))
    return folder.read_state()


def _requeue(folder: RunFolder, message: str, **facts: Any) -> dict[str, Any]:
    folder.clear_cancel()
    folder.set_status("queued", message, **facts)
    clear_return(folder)
    return folder.read_state()


def _place_to_return_to(folder: RunFolder) -> dict[str, float]:
    with suppress(FileNotFoundError, ValueError, KeyError):
        return {"place": float(read_json(folder.path / _RETURN)["place"])}
    return {}


def _facts(state: dict[str, Any]) -> dict[str, Any]:
    left_out = {"status", "message", "since", *_OF_A_PROCESS}
    return {key: value for key, value in state.items() if key not in left_out}
