"""The queue beside the form: one line a run, looked at again every two seconds; what was removed, at its foot.

Owns which runs are listed and in which order, and their buttons; progress itself is read from the runs' files.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from ftft_core.errors import FTFTError
from ftft_core.figures.run_charts import sparkline
from ftft_core.ui import reads
from ftft_core.ui import run_actions as actions
from ftft_core.ui.frame import as_text, chosen, show_error, theme, write_address
from ftft_core.ui.run_markup import line_markup, size_words, what_words
from ftft_core.ui.run_tools import draw_tools
from ftft_core.ui.run_watch import draw_run
from ftft_core.workspace import RunProgress

SECONDS = 2
GROUPS = {"running": "Running", "queued": "Waiting", "ended": "Ended"}
MAX_TRASH = 20

Run = Mapping[str, Any]


@st.fragment(run_every=SECONDS)
def draw_queue() -> None:
    """Draw the runs of the chosen suite, or the one that is open."""
    suite, kept = chosen().suite, actions.state()
    if kept.go_to is not None:
        page, kept.go_to = kept.go_to, None
        st.switch_page(page)
    if kept.redraws_form:
        kept.redraws_form = False
        st.rerun(scope="app")
    try:
        chosen().workspace.sync()
        listed = reads.runs(suite)
        taken = places()
        run_id = actions.opened()
        found = {str(row["run_id"]): _row(row) for row in listed.to_dict("records")}
        if run_id is not None and run_id not in found:
            _tell_gone(run_id)
            actions.close()
        elif run_id is not None:
            num_waiting = sum(place > 0 for place in taken.values())
            draw_run(found[run_id], position=taken.get(run_id), num_waiting=num_waiting)
        if actions.opened() is None:
            _draw_list(found, taken)
        write_address()
    except FTFTError as failure:
        show_error(failure)


def _row(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name): value for name, value in row.items()}


def places() -> dict[str, int]:
    """Run id -> its place: 0 runs, 1 is next."""
    queue = chosen().workspace.queue()
    return {str(run): int(place) for run, place in zip(queue["run_id"], queue["position"], strict=True)}


def _tell_gone(run_id: str) -> None:
    if run_id not in actions.ghosts():
        st.warning(
            f"Run {as_text(run_id[:40])} is not in this suite; it may have been removed. The trash is below.",
            icon=":material/link_off:",
        )


def _draw_list(found: Mapping[str, Run], taken: Mapping[str, int]) -> None:
    st.subheader("Runs", anchor=False)
    _draw_ghosts(found)
    if "" in actions.state().problems:
        show_error(actions.state().problems[""])
    if not found:
        with st.container(border=True):
            st.markdown("**No run of this suite yet.**")
            st.markdown(":gray[Each run stands here as one line, with its progress and time left. Answer the three "
                        "questions on the left and press Start; a small model on all examples makes the first data "
                        "map.]")  # fmt: skip
    groups: dict[str, list[Run]] = {"running": [], "queued": [], "ended": []}
    for run in found.values():
        groups.get(str(run["status"]), groups["ended"]).append(run)
    groups["queued"].sort(key=lambda run: taken.get(str(run["run_id"]), 10**9))
    groups["ended"].sort(key=_ended_at, reverse=True)
    num_waiting = len([place for place in taken.values() if place > 0])
    for name, runs in groups.items():
        shown = runs[: actions.state().num_shown] if name == "ended" else runs
        if shown:
            st.html(f'<div class="ftft-group">{GROUPS[name]}</div>')
        for run in shown:
            _draw_line(run, taken.get(str(run["run_id"])), num_waiting)
        if len(runs) > len(shown):
            left = len(runs) - len(shown)
            st.button(f"Show {min(left, 3 * actions.SHOWN):,} older of {left:,}", key="runs-more", type="tertiary",
                      on_click=actions.show_more)  # fmt: skip
    _draw_trash()


def _ended_at(run: Run) -> pd.Timestamp:
    ended = run.get("finished_at")
    return pd.Timestamp(run["created_at"] if ended is None or pd.isna(ended) else ended)


def _draw_line(run: Run, position: int | None, num_waiting: int) -> None:
    run_id, name = str(run["run_id"]), str(run["name"])
    progress = chosen().workspace.progress(run_id)
    with st.container(key=f"run-line-{run_id}"):
        left, middle, right = st.columns([2.5, 3.1, 1.75], vertical_alignment="center", gap="small")
        with left:
            st.button(as_text(name), key=f"run-open-{run_id}", type="tertiary", width="stretch",
                      on_click=actions.open_run, args=(run_id,))  # fmt: skip
            st.html(f'<div class="ftft-what" title="{html.escape(what_words(run))}">'
                    f"{html.escape(what_words(run))}</div>")  # fmt: skip
        middle.html(line_markup(progress, position=position, picture=picture(run_id, progress)))
        with right:
            draw_tools(run, progress, position=position, num_waiting=num_waiting)
        if progress.status in ("failed", "lost") and progress.message:
            st.html(f'<div class="ftft-message ftft-wrong">{html.escape(progress.message)}</div>')
        if run_id in actions.state().problems:
            show_error(actions.state().problems[run_id])


def picture(run_id: str, progress: RunProgress) -> str:
    """Return a run's sparkline."""
    is_over = progress.status not in ("running", "queued")
    share = 1.0 if is_over else progress.fraction
    return _spark(str(reads.workspace_folder()), run_id, progress.step, progress.status, theme().name, round(share, 2))


