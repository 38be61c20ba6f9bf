"""A run's buttons, on its line in the queue and in its own view: the likeliest one, and a menu of the others.

Owns what can be done to a run in which state; what it does is `run_actions`'.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from ftft_core.ui import run_actions as actions
from ftft_core.workspace import RunProgress

Run = Mapping[str, Any]


def draw_tools(
    run: Run, progress: RunProgress, *, position: int | None, num_waiting: int, is_open: bool = False
) -> None:
    """Draw a run's buttons: the one that is likeliest pressed, and a menu of the others.

    :param is_open: in the run's own view, where there is room for the way to its map while it still grows.
    """
    run_id, name, status = str(run["run_id"]), str(run["name"]), progress.status
    with st.container(horizontal=True, horizontal_alignment="right", gap=None, key=f"run-tools-{run_id}",
                      vertical_alignment="center"):  # fmt: skip
        if status == "queued" and position is not None and num_waiting > 1:
            st.button("", icon=":material/arrow_upward:", key=f"run-up-{run_id}", type="tertiary",
                      help="Sooner", disabled=position <= 1, on_click=actions.move,
                      args=(run_id, position - 1))  # fmt: skip
            st.button("", icon=":material/arrow_downward:", key=f"run-down-{run_id}", type="tertiary",
                      help="Later", disabled=position >= num_waiting, on_click=actions.move,
                      args=(run_id, position + 1))  # fmt: skip
        menu, to_map = [actions.DUPLICATE], bool(run["counted_epochs"])
        if is_open and status != "finished":
            st.button(actions.MAP, key=f"map.{run_id}", on_click=actions.choose, disabled=not to_map,
                      args=(run_id, "pages/data_map.py"), help=_map_help(run, status))  # fmt: skip
        with st.container(key=f"run-do-{run_id}", width="content"):
            menu += _draw_likeliest(run, progress)
        if not is_open and to_map and status not in ("finished", "queued"):
            menu.append(actions.MAP)
        if status != "running":
            menu.append(actions.REMOVE)
        key = f"run-menu-{run_id}"
        st.menu_button("More", menu, icon=":material/more_horiz:", key=key, type="tertiary", help="More",
                       on_click=actions.pick, args=(run_id, name, key))  # fmt: skip


def _draw_likeliest(run: Run, progress: RunProgress) -> list[str]:
    """Draw the button that is likeliest pressed, and give what goes into the menu instead.

    When a run's state changes, the browser keeps the old button beside the new one for a moment: all stand in one
    place, so that nothing moves away under the pointer.
    """
    run_id, to_map = str(run["run_id"]), bool(run["counted_epochs"])
    if progress.status in ("queued", "running"):
        st.button("Cancel", key=f"cancel.{run_id}", on_click=actions.cancel, args=(run_id,))
    elif progress.status == "finished":
        page = "pages/data_map.py" if to_map else "pages/compare.py"
        st.button(actions.MAP if to_map else actions.COMPARE, key=f"show.{run_id}", on_click=actions.choose,
                  args=(run_id, page))  # fmt: skip
        return [actions.COMPARE] if to_map and run["method"] != "reference" else []
    elif progress.can_resume:
        st.button("Resume", key=f"resume.{run_id}", on_click=actions.resume, args=(run_id,))
        return [actions.AGAIN]
    else:
        st.button("Try again", key=f"retry.{run_id}", on_click=actions.retry, args=(run_id,))
    return []


def _map_help(run: Run, status: str) -> str:
    num_epochs = int(run["counted_epochs"])
    if num_epochs:
        return f"As it is after {num_epochs} epoch{'s' * (num_epochs != 1)}"
    return "Can be opened after the first epoch" if status in ("running", "queued") else "No epoch was finished"
