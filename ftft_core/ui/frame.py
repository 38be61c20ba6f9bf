"""The line under the navigation that every page shares: workspace, suite and run, and the state of the queue.

Owns which suite and run are chosen and the guards that pages begin with; not what a page does with them.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any, NoReturn

import pandas as pd
import streamlit as st
from streamlit.errors import StreamlitAPIException

from ftft_core.errors import FilterError, FTFTError
from ftft_core.figures import Theme, theme_named
from ftft_core.ui import reads, view
from ftft_core.ui.style import apply_style
from ftft_core.workspace import Workspace

QUEUE_SECONDS = 4
"""Seconds between two looks at the queue while something runs."""

CHOSEN = "ftft.chosen"
PAGE = "ftft.page"
ADDRESS = "ftft.address"
"""What the address bar said when it was written here last."""

PAGES = {
    "suites": "Suites",
    "data_map": "Data map",
    "subsets": "Subsets",
    "fine_tune": "Fine-tune",
    "compare": "Compare",
    "transfer": "Transfer",
}
"""Files in the folder `pages` and their titles, in the order of the work."""

OPENED = "fine_tune.opened"
"""In the session: id of the run that is open on the fine-tune page; its address names it."""

VIEW = "fine_tune.view"
"""In the session: `run` or `experiment`, which of the two the fine-tune page shows; its address names the second."""

EXPERIMENT = "fine_tune.experiment"
"""In the session: id of the experiment that is open on the fine-tune page; its address names it."""

FENCE = "~" * 40
"""Longer than what a person types, so that no text ends it."""

START = "data_map"
"""Stands at the app's bare address."""


@dataclass(frozen=True)
class Chosen:
    """What the pickers say; None where there is nothing to pick from."""

    workspace: Workspace
    suite: str | None
    run: dict[str, Any] | None


def draw_frame(page: str) -> None:
    """Draw the shared line, and keep what it says for the page.

    Shows the core's sentence and stops where the workspace cannot be opened.

    :param page: name of the page that will be drawn.
    """
    apply_style(theme().name)
    try:
        workspace = reads.open_workspace()
        workspace.sync()
        suites = list(reads.suites()["suite"])
        problems = _take_address(page)
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
    st.session_state[PAGE] = page
    write_address()
    if problems:
        st.warning("  \n".join(as_text(problem) for problem in problems), icon=":material/link_off:")


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


def write_address() -> None:
    """Bring the address bar up to date with what is looked at, so that it can be sent to somebody or come back to.

    A changed address is a new step of the browser's history: Back goes to what was seen before.
    """
    now: Chosen = st.session_state[CHOSEN]
    address = {}
    if now.suite is not None:
        address["suite"] = now.suite
    if now.run is not None:
        address["run"] = str(now.run["run_id"])
        if st.session_state[PAGE] == START:
            address |= view.as_address(address["run"])
    if st.session_state[PAGE] == "fine_tune":
        address |= _fine_tune_address()
    address |= page_address(st.session_state[PAGE])
    st.session_state[ADDRESS] = address
    if st.query_params.to_dict() != address:
        st.query_params.from_dict(address)


def _fine_tune_address() -> dict[str, str]:
    held, address = st.session_state, {}
    if held.get(VIEW) == "experiment":
        address["view"] = "experiment"
        if held.get(EXPERIMENT):
            address["experiment"] = held[EXPERIMENT]
    if held.get(OPENED):
        address["open"] = held[OPENED]
    return address


def page_address(page: str) -> dict[str, str]:
    """Return what a page keeps in the address beside suite and run; the page changes it, `write_address` writes it."""
    kept: dict[str, str] = st.session_state.setdefault(f"{ADDRESS}.{page}", {})
    return kept


