"""The table of selected examples, linked with the map: sorted, searched and paged in SQL, texts of the page alone.

Owns paging, order, search and the export; cells show text literally.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import streamlit as st

from ftft_core.cartography import SCORES
from ftft_core.errors import FTFTError
from ftft_core.figures import words
from ftft_core.ui import map_reads
from ftft_core.ui.frame import chosen, show_error
from ftft_core.ui.maps import Seen
from ftft_core.ui.view import state

PAGE_ROWS = 50
FILE_ORDER = "file order"
ORDERS = (FILE_ORDER, *SCORES, "label", "predicted_label", "group", "text_length", "example_id")
SORTED_AS = {"correct_epochs": "correctness", "text": "text_length"}
"""Column whose header is clicked -> what the examples are then sorted by, where it is not the column itself."""

OPENED = "table.opened"
"""Set by the click that opened an example, until the page around the table follows."""

EXPORTS = {"CSV": "csv", "JSON lines": "jsonl", "Parquet": "parquet", "datasets folder (zip)": "zip"}
NUMBERS = {"confidence": ("%.3f", 84), "variability": ("%.3f", 80), "aum": ("%.2f", 56), "label_quality": ("%.3f", 92)}
"""Score -> its format, and the pixels of its column."""

NAMED = {"label": ("label", 76), "predicted_label": ("predicted", 80), "group": ("group", 80), "tags": ("tags", 80),
         "correct_epochs": ("correct", 66), "forgetting_events": ("forgotten", 76),
         "example_id": ("example", 72), "excluded": ("excluded", 70)}  # fmt: skip
"""Column -> its head, and its pixels."""

TABLE_WIDTH = 1_190
"""Pixels that the columns have in a window of 1,280; in a wider one each becomes wider."""

LEAST_TEXT_WIDTH = 130

EXCLUDED = "×"
"""Stands where the map crosses the example's point out."""


@st.fragment
def draw_examples(seen: Seen) -> None:
    """Draw the table of the selected examples, or of all when nothing is selected."""
    is_selected = seen.selection.is_made
    positions = seen.data_map["position"].to_numpy()[seen.selection.mask] if is_selected else None
    with st.container(key="examples"):
        order, descending, search, regex = _draw_head(seen, positions, is_selected=is_selected)
        query: dict[str, Any] = {"order": None if order == FILE_ORDER else order, "descending": descending}
        query |= {"search": search or None, "regex": regex}
        if seen.epochs is not None and order in SCORES:
            query["order_values"] = seen.data_map[order].to_numpy(dtype=np.float64, na_value=np.nan)
        try:
            _draw_page(seen, positions, query)
        except FTFTError as failure:
            show_error(failure)


def _draw_head(
    seen: Seen, positions: npt.NDArray[np.int64] | None, *, is_selected: bool
) -> tuple[str, bool, str, bool]:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.html(f'<span class="ftft-heading">{"Selected examples" if is_selected else "All examples"}</span>',
                width="content")  # fmt: skip
        st.space("stretch")
        search = st.text_input("Search", key="table.search", placeholder="search the texts", width=220,
                               label_visibility="collapsed")  # fmt: skip
        regex = st.toggle("regex", key="table.regex", width="content", help="Take the search as a regular expression")
        order = str(st.selectbox("Order", ORDERS, key="table.order", width=180, label_visibility="collapsed",
                                 format_func=_order_words))  # fmt: skip
        descending = st.toggle("highest first", key="table.falling", disabled=order == FILE_ORDER, width="content")
        with st.popover("Export", icon=":material/download:", key="table.export"):
            _draw_export(seen, positions)
    return order, bool(descending), str(search).strip(), bool(regex)


def _order_words(order: str) -> str:
    return "in file order" if order == FILE_ORDER else f"by {words(order)}"


