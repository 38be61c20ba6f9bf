"""The foot of the fine-tune form: what starting will cost, or every reason why it can't work, and the button.

Owns when the machine is measured: in a process of its own, once nothing speaks against what the form says.
"""

from __future__ import annotations

import html
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from ftft_core.config import RunConfig, parse
from ftft_core.errors import FTFTError
from ftft_core.planning import Plan
from ftft_core.ui.frame import chosen, show_error
from ftft_core.ui.planning import seeds_words
from ftft_core.ui.run_markup import size_words

SECONDS = 2
FAILED = "ft.failed"
PLANNED = "ft.planned"
NO_BREAK = "\u00a0"
PLAN_SECONDS = 15
"""A plan of the same runs is good for this long: what else changes are memory and disk that are free."""


@dataclass
class Planned:
    """A plan, as it was made last."""

    asked: Sequence[Mapping[str, Any]]
    plan: Plan
    made_at: float
    was_measuring: bool = False

    def is_good(self, asked: Sequence[Mapping[str, Any]]) -> bool:
        """Whether it still says what these runs will take."""
        return self.asked == asked and time.monotonic() - self.made_at < PLAN_SECONDS


@st.fragment(run_every=SECONDS)
def draw_foot(asked: Sequence[Mapping[str, Any]], misread: Sequence[str]) -> None:
    """Say what the runs will take, or all that is wrong, and draw the button.

    :param asked: the runs, as fields of `RunConfig`.
    :param misread: what could not be understood of the form; the core's reasons are added to them.
    """
    reasons, plan, doing = list(misread), None, None
    try:
        if asked:
            plan, doing = _plan(asked, may_measure=not misread)
            reasons += [problem for problem in plan.problems if problem not in reasons]
    except FTFTError as failure:
        reasons += [failure.message, *failure.problems]
    with st.container(key="ft-foot", gap="small"):
        st.html(reasons_markup(reasons) if reasons or plan is None else _cost_markup(plan, doing))
        noun = f"{len(asked)} run{'s' * (len(asked) != 1)}"
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            if st.button(f"Start {noun}", type="primary", key="ft_start", disabled=bool(reasons) or not asked):
                _start(asked)
            if asked:
                said = html.escape(seeds_words([int(run["seed"]) for run in asked]))
                st.html(f'<span class="ftft-quiet">{said}</span>', width="content")
        if failure_said := st.session_state.pop(FAILED, None):
            show_error(failure_said)


def _plan(asked: Sequence[Mapping[str, Any]], *, may_measure: bool) -> tuple[Plan, str | None]:
    """Plan the runs, see that the machine is measured for them, and say what that is doing now."""
    workspace, kept = chosen().workspace, st.session_state.get(PLANNED)
    if not isinstance(kept, Planned) or not kept.is_good(asked):
        kept = st.session_state[PLANNED] = Planned(asked, workspace.plan(asked), time.monotonic())
    plan = kept.plan
    if plan.is_measured or plan.problems or plan.measuring_failed is not None or not may_measure:
        return plan, None
    one = asked[:1]  # they differ by seed and name alone
    doing = workspace.measuring(one)
    if doing is not None:
        kept.was_measuring = True
    elif kept.was_measuring:
        kept = st.session_state[PLANNED] = Planned(asked, workspace.plan(asked), time.monotonic())
        return kept.plan, None
    else:
        workspace.start_measuring(one)
    return plan, doing or "starting"


def reasons_markup(reasons: Sequence[str]) -> str:
    """Return why something can't work, a line a reason."""
    items = "".join(f"<li>{html.escape(reason.removeprefix('training.'))}</li>" for reason in reasons)
    return f'<div class="ftft-cost"><ul class="ftft-sentences ftft-wrong">{items}</ul></div>'


def _cost_markup(plan: Plan, doing: str | None) -> str:
    said = plan.words
    if plan.peak_memory_bytes is not None:
        said += f", peak memory {size_words(plan.peak_memory_bytes)}"
    quiet = [f"Measuring on this machine: {doing}"] if doing else []
    quiet += [plan.measuring_failed] if plan.measuring_failed else []
    quiet += plan.remarks
    under = "".join(f'<div class="ftft-quiet ftft-remark">{html.escape(words)}</div>' for words in quiet)
    said = re.sub(r"(?<=\d) (?=[A-Za-z%])", NO_BREAK, said)
    return f'<div class="ftft-cost"><div>{html.escape(said)}</div>{under}</div>'


def _start(asked: Sequence[Mapping[str, Any]]) -> None:
    workspace = chosen().workspace
    try:
        for config in [parse(RunConfig, run, what="The run") for run in asked]:
            workspace.submit(config)
    except FTFTError as failure:
        st.session_state[FAILED] = failure
    else:
        st.session_state.pop(PLANNED, None)
        st.toast(f"{len(asked)} run{'s' * (len(asked) != 1)} queued", icon=":material/schedule:")
    st.rerun(scope="app")
