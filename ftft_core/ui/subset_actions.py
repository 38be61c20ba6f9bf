"""What is done to subsets from their page, and what the page says of it afterwards.

Owns the callbacks. They run before the page is drawn anew and know a subset by its id, so that what was renamed or
removed in another tab meanwhile gives a sentence and nothing else.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection
from dataclasses import dataclass, field

import streamlit as st

from ftft_core.errors import FTFTError, NameTakenError, NotFoundError
from ftft_core.selection import Recipe
from ftft_core.ui.reads import open_workspace
from ftft_core.workspace import SubsetRecord

STATE = "ftft.subsets"
GHOST_SECONDS = 300
"""A removed subset keeps its place, with a way back, for this long; then it is listed at the foot alone."""

STEM = 40
"""Characters of a subset's name that go into a name proposed for what is made from it."""

REMOVE = "Remove"


@dataclass
class SubsetsState:
    """What happened on the page, in one browser tab."""

    doing: tuple[str, str, str] | None = None
    """Action, id and name of the subset whose dialog is open."""
    problems: dict[str, FTFTError] = field(default_factory=dict)
    """Id of a subset -> what went wrong with it, until it was shown."""
    said: list[str] = field(default_factory=list)
    """What went well, until it was shown."""
    removed_at: dict[str, float] = field(default_factory=dict)
    """Id -> when it was removed here, in seconds."""
    fine_tune: str | None = None
    """Id of the subset to fine-tune on next."""
    is_stale: bool = False
    """Whether a part of the page changed what the whole of it shows."""


def state() -> SubsetsState:
    """Return this tab's state."""
    found = st.session_state.setdefault(STATE, SubsetsState())
    assert isinstance(found, SubsetsState)
    return found


def ghosts() -> set[str]:
    """Return the subsets that were removed here a moment ago."""
    kept = state()
    kept.removed_at = {subset: at for subset, at in kept.removed_at.items() if time.monotonic() - at < GHOST_SECONDS}
    return set(kept.removed_at)


def rename(subset: str, name: str, key: str) -> None:
    """Give a subset the name that the text field `key` holds."""
    wanted = str(st.session_state[key]).strip()
    if wanted == name:
        return
    try:
        open_workspace().rename_subset(subset, wanted)
    except FTFTError as failure:
        note(subset, name, failure)
    else:
        state().said.append(f"{name} is now named {wanted}.")


def pick(subset: str, name: str, key: str) -> None:
    """Begin what was picked in the menu `key` of a subset; what can be undone is done at once."""
    action = str(st.session_state[key])
    if action != REMOVE:
        state().doing = (action, subset, name)
        return
    try:
        open_workspace().remove_subset(subset)
    except FTFTError as failure:
        note(subset, name, failure)
    else:
        state().removed_at[subset] = time.monotonic()


def restore(subset: str, name: str, other_name: str | None = None) -> None:
    """Bring a removed subset back."""
    try:
        record = open_workspace().restore_subset(subset, name=other_name)
    except NotFoundError:
        pass  # another tab was quicker, and it is back
    except FTFTError as failure:
        note(subset, name, failure)
    else:
        if other_name is not None:
            state().said.append(f"{name} is back as {record.name}.")
    state().removed_at.pop(subset, None)


def fine_tune(subset: str) -> None:
    """Go on to fine-tuning on a subset."""
    state().fine_tune = subset


def stop() -> None:
    """Close the dialog."""
    state().doing = None


def save(recipe: Recipe, suite: str, name: str) -> SubsetRecord:
    """Save what a recipe gives, and say so.

    :raises FTFTError: as `Workspace.save_subset`.
    """
    record = open_workspace().save_subset(recipe, name=name, suite=suite)
    tell_saved(record)
    return record


def tell_saved(record: SubsetRecord) -> None:
    """Say that a subset was saved, once the page is drawn anew."""
    noun = "example" if record.size == 1 else "examples"
    state().said.append(f"Saved {record.name}: {record.size:,} {noun}.")


def note(subset: str, name: str, failure: FTFTError) -> None:
    """Keep what went wrong with a subset, to be shown at its card."""
    state().problems[subset] = told(subset, name, failure)


def told(subset: str, name: str, failure: FTFTError) -> FTFTError:
    """Return a failure as this page says it: by the subset's name, and with its own way back."""
    if isinstance(failure, NotFoundError):
        return NotFoundError(f"Subset '{name}' was removed meanwhile; it is at the foot of this page.")
    if subset in failure.message:
        return type(failure)(failure.message.replace(subset, name), failure.problems)
    return failure


def is_name_taken(subset: str) -> bool:
    """Return whether a subset can't come back because another has its name."""
    return isinstance(state().problems.get(subset), NameTakenError)


def free_name(stem: str, taken: Collection[str]) -> str:
    """Return a name that no subset has: the stem, numbered if it is in use; with signs that a name may have."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:90] or "subset"
    number, name = 1, stem
    while name in taken:
        number += 1
        name = f"{stem}-{number}"
    return name
