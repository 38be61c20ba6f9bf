"""Hints within a selection: probable label errors, texts that stand there twice, and texts that mean nearly the same.

Owns how hints are shown and turned into a smaller selection; finding them is `profile`'s and `neighbours`'.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import streamlit as st

from ftft_core.errors import FTFTError
from ftft_core.neighbours import EmbeddingState
from ftft_core.profile import IN_SAMPLE
from ftft_core.ui import map_reads as reads
from ftft_core.ui.frame import as_text, chosen, duration_words, say, show_error
from ftft_core.ui.maps import Seen

MAX_LISTED = 100_000
"""Examples that a hint can narrow the selection down to; the clearest of them where there are more."""

REFRESH_SECONDS = 2
STAGES = {
    "embedding": "Embedding the texts",
    "neighbours": "Finding neighbours",
    "splits": "Embedding the other splits",
}

Narrow = Callable[[tuple[str, ...]], None]
"""Keeps only these examples in the selection."""


def draw_hints(seen: Seen, narrow: Narrow) -> None:
    """Draw what is suspicious in the selection, each with a button that keeps only that."""
    try:
        _draw_label_errors(seen, narrow)
        _draw_exact_duplicates(seen, narrow)
        _draw_near_duplicates(seen, narrow)
    except FTFTError as failure:
        show_error(failure)


def _draw_label_errors(seen: Seen, narrow: Narrow) -> None:
    issues = reads.label_issues(seen.run, seen.epochs)
    mask = issues["is_issue"].to_numpy(dtype=bool) & seen.selection.mask
    rows = np.flatnonzero(mask)
    clearest = rows[np.argsort(issues["quality"].to_numpy()[rows], kind="stable")][:MAX_LISTED]
    ids = tuple(seen.data_map["example_id"].iloc[np.sort(clearest)])
    st.html(f'<div class="ftft-heading">{_count(len(rows), "probable label error")}</div>')
    say(IN_SAMPLE)
    _draw_button("Look at them", ids, len(rows), narrow, key="hint.labels")


def _draw_exact_duplicates(seen: Seen, narrow: Narrow) -> None:
    found = reads.exact_duplicates(str(seen.run["suite"]), _positions(seen))
    number = int(found.attrs["num_groups"])
    said = "text that stands" if number == 1 else "texts that stand"
    said = f"{number:,} {said} there more than once" if number else "No text stands there more than once"
    _draw_groups(said, found, narrow, key="hint.exact")


def _draw_near_duplicates(seen: Seen, narrow: Narrow) -> None:
    suite = str(seen.run["suite"])
    state = reads.embedding_state(suite)
    if reads.is_embedded(suite):
        found = reads.near_duplicates(suite, _positions(seen))
        said = f"{_count(int(found.attrs['num_groups']), 'group')} of texts that mean nearly the same"
        _draw_groups(said, found, narrow, key="hint.near")
    else:
        if state.status != "running":
            st.html('<div class="ftft-heading">Near-duplicates and nearest texts</div>')
        draw_embedding(suite, state, "They need the texts embedded once; that goes on in the background.")


def draw_embedding(suite: str, state: EmbeddingState, why: str) -> None:
    """Draw how far the embedding of a suite is, or the button that starts it.

    :param why: what it is for, said while it was never started.
    """
    if state.status == "running":
        st.fragment(_draw_progress, run_every=REFRESH_SECONDS)(suite)
        return
    said = why
    if state.status == "failed":
        said = f"Embedding the texts failed: {state.message}"
    elif state.status in ("stopped", "cancelled"):
        said = f"Embedding stopped after {state.done:,} of {state.total:,} texts; it goes on from there."
    say(said)
    st.button("Embed the texts", key="hint.embed", on_click=_start, args=(suite,))


def _draw_progress(suite: str) -> None:
    state: EmbeddingState = chosen().workspace.embedding_state(suite)
    if state.status != "running":
        st.rerun(scope="app")
    left = "" if state.seconds_left is None else f", {duration_words(state.seconds_left)} left"
    stage = STAGES.get(state.stage or "", "Starting")
    st.progress(min(1.0, state.fraction), f"{stage}: {state.done:,} of {state.total:,}{left}")
    st.button("Stop", key="hint.stop", type="tertiary", on_click=_stop, args=(suite,))


def _start(suite: str) -> None:
    try:
        chosen().workspace.start_embedding(suite)
    except FTFTError as failure:
        st.toast(as_text(failure.message), icon=":material/error:")


def _stop(suite: str) -> None:
    try:
        chosen().workspace.cancel_embedding(suite)
    except FTFTError as failure:
        st.toast(as_text(failure.message), icon=":material/error:")


def _draw_groups(said: str, found: pd.DataFrame, narrow: Narrow, *, key: str) -> None:
    contradicting = int(found.attrs["num_contradicting"])
    st.html(f'<div class="ftft-heading">{said}</div>')
    if contradicting:
        say(f"In {contradicting:,} of them the labels contradict each other.")
    with st.container(horizontal=True, gap="small"):
        ids = tuple(found["example_id"].iloc[:MAX_LISTED])
        _draw_button("Look at them", ids, len(found), narrow, key=key)
        if contradicting:
            of_those = found.loc[found["contradicting"], "example_id"]
            _draw_button(
                "Only contradicting", tuple(of_those.iloc[:MAX_LISTED]), len(of_those), narrow, key=f"{key}.wrong"
            )


def _draw_button(words: str, ids: tuple[str, ...], count: int, narrow: Narrow, *, key: str) -> None:
    if ids:
        said = words if len(ids) == count else f"{words} (the first {len(ids):,})"
        st.button(said, key=key, type="tertiary", on_click=narrow, args=(ids,))


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}" if number else f"No {noun}"


def _positions(seen: Seen) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    positions: np.ndarray[tuple[int], np.dtype[np.int64]] = seen.data_map["position"].to_numpy()[seen.selection.mask]
    return positions
