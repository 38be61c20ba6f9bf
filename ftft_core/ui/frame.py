"""The line under the navigation that every page shares: workspace, suite and run, and the state of the queue.

Owns which suite and run are chosen and the guards that pages begin with; not what a page does with them.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any, NoReturn

import pandas as pd
import streamlit as st

from ftft_core.errors import FTFTError
from ftft_core.figures import Theme, theme_named
from ftft_core.ui import reads
from ftft_core.ui.style import apply_style
from ftft_core.workspace import Workspace

QUEUE_SECONDS = 4
"""Seconds between two looks at the queue while something runs."""

CHOSEN = "ftft.chosen"

PAGES = {
    "suites": "Suites",
    "data_map": "Data map",
    "subsets": "Subsets",
    "fine_tune": "Fine-tune",
    "compare": "Compare",
}
"""Files in the folder `pages` and their titles, in the order of the work."""

START = "data_map"
"""Stands at the app's bare address."""

ACTIVE = ("queued", "running")


@dataclass(frozen=True)
class Chosen:
    """What the pickers say; None where there is nothing to pick from."""

    workspace: Workspace
    suite: str | None
    run: dict[str, Any] | None


def draw_frame() -> None:
    """Draw the shared line, and keep what it says for the page.

    Shows the core's sentence and stops where the workspace cannot be opened.
    """
    apply_style(theme().name)
    try:
        workspace = reads.open_workspace()
        workspace.sync()
        suites = list(reads.suites()["suite"])
    except FTFTError as failure:
        show_error(failure)
        st.stop()
    with st.container(key="frame", horizontal=True, vertical_alignment="center", gap="small"):
        folder = reads.workspace_folder()
        st.html(f'<span class="ftft-quiet" title="{html.escape(str(folder))}">{html.escape(folder.name)}</span>',
                width="content")  # fmt: skip
        suite = _pick("Suite", suites, "suite", width=200)
        listed = reads.runs(suite) if suite else pd.DataFrame()
        names = _run_names(listed)
        run_id = _pick("Run", list(names), "run", width=340, names=names)
        st.space("stretch")
        with st.container(key="queue", width="content"):
            _queue_state()
    found = listed[listed["run_id"] == run_id].to_dict("records") if run_id else []
    run = {str(name): value for name, value in found[0].items()} if found else None
    st.session_state[CHOSEN] = Chosen(workspace, suite, run)


def chosen() -> Chosen:
    """Return what the pickers say.

    If the first visit of a server is to a page's own address, Streamlit takes the folder `pages` for the whole app
    and runs the page without app.py; a call of `st.navigation` tells it better, for all later runs.
    """
    if CHOSEN not in st.session_state:
        navigate()
        st.rerun()
    found: Chosen = st.session_state[CHOSEN]
    return found


def navigate() -> Any:
    """Draw the navigation, and return the page that was asked for."""
    return st.navigation(
        [
            st.Page(f"pages/{name}.py", title=title, url_path=name, default=name == START)
            for name, title in PAGES.items()
        ],
        position="top",
    )


def theme() -> Theme:
    """Return the theme of figures that goes with the page's."""
    return theme_named(st.context.theme.type)


def show_error(failure: FTFTError) -> None:
    """Show the core's sentence, and its problems, as plain text where the cause is."""
    sentences = [failure.message, *failure.problems]
    st.error("  \n".join(as_text(sentence) for sentence in sentences), icon=":material/error:")


def guard(step: str, words: str, *, command: str | None = None, page: tuple[str, str] | None = None) -> NoReturn:
    """Say what will be here and the one step that fills it, and end the page."""
    with st.container(border=True):
        st.markdown(f"**{step}**")
        st.markdown(f":gray[{words}]")
        if command:
            st.code(command, language=None)
        if page:
            st.page_link(page[0], label=page[1], icon=":material/arrow_forward:")
    st.stop()
    raise AssertionError("st.stop ends the page")


def num_counted_epochs(run: dict[str, Any]) -> int:
    """Return how many epochs of a run saw every example."""
    counted = run.get("counted_epochs")
    if counted is None or (isinstance(counted, float) and pd.isna(counted)):
        return 0
    return int(counted) if isinstance(counted, int | float) else len(counted)


def as_text(words: object) -> str:
    """Escape Markdown's signs, so that text from data is shown as it is in labels and messages."""
    return "".join(f"\\{sign}" if sign in "\\`*_{}[]<>()#+-.!|$~:" else sign for sign in str(words))


def _pick(label: str, options: list[str], key: str, *, width: int, names: dict[str, str] | None = None) -> str | None:
    """Draw one picker with its name before it; what is no longer there falls back to the first."""
    if st.session_state.get(key) not in options:
        st.session_state.pop(key, None)
    st.html(f'<span class="ftft-quiet">{label}</span>', width="content")
    picked: str | None = st.selectbox(
        label,
        options,
        key=key,
        format_func=lambda option: (names or {}).get(option, option),
        placeholder="none yet",
        index=0 if options else None,
        disabled=not options,
        label_visibility="collapsed",
        width=width,
    )
    return picked


def _run_names(listed: pd.DataFrame) -> dict[str, str]:
    """Run id -> what the picker says; those with a map first, of all the data, finished, references, newest."""
    if listed.empty:
        return {}
    ranked = listed.assign(
        no_map=listed["counted_epochs"] == 0, partial=listed["fraction"] < 1, unfinished=listed["status"] != "finished"
    )
    # A reference was made to be looked at; its map is the one to start from.
    ranked["no_reference"] = listed["method"] != "reference"
    keys = ["no_map", "partial", "unfinished", "no_reference", "created_at"]
    order = ranked.sort_values(keys, ascending=[True, True, True, True, False], kind="stable")
    return {
        row["run_id"]: row["name"] if row["status"] == "finished" else f"{row['name']} ({row['status']})"
        for row in order.to_dict("records")
    }


def _queue_state() -> None:
    """Show the queue's state, looked at again every few seconds while something is in it."""
    busy = bool(len(reads.open_workspace().queue()))
    st.fragment(_queue_line, run_every=QUEUE_SECONDS if busy else None)()


def _queue_line() -> None:
    workspace = reads.open_workspace()
    try:
        workspace.sync()
        queue = workspace.queue()
    except FTFTError as failure:
        st.html(f'<span class="ftft-quiet">{html.escape(failure.message)}</span>', width="content")
        return
    st.page_link("pages/fine_tune.py", label=queue_words(queue), icon=":material/schedule:", width="content")
    before = st.session_state.get("ftft.queue_length")
    st.session_state["ftft.queue_length"] = len(queue)
    if before is not None and before > len(queue):  # a run ended: the pickers and the page show it now
        st.rerun(scope="app")


def queue_words(queue: pd.DataFrame) -> str:
    """Word the queue: "idle", or how many of how many run and how long it still takes."""
    if queue.empty:
        return "Idle"
    running = int((queue["status"] == "running").sum())
    seconds = pd.to_numeric(queue["seconds_left"], errors="coerce").max()
    left = "" if pd.isna(seconds) else f", {duration_words(float(seconds))} left"
    return f"{running} of {len(queue)} running{left}"


def duration_words(seconds: float | None) -> str:
    """Word a duration as people say it: "40 s", "12 min", "1 h 05 min"."""
    if seconds is None or pd.isna(seconds):
        return ""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{round(whole / 60)} min"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
