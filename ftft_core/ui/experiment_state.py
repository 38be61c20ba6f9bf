"""What the experiment view of the fine-tune page holds in one browser tab, and what its buttons do.

Owns the callbacks; they know an experiment by its id, so that what changed in another tab meanwhile gives a sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from ftft_core import experiments
from ftft_core.errors import FTFTError
from ftft_core.ui.frame import EXPERIMENT, OPENED, VIEW
from ftft_core.ui.reads import open_workspace

STATE = "ftft.experiments"
RECIPE, FORGET = "Recipe into the form", "Forget"
"""What an experiment's menu offers."""

SHOWN = 6
"""Experiments that are listed at first, and more at each asking."""


@dataclass
class ExperimentState:
    """What happened in the view, in one browser tab."""

    problems: dict[str, FTFTError] = field(default_factory=dict)
    """Id of an experiment -> what went wrong with it, until something else is done."""
    to_fill: Mapping[str, Any] | None = None
    """A recipe that is to stand in the form when it is drawn next."""
    redraws_form: bool = False
    num_shown: int = SHOWN
    go_to: str | None = None
    """Page to go on to."""


def state() -> ExperimentState:
    """Return this tab's state."""
    found = st.session_state.setdefault(STATE, ExperimentState())
    assert isinstance(found, ExperimentState)
    return found


def opened() -> str | None:
    """Return the id of the experiment that is open, or None for the list."""
    found: str | None = st.session_state.get(EXPERIMENT)
    return found


def open_experiment(experiment: str | None) -> None:
    """Open an experiment; None goes back to the list."""
    st.session_state[EXPERIMENT] = experiment
    st.session_state[OPENED] = None


def open_run(run_id: str) -> None:
    """Open a run of the experiment that is open."""
    st.session_state[OPENED] = run_id


def show(view: str) -> None:
    """Show single runs (`run`), or experiments (`experiment`)."""
    st.session_state[VIEW] = view
    st.session_state[OPENED] = None


def stop(experiment: str) -> None:
    """Stop an experiment; its runs leave checkpoints."""
    _try(experiment, lambda: experiments.stop(open_workspace(), experiment))


def go_on(experiment: str) -> None:
    """Go on with an experiment."""
    _try(experiment, lambda: experiments.resume(open_workspace(), experiment))


def compare() -> None:
    """Go on to the comparison."""
    state().go_to = "pages/compare.py"


def pick(experiment: str, key: str) -> None:
    """Do what was picked in the menu `key` of an experiment."""
    folder = open_workspace().folder
    if st.session_state[key] == FORGET:
        if _try(experiment, lambda: experiments.remove(experiments.find(folder, experiment))):
            open_experiment(None)
        return

    def fill() -> None:
        state().to_fill = experiments.mapping_of(experiments.find(folder, experiment).read().recipe)
        state().redraws_form = True

    _try(experiment, fill)


def show_more() -> None:
    """List more experiments."""
    state().num_shown += 3 * SHOWN


def _try(experiment: str, action: Callable[[], object]) -> bool:
    state().problems.clear()
    try:
        action()
    except FTFTError as failure:
        state().problems[experiment] = failure
        return False
    return True
