"""Data map: where do a run's examples lie, and which of them go into a subset?"""

import pandas as pd
import streamlit as st

from ftft_core import ui
from ftft_core.cartography import SCORES
from ftft_core.errors import FTFTError
from ftft_core.figures import LABEL_COLUMNS, MAX_DRAWN_POINTS, DrawnMap, Window, data_map_figure, words

MAP_HEIGHT = 590


@st.cache_resource(show_spinner=False, max_entries=24)
def drawn_map(
    run_id: str,
    counted: str,
    epochs: int | None,
    axes: tuple[str, str],
    colour: str,
    window: Window | None,
    _data_map: pd.DataFrame,
    _labels: tuple[str, ...],
) -> DrawnMap:
    return data_map_figure(_data_map, x=axes[0], y=axes[1], colour=colour, labels=_labels, window=window)


def describe(name: str) -> str:
    return words(name)


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
num_epochs = ui.num_counted_epochs(now.run)
if not num_epochs:
    ui.guard(
        "This run has no finished epoch yet.",
        "The map appears with its first epoch that has seen every example.",
    )

x_column, y_column, colour_column, epoch_column, rule_column = st.columns(
    [1.1, 1.1, 1.1, 1.5, 1], vertical_alignment="bottom", gap="medium"
)
scores = list(SCORES)
x = x_column.selectbox(
    "Across", scores, scores.index("variability"), key="x", format_func=describe, bind="query-params"
)
y = y_column.selectbox("Up", scores, scores.index("confidence"), key="y", format_func=describe, bind="query-params")
colours = [*scores, *LABEL_COLUMNS]
colour = colour_column.selectbox(
    "Colour", colours, colours.index("correctness"), key="colour", format_func=describe, bind="query-params"
)
epoch = num_epochs
if num_epochs > 1:
    epoch = epoch_column.slider("Epochs counted", 1, num_epochs, num_epochs, key=f"epochs.{now.run['run_id']}")
epochs = None if epoch == num_epochs else epoch

try:
    data_map = ui.reads.data_map(now.run, epochs=epochs)
    labels = ui.reads.suite_labels(now.suite)
except FTFTError as failure:
    ui.show_error(failure)
    st.stop()

axes = (x, y)
map_key = f"map.{now.run['run_id']}"
with rule_column:
    ui.draw_rules(data_map, axes, labels)
selection = ui.current_selection(
    data_map,
    map_key=map_key,
    axes=axes,
    run_id=now.run["run_id"],
    epochs=epochs,
    preview=now.workspace.preview_subset,
)
is_sampled = len(data_map) > MAX_DRAWN_POINTS
drawn = drawn_map(
    now.run["run_id"],
    str(now.run["counted_epochs"]),
    epochs,
    axes,
    colour,
    ui.window_in_view(map_key, axes) if is_sampled else None,
    data_map,
    labels,
)


def legend(click: ui.LegendClick) -> None:
    for value in click.values:
        ui.toggle_label(value)


outline = st.session_state.get(f"{map_key}.outline.{ui.clear_token()}")
map_column, panel_column = st.columns([2.05, 1], gap="medium")
with map_column:
    ui.show_map(
        drawn,
        key=map_key,
        axes=axes,
        selected=selection.mask if selection.chips else None,
        outlines=[] if outline is None else [outline],
        legend_active=st.session_state.get("rule.labels", []) if colour == "label" else None,
        report_view=is_sampled,
        height=MAP_HEIGHT,
        on_gesture=lambda drawn_outline, _: ui.keep_outline(map_key, drawn_outline),
        on_click=lambda row, _: ui.open_example(row),
        on_legend=legend if colour == "label" else None,
    )
with panel_column:
    ui.draw_panel(selection, data_map, labels)
ui.draw_examples(data_map, selection.mask if selection.chips else None)
