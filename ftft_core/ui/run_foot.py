"""The foot of the fine-tune form: what starting will cost, or every reason why it can't work, and the button.

Owns when the machine is measured: in a process of its own, once nothing speaks against what the form says.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
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


@st.fragment(run_every=SECONDS)
def draw_foot(asked: Sequence[Mapping[str, Any]], misread: Sequence[str]) -> None:
    """Say what the runs will take, or all that is wrong, and draw the button.

    :param asked: the runs, as fields of `RunConfig`.
    :param misread: what could not be understood of the form; the core's reasons are added to them.
    """
    reasons, plan, doing = list(misread), None, None
    try:
        if asked:
            plan = chosen().workspace.plan(asked)
            reasons += [problem for problem in plan.problems if problem not in reasons]
            doing = _measure(asked, plan) if not reasons else None
    except FTFTError as failure:
        reasons += [failure.message, *failure.problems]
    with st.container(key="ft-foot", gap="small"):
        st.html(_reasons_markup(reasons) if reasons or plan is None else _cost_markup(plan, doing))
        noun = f"{len(asked)} run{'s' * (len(asked) != 1)}"
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            if st.button(f"Start {noun}", type="primary", key="ft_start", disabled=bool(reasons) or not asked):
                _start(asked)
            if asked:
                said = html.escape(seeds_words([int(run["seed"]) for run in asked]))
                st.html(f'<span class="ftft-quiet">{said}</span>', width="content")
        if failure_said := st.session_state.pop(FAILED, None):
            show_error(failure_said)


def _measure(asked: Sequence[Mapping[str, Any]], plan: Plan) -> str | None:
    """See that the machine is measured, and say what that is doing now."""
    if plan.is_measured or plan.measuring_failed is not None:
        return None
    workspace = chosen().workspace
    doing = workspace.measuring(asked)
    if doing is None:
        workspace.start_measuring(asked)
    return doing or "starting"


def _reasons_markup(reasons: Sequence[str]) -> str:
    items = "".join(f"<li>{html.escape(reason)}</li>" for reason in reasons)
    return f'<div class="ftft-cost"><ul class="ftft-sentences ftft-wrong">{items}</ul></div>'


def _cost_markup(plan: Plan, doing: str | None) -> str:
    said = plan.words
    if plan.peak_memory_bytes is not None:
        said += f", peak memory {size_words(plan.peak_memory_bytes)}"
    quiet = [f"Measuring on this machine: {doing}"] if doing else []
    quiet += [plan.measuring_failed] if plan.measuring_failed else []
    quiet += plan.remarks
    under = "".join(f'<div class="ftft-quiet ftft-remark">{html.escape(words)}</div>' for words in quiet)
    return f'<div class="ftft-cost"><div>{html.escape(said)}</div>{under}</div>'


def _start(asked: Sequence[Mapping[str, Any]]) -> None:
    workspace = chosen().workspace
    try:
        for config in [parse(RunConfig, run, what="The run") for run in asked]:
            workspace.submit(config)
    except FTFTError as failure:
        st.session_state[FAILED] = failure
    else:
        st.toast(f"{len(asked)} run{'s' * (len(asked) != 1)} queued", icon=":material/schedule:")
    st.rerun(scope="app")
