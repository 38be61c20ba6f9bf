"""The queue beside the form: one line a run, looked at again every two seconds.

Owns how a run's progress is shown and what can be done to it; progress itself is read from the run's files.
"""

from __future__ import annotations

import html
from typing import Any

import pandas as pd
import streamlit as st

from ftft_core.errors import FTFTError
from ftft_core.figures import loss_figure
from ftft_core.ui import reads
from ftft_core.ui.frame import ACTIVE, as_text, chosen, duration_words, show_error, theme
from ftft_core.workspace import RunProgress

SECONDS = 2
SHOWN_RUNS = 6
"""Ended runs that are shown unfolded."""

RESUMABLE = ("cancelled", "failed", "lost")
NOTICE = "queue.notice"


@st.fragment(run_every=SECONDS)
def draw_queue() -> None:
    """Draw the runs of the chosen suite, those under way first, then the newest."""
    workspace = chosen().workspace
    try:
        workspace.sync()
        listed = reads.runs(chosen().suite)
        ranks = listed["status"].map(_rank)
        ordered = listed.assign(rank=ranks).sort_values(["rank", "created_at"], ascending=[True, False], kind="stable")
        records = [{str(name): value for name, value in row.items()} for row in ordered.to_dict("records")]
        active = sum(row["status"] in ACTIVE for row in records)
        shown, older = records[: active + SHOWN_RUNS], records[active + SHOWN_RUNS :]
        progress = [workspace.progress(str(row["run_id"])) for row in shown]
    except FTFTError as failure:
        show_error(failure)
        return
    if notice := st.session_state.pop(NOTICE, None):
        show_error(notice)
    if listed.empty:
        st.markdown(":gray[Runs stand here, with their progress, as soon as one is started.]")
        return
    for row, its_progress in zip(shown, progress, strict=True):
        _draw_run(row, its_progress)
    if older:
        with st.expander(f"{len(older)} older"):
            for row in older:
                _draw_older(row)


def _rank(status: str) -> int:
    return {"running": 0, "queued": 1}.get(status, 2)


def _draw_run(run: dict[str, Any], progress: RunProgress) -> None:
    run_id = str(run["run_id"])
    with st.container(border=True, key=f"run.{run_id}", gap="small"):
        words_column, line_column, button_column = st.columns([3, 2, 1.5], vertical_alignment="center", gap="small")
        words_column.html(
            f'<div class="ftft-name"><b>{html.escape(str(run["name"]))}</b></div>'
            f'<div class="ftft-quiet">{html.escape(state_words(run, progress))}</div>'
        )
        history = reads.open_workspace().loss_history(run_id)
        if len(history) > 1:
            line_column.plotly_chart(
                loss_figure(history, theme(), height=46), config={"displayModeBar": False, "staticPlot": True},
                theme=None, key=f"loss.{run_id}",
            )  # fmt: skip
        with button_column:
            _draw_buttons(run, progress.status)
        if progress.status in ACTIVE:
            st.progress(min(max(progress.fraction, 0.0), 1.0))
        elif progress.status == "failed":
            st.markdown(f":red[{as_text(progress.message)}]")


def _draw_older(run: dict[str, Any]) -> None:
    words_column, button_column = st.columns([5, 1.5], vertical_alignment="center", gap="small")
    words_column.markdown(f"{as_text(run['name'])} :gray[{as_text(run['status'])}]")
    with button_column:
        _draw_buttons(run, str(run["status"]))


def _draw_buttons(run: dict[str, Any], status: str) -> None:
    run_id = str(run["run_id"])
    if status in ACTIVE:
        st.button("Cancel", key=f"cancel.{run_id}", on_click=_try, args=("cancel", run_id), width="stretch")
    elif status in RESUMABLE:
        st.button("Resume", key=f"resume.{run_id}", on_click=_try, args=("resume", run_id), width="stretch")
    elif status == "finished":
        with st.container(horizontal=True, gap="small", horizontal_alignment="right"):
            if st.button("Map", key=f"open.{run_id}", on_click=_choose, args=(run_id,), help="Open its data map"):
                st.switch_page("pages/data_map.py")
            if run["method"] != "reference" and st.button("Compare", key=f"compare.{run_id}"):
                st.switch_page("pages/compare.py")


def state_words(run: dict[str, Any], progress: RunProgress) -> str:
    """Word where a run is: its status, step, time left or spent, and its latest dev score."""
    parts = [progress.status]
    if progress.status == "running":
        if progress.step is not None and progress.num_steps:
            parts = [f"step {progress.step:,} of {progress.num_steps:,}"]
        if progress.stage and progress.stage != "training":
            parts = [progress.stage]
        if progress.seconds_left is not None:
            parts.append(f"{duration_words(progress.seconds_left)} left")
    elif progress.status != "queued":
        seconds = progress.seconds_elapsed if progress.seconds_elapsed is not None else run.get("train_seconds")
        if seconds is not None and not pd.isna(seconds):
            parts.append(duration_words(seconds))
    if "accuracy" in progress.dev_scores:
        parts.append(f"dev accuracy {100 * progress.dev_scores['accuracy']:.1f} %")
    return ", ".join(parts)


def _try(action: str, run_id: str) -> None:
    workspace = chosen().workspace
    try:
        {"cancel": workspace.cancel, "resume": workspace.resume}[action](run_id)
    except FTFTError as failure:
        st.session_state[NOTICE] = failure


def _choose(run_id: str) -> None:
    st.session_state["run"] = run_id