@st.cache_data(show_spinner=False, max_entries=256)
def _spark(folder: str, run_id: str, step: int | None, status: str, theme_name: str, share: float) -> str:
    """Draw a run's loss; kept until the run takes another step."""
    curves = chosen().workspace.curves(run_id)
    losses = curves.loc[(curves["what"] == "loss") & (curves["role"] == "train"), "value"]
    return sparkline(losses.tolist(), theme(), share=share)


def _draw_ghosts(found: Mapping[str, Run]) -> None:
    """Say what was just removed here, each with a way back."""
    for run_id, name in actions.ghosts().items():
        if run_id in found:
            continue  # another tab brought it back
        with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"run-ghost-{run_id}"):
            st.html(f'<span class="ftft-quiet">{html.escape(name)} was moved to the trash.</span>', width="content")
            st.button("Undo", key=f"undo.{run_id}", type="tertiary", on_click=actions.restore, args=(run_id,))
        if run_id in actions.state().problems:
            show_error(actions.state().problems[run_id])


def _draw_trash() -> None:
    removed = reads.removed_runs()
    removed = removed[removed["suite"] == chosen().suite]
    if removed.empty:
        return
    noun = f"{len(removed):,} removed run{'s' * (len(removed) != 1)}"
    shows = actions.state().shows_trash
    st.button(f"Hide {noun}" if shows else f"Trash: {noun}", key="trash", type="tertiary", icon=":material/delete:",
              on_click=actions.toggle_trash)  # fmt: skip
    if not shows:
        return
    for row in removed.head(MAX_TRASH).to_dict("records"):
        run_id = str(row["run_id"])
        with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"trash-line-{run_id}"):
            st.html(
                f'{html.escape(str(row["name"]))} <span class="ftft-quiet">removed {row["removed_at"]:%d %b %Y}, '
                f"{size_words(float(row['disk_bytes']))}</span>",
                width="content",
            )
            st.button("Restore", key=f"restore.{run_id}", type="tertiary", on_click=actions.restore, args=(run_id,))
        if run_id in actions.state().problems:
            show_error(actions.state().problems[run_id])
    if len(removed) > MAX_TRASH:
        st.html(f'<span class="ftft-quiet">{len(removed) - MAX_TRASH:,} older ones are listed by '
                "<code>ftft runs list --removed</code>.</span>")  # fmt: skip
    size = size_words(float(removed["disk_bytes"].sum()))
    with st.popover(f"Delete for good, frees {size}", type="tertiary", key="trash-empty"):
        st.markdown(f"{noun} of {as_text(chosen().suite)} and all that came of them can't be brought back then.")
        st.button(f"Delete {noun} for good", key="trash-purge", type="primary", on_click=actions.empty_trash,
                  args=(list(removed["run_id"]),))  # fmt: skip
