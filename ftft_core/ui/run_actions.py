"""What is done to runs from the fine-tune page, and what the page says of it afterwards.

Owns the callbacks and which run is open. They run before the page is drawn anew, and know a run by its id, so that
what ended, or was removed in another tab meanwhile, gives a sentence where the run stands and nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import streamlit as st

from ftft_core.errors import FTFTError
from ftft_core.ui import run_form
from ftft_core.ui.frame import OPENED
from ftft_core.ui.reads import open_workspace

STATE = "ftft.runs"
GHOST_SECONDS = 300
"""A removed run keeps a line with a way back for this long; then it is in the trash alone."""

SHOWN = 8
"""Ended runs that are listed at first, and more at each asking."""

DUPLICATE, REMOVE, MAP, COMPARE, AGAIN = "Duplicate", "Remove", "Data map", "Compare", "Start from scratch"
"""What a run's menu offers."""


@dataclass
class RunsState:
    """What happened on the page, in one browser tab."""

    problems: dict[str, FTFTError] = field(default_factory=dict)
    """Id of a run -> what went wrong with it, until something else is done."""
    removed: dict[str, tuple[str, float]] = field(default_factory=dict)
    """Id -> name, and when it was removed here in seconds."""
    num_shown: int = SHOWN
    shows_trash: bool = False
    go_to: str | None = None
    """Page to go on to."""
    redraws_form: bool = False
    """Whether something was put into the form, which another part of the page draws."""


def state() -> RunsState:
    """Return this tab's state."""
    found = st.session_state.setdefault(STATE, RunsState())
    assert isinstance(found, RunsState)
    return found


def opened() -> str | None:
    """Return the id of the run that is open, or None for the list."""
    found: str | None = st.session_state.get(OPENED)
    return found


def open_run(run_id: str) -> None:
    """Open a run."""
    st.session_state[OPENED] = run_id


def close() -> None:
    """Go back to the list."""
    st.session_state[OPENED] = None


def ghosts() -> dict[str, str]:
    """Return id and name of the runs that were removed here a moment ago."""
    kept = state()
    kept.removed = {run: said for run, said in kept.removed.items() if time.monotonic() - said[1] < GHOST_SECONDS}
    return {run: name for run, (name, _) in kept.removed.items()}


def cancel(run_id: str) -> None:
    """Ask a run to stop, or take it out of the queue."""
    _try(run_id, lambda: open_workspace().cancel(run_id))


def resume(run_id: str) -> None:
    """Queue a run again, to go on from its newest checkpoint."""
    _try(run_id, lambda: open_workspace().resume(run_id))


def retry(run_id: str, from_scratch: bool = False) -> None:
    """Queue a run that ended without finishing again."""
    _try(run_id, lambda: open_workspace().retry(run_id, from_scratch=from_scratch))


def move(run_id: str, position: int) -> None:
    """Give a run that waits another place in the queue; 1 is next."""
    _try(run_id, lambda: open_workspace().move(run_id, position))


def remove(run_id: str, name: str) -> None:
    """Move a run to the trash; it can come back."""
    if _try(run_id, lambda: open_workspace().remove_run(run_id)):
        state().removed[run_id] = (name, time.monotonic())
        if opened() == run_id:
            close()


def restore(run_id: str) -> None:
    """Bring a removed run back."""
    if _try(run_id, lambda: open_workspace().restore_run(run_id)):
        state().removed.pop(run_id, None)


def empty_trash(run_ids: Sequence[str]) -> None:
    """Delete removed runs for good."""
    if _try("", lambda: open_workspace().purge_runs(run_ids)):
        state().removed.clear()
        state().shows_trash = False


def duplicate(run_id: str, name: str) -> None:
    """Put a run's configuration into the form."""
    if _try(run_id, lambda: run_form.fill(open_workspace().config_of(run_id), name)):
        state().redraws_form = True


def choose(run_id: str, page: str) -> None:
    """Go on to another page with this run chosen."""
    st.session_state["run"] = run_id
    state().go_to = page


def pick(run_id: str, name: str, key: str) -> None:
    """Do what was picked in the menu `key` of a run."""
    action = str(st.session_state[key])
    {
        DUPLICATE: lambda: duplicate(run_id, name),
        REMOVE: lambda: remove(run_id, name),
        MAP: lambda: choose(run_id, "pages/data_map.py"),
        COMPARE: lambda: choose(run_id, "pages/compare.py"),
        AGAIN: lambda: retry(run_id, True),
    }[action]()


def show_more() -> None:
    """List more of the runs that have ended."""
    state().num_shown += 3 * SHOWN


def toggle_trash() -> None:
    """Show or hide the removed runs."""
    state().shows_trash = not state().shows_trash


def _try(run_id: str, action: Callable[[], object]) -> bool:
    state().problems.clear()
    try:
        action()
    except FTFTError as failure:
        state().problems[run_id] = failure
        return False
    return True