def _draw_page(seen: Seen, positions: npt.NDArray[np.int64] | None, query: dict[str, Any]) -> None:
    workspace, run_id = chosen().workspace, str(seen.run["run_id"])
    chosen_now = seen.selection.choice.model_dump_json()
    signature = (run_id, chosen_now, seen.epochs, query["order"], query["descending"], query["search"])
    if st.session_state.get("table.of") != signature:  # another list begins at its first page
        st.session_state["table.of"] = signature
        st.session_state["table.page"] = 1
    _follow_open_example(seen, positions, query)
    page = int(st.session_state.get("table.page", 1))  # gone while there was but one page
    found = workspace.selection_rows(run_id, positions, **query, offset=(page - 1) * PAGE_ROWS, limit=PAGE_ROWS)
    rows = found.rows
    if seen.epochs is not None and len(rows):  # the map is at an earlier epoch, and so are the scores shown
        places = np.searchsorted(seen.data_map["position"].to_numpy(), rows["position"].to_numpy())
        early = seen.data_map.iloc[places]
        shown = [*(name for name in SCORES if name in rows), "predicted_label"]
        rows = rows.assign(**{name: early[name].to_numpy() for name in shown})
    _draw_rows(rows, f"table.rows.{hash((signature, page))}", str(seen.run["suite"]))
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        num_pages = max(1, -(-found.total // PAGE_ROWS))
        first = (page - 1) * PAGE_ROWS
        said = "Nothing here."
        if len(rows):
            said = f"{first + 1:,} to {first + len(rows):,} of {found.total:,}"
            said += ". A click on a row opens it, on a column sorts by it."
        st.html(f'<span class="ftft-quiet">{said}</span>', width="content")
        st.space("stretch")
        if num_pages > 1:
            st.number_input("Page", 1, num_pages, key="table.page", width=120, label_visibility="collapsed")
            st.html(f'<span class="ftft-quiet">of {num_pages:,} pages</span>', width="content")


def _draw_rows(rows: pd.DataFrame, key: str, suite: str) -> None:
    """Draw rows of the table; the one whose example is open is marked, a click opens another or sorts by a column."""
    ids = [str(example_id) for example_id in rows["example_id"]]
    opened = state().example
    shown = [ids.index(opened)] if opened in ids else []
    mark = f"{key}.marked"
    if st.session_state.get(mark, []) != shown:
        st.session_state[key] = {"selection": {"rows": shown, "columns": [], "cells": []}}
        st.session_state[mark] = shown

    def pick() -> None:
        clicked = st.session_state[key]["selection"]
        if clicked["columns"]:
            _sort_by(clicked["columns"][0])
            return
        row = next((cell[0] for cell in clicked["cells"]), next(iter(clicked["rows"]), None))
        st.session_state[mark] = list(clicked["rows"])
        st.session_state[OPENED] = state().example = None if row is None else ids[row]

    if "excluded" in rows:
        rows = rows.assign(excluded=np.where(rows["excluded"].astype(bool), EXCLUDED, ""))
    columns = [name for name in _columns(rows, suite) if name in rows]
    st.dataframe(
        rows[columns],
        hide_index=True,
        height=min(38 + 35 * max(len(rows), 1), 420),
        column_config=_column_config(columns),
        on_select=pick,
        selection_mode=("single-row", "single-cell", "single-column"),
        key=key,
    )
    if OPENED in st.session_state:  # the map and the panel stand outside of this fragment
        del st.session_state[OPENED]
        st.rerun(scope="app")


def _sort_by(column: str) -> None:
    order = SORTED_AS.get(column, column)
    if order in ORDERS:
        again = st.session_state["table.order"] == order
        st.session_state["table.falling"] = again and not st.session_state["table.falling"]
        st.session_state["table.order"] = order


def _follow_open_example(seen: Seen, positions: npt.NDArray[np.int64] | None, query: dict[str, Any]) -> None:
    """Turn to the page with the example that is open."""
    example_id = state().example
    if example_id == st.session_state.get("table.followed"):
        return
    st.session_state["table.followed"] = example_id
    if example_id is None:
        return
    rows = np.flatnonzero(seen.data_map["example_id"].eq(example_id))
    if len(rows):
        position = int(seen.data_map["position"].iloc[rows[0]])
        place = chosen().workspace.selection_place(str(seen.run["run_id"]), positions, position, **query)
        if place is not None:
            st.session_state["table.page"] = place // PAGE_ROWS + 1


def _columns(rows: pd.DataFrame, suite: str) -> list[str]:
    """Return the columns to show: the same on every page of a suite."""
    texts = ["text", "text_pair"] if map_reads.is_pair(suite) else ["text"]
    if len(rows) and rows["text"].isna().all():  # kept results were opened, and those hold no texts
        texts = []
    excluded = ["excluded"] * bool(map_reads.num_excluded(suite))
    tags = ["tags"] * bool(map_reads.tag_names(suite))
    group = ["group"] if rows["group"].notna().any() else []
    return [*excluded, *texts, "label", "predicted_label", *group, "confidence", "variability", "correct_epochs",
            "forgetting_events", "aum", "label_quality", *tags, "example_id"]  # fmt: skip


def _column_config(columns: Sequence[str]) -> dict[str, Any]:
    """Return how the columns look; the texts have the width that the others leave."""
    widths = {name: width for name, (_, width) in (NAMED | NUMBERS).items()}
    room = TABLE_WIDTH - sum(widths.get(name, 0) for name in columns)
    shares = {"text": 0.58, "text_pair": 0.42} if "text_pair" in columns else {"text": 1.0}
    texts = {
        name: st.column_config.TextColumn(said, width=max(int(share * room), LEAST_TEXT_WIDTH))
        for (name, share), said in zip(shares.items(), ("text", "second text"), strict=False)
    }
    named = {name: st.column_config.Column(said, width=width) for name, (said, width) in NAMED.items()}
    numbers = {
        name: st.column_config.NumberColumn(words(name), format=shape, width=width)
        for name, (shape, width) in NUMBERS.items()
    }
    return {**texts, **named, **numbers}


def _draw_export(seen: Seen, positions: npt.NDArray[np.int64] | None) -> None:
    count = len(seen.data_map) if positions is None else len(positions)
    kind = str(st.selectbox("Format", list(EXPORTS), key="table.export.format"))
    suffix = EXPORTS[kind]
    workspace, run_id = chosen().workspace, str(seen.run["run_id"])

    def content() -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            written = workspace.export_selection(run_id, positions, Path(folder) / f"selection.{suffix}")
            return Path(written).read_bytes()

    st.download_button(
        f"Download {count:,} example{'s' * (count != 1)} with texts and scores",
        data=content,
        file_name=f"{seen.run['name']}-selection.{suffix}",
        on_click="ignore",
        disabled=count == 0,
        width="stretch",
        key=f"table.export.{suffix}",
    )
