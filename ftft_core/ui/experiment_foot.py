"""The foot of an experiment's form: how many runs, what the missing ones take, or all that is wrong; and the button.

Owns when the machine is measured: once nothing speaks against what the form says.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from ftft_core import experiments
from ftft_core.errors import FTFTError
from ftft_core.experiments import Experiment, ExperimentPlan, Recipe
from ftft_core.ui import experiment_state as actions
from ftft_core.ui import reads
from ftft_core.ui.experiment_markup import cost_markup, methods_markup
from ftft_core.ui.frame import EXPERIMENT, chosen, show_error
from ftft_core.ui.run_foot import FAILED, PLAN_SECONDS, reasons_markup

SECONDS = 2
PLANNED = "ex.planned"


@dataclass
class Looked:
    """What was found out about a recipe last."""

    values: object
    recipe: Recipe | None
    plan: ExperimentPlan
    made_at: float
    was_measuring: bool = False

    def is_good(self, values: object) -> bool:
        """Whether it still says what this recipe will take."""
        return self.values == values and time.monotonic() - self.made_at < PLAN_SECONDS


@st.fragment(run_every=SECONDS)
def draw_foot(values: object, misread: Sequence[str], *, suite: str) -> None:
    """Say what the recipe will take, or all that is wrong with it, and draw the button.

    :param values: the recipe, as somebody wrote it.
    :param misread: what could not be understood; the core's reasons are added to them.
    """
    reasons, looked, doing = list(misread), None, None
    try:
        if values is not None:
            looked, doing = _look(values, may_measure=not misread)
            reasons += [problem for problem in looked.plan.problems if problem not in reasons]
    except FTFTError as failure:
        reasons += [failure.message, *failure.problems]
    recipe, plan = (looked.recipe, looked.plan) if looked else (None, None)
    other = recipe.suite if recipe is not None and recipe.suite != suite else None
    if other is not None and not reasons:
        reasons = [f"suite: the recipe is for '{other}', but '{suite}' is chosen above; choose it there, or change it."]
    running = _under_way(recipe)
    with st.container(key="ft-foot", gap="small"):
        if reasons or plan is None:
            st.html(reasons_markup(reasons))
        else:
            st.html(cost_markup(plan, doing))
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            _draw_button(recipe, plan, may_start=not reasons and running is None)
            if other is not None and other in set(reads.suites()["suite"]):
                st.button(f"Choose {other}", key="ex_suite", on_click=_choose_suite, args=(other,))
            elif running is not None:
                st.html('<span class="ftft-quiet">It is under way already.</span>', width="content")
        if failure_said := st.session_state.pop(FAILED, None):
            show_error(failure_said)


@st.fragment(run_every=SECONDS)
def draw_methods(values: object) -> None:
    """Draw what one run of each method takes; it stands apart, so that the foot can stay in sight alone."""
    kept = st.session_state.get(PLANNED)
    if isinstance(kept, Looked) and kept.values == values and kept.plan.methods:
        st.html(methods_markup(kept.plan))


def _draw_button(recipe: Recipe | None, plan: ExperimentPlan | None, *, may_start: bool) -> None:
    if plan is not None and plan.runs and plan.num_missing == 0:
        if st.button("Compare", type="primary", key="ex_compare", disabled=not may_start):
            st.switch_page("pages/compare.py")
        return
    count = 0 if plan is None else plan.num_missing
    words = f"Start {count} run{'s' * (count != 1)}" if count else "Start"
    can_start = may_start and recipe is not None and count > 0
    if st.button(words, type="primary", key="ex_start", disabled=not can_start) and recipe is not None:
        _start(recipe)


def _look(values: object, *, may_measure: bool) -> tuple[Looked, str | None]:
    """Plan the recipe, see that the machine is measured for it, and say what that is doing now."""
    workspace, kept = chosen().workspace, st.session_state.get(PLANNED)
    if not isinstance(kept, Looked) or not kept.is_good(values):
        kept = _look_again(values)
    plan = kept.plan
    if plan.problems or plan.is_measured or plan.num_missing == 0 or plan.measuring_failed or not may_measure:
        return kept, None
    doing = workspace.measuring(plan.asked)
    if doing is not None:
        kept.was_measuring = True
    elif kept.was_measuring:
        return _look_again(values), None
    else:
        workspace.start_measuring(plan.asked)
    return kept, doing or "starting"


def _look_again(values: object) -> Looked:
    recipe, plan = experiments.preview_values(chosen().workspace, values)
    kept = st.session_state[PLANNED] = Looked(values, recipe, plan, time.monotonic())
    return kept


def _under_way(recipe: Recipe | None) -> Experiment | None:
    if recipe is None:
        return None
    asked = experiments.id_of(recipe)
    listed = experiments.experiments(chosen().workspace, recipe.suite)
    return next((each for each in listed if each.experiment == asked and each.is_active), None)


def _start(recipe: Recipe) -> None:
    try:
        folder = experiments.start_experiment(chosen().workspace, recipe)
    except FTFTError as failure:
        st.session_state[FAILED] = failure
    else:
        st.session_state.pop(PLANNED, None)
        st.session_state[EXPERIMENT] = folder.experiment
        actions.state().problems.clear()
    st.rerun(scope="app")


def _choose_suite(suite: str) -> None:
    st.session_state["suite"] = suite
    actions.state().redraws_form = True
