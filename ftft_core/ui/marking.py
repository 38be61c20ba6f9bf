"""Marking examples from the map: tags, notes, exclusion from training, proposed labels; each can be taken back.

Owns the widgets and who is named as author; what a mark means is the workspace's.
"""

from __future__ import annotations

import getpass
import html
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import streamlit as st

from ftft_core.errors import FTFTError
from ftft_core.ui.frame import as_text, chosen, redraw, show_error

LAST_ACTION = "ftft.last_action"
"""(suite, number, words) of what this tab marked last."""

WORDS = {
    "tag": "tagged {value}",
    "untag": "no longer tagged {value}",
    "note": "given a note",
    "exclude": "excluded from training",
    "include": "included in training again",
    "propose_label": "proposed to be {value}",
}


def author() -> str:
    """Return who acts: the name that this person signed in with, else the user that runs the app."""
    signed_in = getattr(st.user, "is_logged_in", False)
    name = (st.user.get("email") or st.user.get("name")) if signed_in else None
    try:
        return str(name or getpass.getuser())
    except (OSError, KeyError):  # a container's user may have no name
        return "somebody"


def mark(positions: npt.NDArray[np.int64], kind: str, value: str | None = None, reason: str | None = None) -> bool:
    """Mark examples; a failure is shown where the page stands. Says whether it was done."""
    now = chosen()
    assert now.suite is not None
    try:
        number = now.workspace.mark_positions(
            now.suite, positions, kind, value, author=author(), reason=(reason or "").strip() or None
        )
    except FTFTError as failure:
        show_error(failure)
        return False
    count = f"{len(positions):,} example" + "s" * (len(positions) != 1)
    said = WORDS[kind].format(value=value) if value or kind != "propose_label" else "without a proposed label"
    st.session_state[LAST_ACTION] = (now.suite, number, f"{count} {said}")
    return True


def last_action() -> tuple[str, int, str] | None:
    """Return suite, number and words of what this tab marked last in the suite, if it was not taken back."""
    last: tuple[str, int, str] | None = st.session_state.get(LAST_ACTION)
    return None if last is None or last[0] != chosen().suite else last


def draw_last_action() -> None:
    """Say what was marked last, with the button that takes it back; the line is there before anything is marked."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="last_action"):
        last = last_action()
        if last is None:
            st.html("<div>&nbsp;</div>")
        else:
            _draw_action(*last[1:])


def _draw_action(number: int, said: str) -> None:
    def take_back() -> None:
        try:
            chosen().workspace.undo_mark(number, author=author())
        except FTFTError as failure:
            show_error(failure)
        del st.session_state[LAST_ACTION]

    words = html.escape(said[:1].upper() + said[1:])
    st.html(f'<div class="ftft-quiet ftft-name" title="{words}">{words}</div>')
    st.button("Undo", key="mark.undo", type="tertiary", icon=":material/undo:", on_click=take_back)


def draw_marking(positions: npt.NDArray[np.int64], labels: Sequence[str], *, key: str) -> None:
    """Draw what can be done to these examples.

    :param positions: rows of the training split.
    :param key: tells this form from others on the page.
    """
    many = len(positions) != 1
    kinds = {"Tag": "tag", "Take a tag away": "untag", "Note": "note", "Exclude from training": "exclude",
             "Include in training": "include", "Propose a label": "propose_label"}  # fmt: skip
    kind = kinds[str(st.selectbox("Action", list(kinds), key=f"{key}.kind"))]
    value: str | None = None
    if kind in ("tag", "untag"):
        value = st.text_input("Tag", key=f"{key}.tag", placeholder="such as noisy", max_chars=60)
    elif kind == "note":
        value = st.text_area("Note", key=f"{key}.note", height=80)
    elif kind == "propose_label":
        value = st.selectbox("Label", labels, key=f"{key}.label", format_func=as_text)
    reason = st.text_input("Why (optional)", key=f"{key}.reason")
    if st.button(f"Apply to {len(positions):,} examples" if many else "Apply", type="primary", width="stretch",
                 key=f"{key}.do", disabled=not len(positions)) and mark(positions, kind, value, reason):  # fmt: skip
        redraw()
