"""What is done to suites from their page, and what the page says of it afterwards.

Owns the state of one browser tab; the checks are the core's.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import streamlit as st

from ftft_core.errors import FTFTError, InputError, NameTakenError, NotFoundError
from ftft_core.experiments import prepare_demo
from ftft_core.suites import SpecText, load_suite, read_spec
from ftft_core.suites.spec import folder_problem
from ftft_core.ui.frame import CHOSEN, Chosen, page_address
from ftft_core.ui.reads import open_workspace

STATE = "ftft.suites"
STAND_IN = "suite"
"""Name under which spec and files are checked where the name that was given is none."""


@dataclass
class SuitesState:
    """What happens on the page, in one browser tab."""

    is_adding: bool = False
    """Whether the form for another suite is open."""
    removing: str | None = None
    """Name of the suite that the question is about."""
    problems: dict[str, FTFTError] = field(default_factory=dict)
    """Where in the form (name, spec, folder, sample) -> what is wrong there."""
    said: list[str] = field(default_factory=list)
    """What went well, until it was shown."""
    shown: str | None = None
    """The suite that was looked at last."""


def state() -> SuitesState:
    """Return this tab's state."""
    found = st.session_state.setdefault(STATE, SuitesState())
    assert isinstance(found, SuitesState)
    return found


def begin_adding() -> None:
    """Open the form."""
    kept = state()
    kept.is_adding, kept.problems = True, {}


def begin_removing(suite: str) -> None:
    """Open the question."""
    state().removing = suite


def stop() -> None:
    """Close what is open."""
    kept = state()
    kept.is_adding, kept.removing, kept.problems = False, None, {}


def add(
    name: str, spec: str, folder: str | None, *, drop_leaked: bool, on_step: Callable[[str], None]
) -> dict[str, FTFTError]:
    """Add a suite, or give all that is wrong, by where in the form it is; nothing is kept then.

    :param spec: path of a spec; or its text, if a folder is given.
    """
    workspace = open_workspace()
    problems: dict[str, FTFTError] = {}
    try:
        workspace.check_suite_name(name)
    except FTFTError as failure:
        problems["name"] = failure
    try:
        source = _source(spec, folder, problems)
        if source is None:
            return problems
        if problems:
            load_suite(STAND_IN, source, drop_leaked=drop_leaked, on_step=on_step)
        else:
            workspace.add_suite(name, source, drop_leaked=drop_leaked, on_step=on_step)
    except NameTakenError as failure:  # by somebody else, while files were read
        problems["name"] = failure
    except FTFTError as failure:
        problems["spec"] = failure
    return problems


def add_sample() -> str | None:
    """Add the sample suite, and give its name; None if that failed."""
    try:
        return prepare_demo(open_workspace()).suite
    except FTFTError as failure:
        state().problems = {"sample": failure}
        return None


def show(suite: str) -> None:
    """Go on with a suite that is there now, on a page drawn anew."""
    stop()
    state().said.append(f"Suite {suite} was added.")
    st.query_params.from_dict({"suite": suite})
    st.rerun()


def remove(suite: str) -> None:
    """Remove a suite for good.

    :raises InputError: when runs or subsets use it.
    """
    with suppress(NotFoundError):  # another tab was quicker
        open_workspace().remove_suite(suite)
    stop()
    kept = state()
    kept.said.append(f"Suite {suite} was removed.")
    kept.shown = None
    page_address("suites").clear()  # its split; the next suite begins at its first


def name_of_lost_suite(suites: list[str]) -> str | None:
    """Return the suite that was looked at, if somebody removed it meanwhile; it is told once."""
    kept = state()
    now: Chosen = st.session_state[CHOSEN]
    lost = kept.shown if kept.shown is not None and kept.shown not in suites else None
    kept.shown = now.suite
    return lost


def _source(spec: str, folder: str | None, problems: dict[str, FTFTError]) -> Path | SpecText | None:
    """Return what is to be read; None if that can't be, and the reason stands in `problems`.

    :raises SuiteError: with what is wrong with a spec whose folder is none either.
    """
    if folder is None:
        if not spec.strip():
            problems["spec"] = InputError("Give the path of the spec, a YAML file on the machine of this server.")
            return None
        path = _path(spec, "spec", problems)
        if path is not None and path.is_dir():
            problems["spec"] = InputError(f"'{path}' is a folder; give the path of the spec, a YAML file.")
            return None
        return path
    place = _path(folder, "folder", problems) if folder.strip() else None
    if not folder.strip():
        problems["folder"] = InputError("Give the folder that the paths in the spec are relative to.")
    elif place is not None and (said := folder_problem(place)):
        problems["folder"] = InputError(said)
    if "folder" not in problems and place is not None:
        return SpecText(spec, place)
    read_spec(SpecText(spec, Path()))
    return None


def _path(text: str, where: str, problems: dict[str, FTFTError]) -> Path | None:
    try:
        path = Path(text.strip()).expanduser()
        path.exists()
    except (OSError, RuntimeError, ValueError) as failure:  # too long; `~nobody`; a NUL
        said = getattr(failure, "strerror", None) or failure
        problems[where] = InputError(f"The path {text.strip()[:200]!r} can't be used: {said}.")
        return None
    return path
