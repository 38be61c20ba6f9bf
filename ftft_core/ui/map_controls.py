"""The pickers over the map: its axes, its colour, and the run beside it.

Owns what can be picked, and what stands in for a score that a run does not have.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import streamlit as st

from ftft_core.cartography import SCORES
from ftft_core.figures import words
from ftft_core.ui import map_reads
from ftft_core.ui.frame import as_text, chosen, num_counted_epochs, say
from ftft_core.ui.view import COLUMN_COLOURS, NO_RUN, SUBSET_COLOUR, TAG_COLOUR, state

NEEDS_TWO_EPOCHS = ("variability", "adjusted_variability")
"""Scores that are 0 everywhere on the map of one epoch."""

STAND_INS = ("variability", "aum", "loss")
"""What is shown in place of a score that a map lacks. On that of one epoch the margin of the logits spreads what the
confidence crowds at its ends."""


def draw_controls() -> None:
    """Draw the pickers of axes, colour and second map."""
    now, run = state(), chosen().run
    assert run is not None
    names = map_reads.subset_names(str(run["suite"]))
    known = map_reads.known_scores(run)
    colours = [*known, *COLUMN_COLOURS, TAG_COLOUR, *(SUBSET_COLOUR + subset for subset in names)]
    if now.colour in SCORES and now.colour not in known:
        say(f"For this run {words(now.colour)} is not known; the map is coloured by correctness.")
        now.colour = "correctness"
    if now.colour not in colours:
        gone = now.colour.removeprefix(SUBSET_COLOUR)
        st.warning(
            as_text(
                f"The map was to be coloured by subset '{gone[:100]}', which is not in this suite; it may have been "
                "removed. It is coloured by correctness."
            ),
            icon=":material/link_off:",
        )
        now.colour = "correctness"
    across, up, colour, beside, help_column = st.columns(
        [1, 1, 1.15, 1.25, 0.28], vertical_alignment="bottom", gap="small"
    )
    axes = shown_axes(run)
    scores = [score for score in known if not (has_one_epoch(run) and score in NEEDS_TWO_EPOCHS)]
    _picker(across, "Across", scores, "x", shown=axes[0])
    _picker(up, "Up", scores, "y", shown=axes[1])
    _picker(colour, "Colour", colours, "colour", lambda name: _colour_words(name, names))
    others = map_reads.runs_with_maps(str(run["suite"]))
    others.pop(str(run["run_id"]), None)
    if now.beside not in others:
        now.beside = NO_RUN
    _picker(beside, "Beside it", [NO_RUN, *others], "beside", lambda run_id: others.get(run_id, "no second map"))
    with help_column.popover(":material/help:", type="tertiary", help="What the scores mean", key="scores"):
        st.dataframe(_score_help(), hide_index=True, width=760)
    if axes != (now.x, now.y):
        stand_in, asked = next(pair for pair in zip(axes, (now.x, now.y), strict=True) if pair[0] != pair[1])
        why = f"This run has one counted epoch, and {words(asked)} needs two"
        if not has_one_epoch(run):
            why = f"When this run saw its examples is not known, which {words(asked)} needs"
        say(f"{why}: {words(stand_in)} stands in its place.")


def has_one_epoch(run: dict[str, Any]) -> bool:
    """Return whether a run has one counted epoch, so that nothing in its map varies."""
    return num_counted_epochs(run) == 1


def shown_axes(run: dict[str, Any]) -> tuple[str, str]:
    """Return the scores on x and y of a run's map: those that were asked for, or what stands in for them."""
    now = state()
    known = map_reads.known_scores(run)
    lacking = {score for score in SCORES if score not in known or (has_one_epoch(run) and score in NEEDS_TWO_EPOCHS)}
    taken: list[str] = []
    for asked, other in ((now.x, now.y), (now.y, now.x)):
        free = (score for score in STAND_INS if score not in (other, *taken, *lacking))
        taken.append(next(free) if asked in lacking else asked)
    return taken[0], taken[1]


def _follow(key: str, value: Any) -> str:
    """Let the widget under `key` show `value`, unless its person has just changed it; give the key."""
    shown = f"{key}.shown"
    if key not in st.session_state or st.session_state.get(shown) != value:
        st.session_state[key] = value
        st.session_state[shown] = value
    return key


def _picker(
    column: Any, label: str, options: list[Any], name: str, format_func: Callable[[Any], str] = words,
    *, shown: str | None = None,
) -> None:  # fmt: skip
    """Draw a picker of one field of the state.

    :param shown: what it shows, if that is not what the state says.
    """
    key = f"pick.{name}"

    def pick() -> None:
        setattr(state(), name, st.session_state[key])

    value = getattr(state(), name) if shown is None else shown
    column.selectbox(label, options, key=_follow(key, value), format_func=format_func, on_change=pick)


def _colour_words(colour: str, subsets: dict[str, str]) -> str:
    if colour.startswith(SUBSET_COLOUR):
        return f"in {subsets.get(colour.removeprefix(SUBSET_COLOUR), 'a removed subset')}"
    return words(colour)


def _score_help() -> pd.DataFrame:
    return pd.DataFrame(
        [(words(score.name), score.formula, score.high_means, score.source) for score in SCORES.values()],
        columns=["score", "formula", "high means", "source"],
    )