def _take_address(page: str) -> list[str]:
    """Take over what the address says, if it was not written here; give a sentence for all that is not so."""
    address = st.query_params.to_dict()
    if not address.keys() & {"suite", "run", "open", "view"} or address == st.session_state.get(ADDRESS):
        return []  # a bare address, or one that only repeats what is known
    if page == "fine_tune":
        st.session_state[OPENED] = address.get("open")
        if "view" in address or "open" in address:
            st.session_state[VIEW] = "experiment" if address.get("view") == "experiment" else "run"
            st.session_state[EXPERIMENT] = address.get("experiment")
    if page not in (START, "fine_tune"):
        kept = page_address(page)
        kept.clear()
        kept |= {name: value for name, value in address.items() if name not in ("suite", "run")}
    problems = []
    everything = reads.runs()
    reference = address.get("run")
    found = everything[everything["run_id"].eq(reference) | everything["name"].eq(reference)] if reference else None
    if found is not None and len(found):
        suite, run_id = str(found.iloc[0]["suite"]), str(found.iloc[0]["run_id"])
        st.session_state["suite"], st.session_state["run"] = suite, run_id
        if page == START:
            others = everything[(everything["suite"] == suite) & (everything["run_id"] != run_id)]
            names = dict(zip(others["run_id"], others["name"], strict=True))
            problems += view.take_address(run_id, address, runs=names)
        return problems
    if reference:
        problems.append(
            f"The link shows run '{reference[:100]}', which is not in this workspace; it may have been removed."
        )
        if page == START:
            problems += view.take_without_run(address)
    suite = address.get("suite")
    if suite in set(reads.suites()["suite"]):
        st.session_state["suite"] = suite
    elif suite is not None:
        problems.append(f"The link shows suite '{suite[:100]}', which is not in this workspace.")
    return problems


def redraw() -> None:
    """Draw what a change concerns anew: the fragment that runs, or all where the whole page runs anyway."""
    try:
        st.rerun(scope="fragment")
    except StreamlitAPIException:
        st.rerun()


def navigate() -> Any:
    """Draw the navigation, and return the page that was asked for."""
    pages = [
        st.Page(f"pages/{name}.py", title=title, url_path=name if name != START else "start", default=name == START)
        for name, title in PAGES.items()
    ]
    # The start stands at the bare address; who types its name, as those of the others, gets there too.
    named = st.Page(lambda: None, title=PAGES[START], url_path=START, visibility="hidden")
    page = st.navigation([*pages, named], position="top")
    if page.url_path == START:
        st.switch_page(f"pages/{START}.py", query_params=st.query_params.to_dict())
    return page


def theme() -> Theme:
    """Return the theme of figures that goes with the page's."""
    return theme_named(st.context.theme.type)


def show_error(failure: FTFTError) -> None:
    """Show the core's sentence, and its problems, as plain text where the cause is; in a filter, point at it."""
    said = "  \n".join(as_text(sentence) for sentence in (failure.message, *failure.problems))
    if isinstance(failure, FilterError) and failure.places:
        said += f"\n\n{FENCE}text\n{failure.pointed}\n{FENCE}"
    st.error(said, icon=":material/error:")


def say(words: str) -> None:
    """Say something in the background's colour, as plain text."""
    st.html(f'<div class="ftft-quiet">{html.escape(words)}</div>')


def guard(
    step: str,
    words: str,
    *,
    command: str | None = None,
    page: tuple[str, str] | None = None,
    experiment: bool = False,
) -> NoReturn:
    """Say what will be here and the one step that fills it, and end the page.

    :param experiment: an experiment would fill it, too.
    """
    with st.container(border=True):
        st.markdown(f"**{step}**")
        st.markdown(f":gray[{words}]")
        if command:
            st.code(command, language=None)
        if page:
            st.page_link(page[0], label=page[1], icon=":material/arrow_forward:")
        if experiment:
            st.page_link("pages/fine_tune.py", label="Set up an experiment", icon=":material/arrow_forward:",
                         query_params={"view": "experiment"})  # fmt: skip
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
