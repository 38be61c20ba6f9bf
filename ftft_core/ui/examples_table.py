"""The table of selected examples: a page of rows at a time, texts fetched for those alone.

Owns paging and order; cells show text literally.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
import streamlit as st

from ftft_core.figures import words
from ftft_core.ui.frame import Chosen, chosen

PAGE_ROWS = 50
FILE_ORDER = "file order"
SORT_SCORES = ("confidence", "variability", "correctness", "forgetting_events", "aum", "loss", "label_quality")


def draw_examples(data_map: pd.DataFrame, mask: npt.NDArray[np.bool_] | None) -> None:
    """Draw the table of the selected examples, or of all when nothing is selected."""
    now = chosen()
    rows = data_map if mask is None else data_map.loc[mask]
    with st.container(key="examples"):
        _draw_table(rows, "All examples" if mask is None else "Selected examples", now)


def _draw_table(rows: pd.DataFrame, title: str, now: Chosen) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.html(f'<span class="ftft-heading">{title}</span>',
                width="content")  # fmt: skip
        st.space("stretch")
        order = st.selectbox("Order", [FILE_ORDER, *SORT_SCORES], format_func=lambda name: f"by {words(name)}"
                             if name != FILE_ORDER else "in file order", label_visibility="collapsed",
                             width=190, key="table.order")  # fmt: skip
        falling = st.toggle("highest first", key="table.falling", disabled=order == FILE_ORDER, width="content")
        num_pages = max(1, -(-len(rows) // PAGE_ROWS))
        page = st.number_input("Page", 1, num_pages, 1, key=f"table.page.{num_pages}", label_visibility="collapsed",
                               width=110)  # fmt: skip
        st.html(f'<span class="ftft-quiet">of {num_pages:,}</span>', width="content")
        st.download_button(
            "Export scores",
            data=lambda: rows.to_csv(index=False),
            file_name="selection.csv",
            mime="text/csv",
            disabled=rows.empty,
            on_click="ignore",
            width="content",
        )
    if order != FILE_ORDER:
        rows = rows.sort_values(order, ascending=not falling, kind="stable", na_position="last")
    shown = rows.iloc[(page - 1) * PAGE_ROWS : page * PAGE_ROWS]
    assert now.suite is not None
    texts = now.workspace.examples(now.suite, "train", list(shown["example_id"]))
    table = shown.assign(text=texts["text"].to_numpy(), text_pair=texts["text_pair"].to_numpy())
    columns = ["text", "text_pair"] if table["text_pair"].notna().any() else ["text"]
    st.dataframe(
        table[[*columns, "label", "predicted_label", "confidence", "variability", "correct_epochs",
               "forgetting_events", "example_id"]],
        hide_index=True,
        height=min(38 + 35 * max(len(table), 1), 420),
        column_config={
            "text": st.column_config.TextColumn("text", width="large"),
            "text_pair": st.column_config.TextColumn("second text", width="medium"),
            "predicted_label": "predicted",
            "confidence": st.column_config.NumberColumn("confidence", format="%.3f"),
            "variability": st.column_config.NumberColumn("variability", format="%.3f"),
            "correct_epochs": "correct epochs",
            "forgetting_events": "forgotten",
            "example_id": "example",
        },
    )  # fmt: skip
