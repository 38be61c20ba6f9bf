"""Data map: where do a run's examples lie, what are they like, and which of them go into a subset?"""

import streamlit as st

from ftft_core import ui

now = ui.chosen()
if now.suite is None:
    ui.guard(
        "The data map shows how a model learnt each example.",
        "It needs a suite and a finished run. The demo makes both on a small sample.",
        command="ftft demo",
    )
if now.run is None:
    ui.guard(
        "This suite has no run yet.",
        "Fine-tune a small model on all examples; its training dynamics are the map.",
        page=("pages/fine_tune.py", "Fine-tune a first model"),
    )
if not ui.num_counted_epochs(now.run):
    ui.guard(
        "This run has no finished epoch yet.",
        "The map appears with its first epoch that has seen every example.",
    )


@st.fragment
def work() -> None:
    """Everything that a gesture changes; the frame around it stays as it is."""
    map_column, panel_column = st.columns([2.05, 1], gap="medium")
    with map_column:
        ui.draw_controls()
        seen = ui.draw_maps()
    with panel_column:
        ui.draw_panel(seen)
    ui.draw_examples(seen)
    ui.write_address()


work()
