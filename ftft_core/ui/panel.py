"""The panel beside the map: the selection in numbers, or one example in detail.

Owns what is shown of a selection and the way from it to a saved subset; not how the selection came about.
"""

from __future__ import annotations

import html
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from ftft_core.errors import FTFTError
from ftft_core.figures import label_balance_figure, learning_curve_figure, words
from ftft_core.ui.frame import as_text, chosen, show_error, theme
from ftft_core.ui.selecting import Selection, draw_chips, take_strategy

MAX_CURVES = 1_000
"""Most examples of which the learning curve is read; evenly spaced over the selection in file order."""

DETAIL_SCORES = ("confidence", "variability", "correctness", "forgetting_events", "aum", "el2n", "loss",
                 "label_quality")  # fmt: skip

CLICKED = "map.clicked"
SAVED = "map.saved"
QUIET_CHART = {"displayModeBar": False}


def draw_panel(selection: Selection, data_map: pd.DataFrame, labels: tuple[str, ...]) -> None:
    """Draw the panel."""
    clicked = st.session_state.get(CLICKED)
    with st.container(key="panel"):
        if clicked is not None and clicked < len(data_map):
            _draw_example(data_map.iloc[clicked])
        elif not selection.chips:
            _draw_invitation(len(data_map))
        else:
            _draw_selection(selection, data_map, labels)


def open_example(row: int) -> None:
    """Turn the panel into the detail of a row of the map (for a click on it)."""
    st.session_state[CLICKED] = row


def close_example() -> None:
    """Go back from an example to the selection."""
    st.session_state.pop(CLICKED, None)


def _draw_invitation(num_examples: int) -> None:
    st.html(f'<div class="ftft-quiet">Selection</div><div class="ftft-count">None of {num_examples:,}</div>')
    st.markdown(":gray[Draw around points of the map, choose by rule, or start with a third of the examples:]")
    with st.container(horizontal=True, gap="small"):
        for strategy in ("ambiguous", "hard", "easy", "random"):
            st.button(strategy.capitalize(), key=f"take.{strategy}", on_click=take_strategy, args=(strategy,))
    st.markdown(":gray[A click on a point shows its text.]")


def _draw_selection(selection: Selection, data_map: pd.DataFrame, labels: tuple[str, ...]) -> None:
    count, everything = selection.count, len(data_map)
    st.html(
        '<div class="ftft-quiet">Selection</div>'
        f'<div class="ftft-count" data-testid="selection-count">{count:,} '
        f'<span class="ftft-quiet">of {everything:,} ({share_words(count, everything)})</span></div>'
    )
    draw_chips(selection.chips)
    if selection.failure is not None:
        show_error(selection.failure)
        return
    assert selection.recipe is not None
    st.html('<div class="ftft-heading">Labels <span class="ftft-quiet">tick: all examples</span></div>')
    balance = label_balance(data_map["label"], selection.mask, labels)
    st.plotly_chart(label_balance_figure(balance, theme()), config=QUIET_CHART, theme=None, key="panel.balance")
    st.html(
        '<div class="ftft-heading">Gold probability by epoch <span class="ftft-quiet">median, quartiles</span></div>'
    )
    ids = data_map.loc[selection.mask, "example_id"]
    _draw_curve(list(ids.iloc[np.unique(np.linspace(0, count - 1, min(count, MAX_CURVES)).astype(int))]))
    _draw_saving(selection, count)


def _draw_saving(selection: Selection, count: int) -> None:
    assert selection.recipe is not None
    recipe_text = selection.recipe.model_dump_json()
    name = st.text_input(
        "Name", key="map.name", placeholder="name of the subset (optional)", label_visibility="collapsed"
    )
    noun = "example" if count == 1 else "examples"
    if st.button(f"Save {count:,} {noun} as subset", type="primary", width="stretch", key="map.save"):
        try:
            record = chosen().workspace.save_subset(selection.recipe, name=name.strip() or None)
        except FTFTError as failure:
            show_error(failure)
            return
        st.session_state[SAVED] = (recipe_text, record.subset, record.name)
    saved = st.session_state.get(SAVED)
    if saved and saved[0] == recipe_text:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f":material/check: Saved as {as_text(saved[2])}", width="content")
            if st.button("Fine-tune on this", key="map.fine_tune", width="content"):
                st.session_state["fine_tune.subset"] = saved[1]
                st.switch_page("pages/fine_tune.py")


def _draw_example(row: pd.Series) -> None:
    st.button("Back to the selection", icon=":material/arrow_back:", on_click=close_example, type="tertiary")
    now = chosen()
    assert now.suite is not None
    example = now.workspace.examples(now.suite, "train", [row["example_id"]]).iloc[0]
    texts = [str(example[name]) for name in ("text", "text_pair") if isinstance(example[name], str)]
    st.html("".join(f'<div class="ftft-detail">{html.escape(text)}</div>' for text in texts))
    facts: list[tuple[str, str]] = [
        ("example", str(row["example_id"])),
        ("label", str(row["label"])),
        ("predicted", str(row["predicted_label"])),
        *((words(score), number_words(row[score])) for score in DETAIL_SCORES if score in row),
    ]
    st.html(
        '<dl class="ftft-facts">'
        + "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>" for name, value in facts)
        + "</dl>"
    )
    st.html('<div class="ftft-heading">Gold probability by epoch</div>')
    _draw_curve([row["example_id"]])


def _draw_curve(example_ids: list[str]) -> None:
    run = chosen().run
    assert run is not None
    curves = chosen().workspace.learning_curves(run["run_id"], example_ids)
    st.plotly_chart(learning_curve_figure(curves, theme()), config=QUIET_CHART, theme=None, key="panel.curve")


def label_balance(gold: pd.Series, mask: Any, labels: tuple[str, ...]) -> pd.DataFrame:
    """Share of each label among the selected and among all, in the suite's order."""
    everything = gold.value_counts(normalize=True)
    selected = gold[mask].value_counts(normalize=True)
    return pd.DataFrame(
        {
            "label": labels,
            "selected": [float(selected.get(label, 0.0)) for label in labels],
            "everything": [float(everything.get(label, 0.0)) for label in labels],
        }
    )


def share_words(count: int, everything: int) -> str:
    """Word a share: whole percents, and "under 1 %" rather than 0 where there is something."""
    share = 100 * count / everything if everything else 0.0
    return "under 1 %" if 0 < share < 0.5 else f"{share:.0f} %"


def number_words(value: Any) -> str:
    """Word a score: counts as whole numbers, others with three decimals, nothing as a dash."""
    if pd.isna(value):
        return "–"
    return str(int(value)) if isinstance(value, int | np.integer) else f"{float(value):.3f}"
