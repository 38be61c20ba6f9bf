"""Looking at a suite's examples: one split, searched and filtered, paged in SQL, texts shown as they are.

Owns the list, its filters and the split in the address; cells show text literally.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from ftft_core.errors import FTFTError
from ftft_core.store.splits import NO_GROUP, ExampleFilter
from ftft_core.suites.validation import classes_of
from ftft_core.ui import frame, suite_reads
from ftft_core.ui.compare_examples import run_with_map
from ftft_core.ui.suite_markup import example_markup

PAGE = "suites"
PAGE_ROWS = 50
FEW_SPLITS = 6
"""As many are shown as buttons; more in a list."""

ANY = "\0"
"""No filter; no label or group has this name."""


@st.fragment
def draw_examples(suite: str, fingerprint: str, splits: pd.DataFrame, labels: tuple[str, ...]) -> None:
    """Draw a page of the examples of one split, and the one that was chosen."""
    rows = {str(row["split"]): row for row in splits.to_dict("records")}
    with st.container(key="suites-examples"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.html('<span class="ftft-heading">Examples</span>', width="content")
            split = _draw_split(list(rows))
            st.space("stretch")
            wanted = _draw_filters(suite, fingerprint, rows[split], labels)
        try:
            _draw_page(suite, fingerprint, rows[split], wanted)
        except FTFTError as failure:
            frame.show_error(failure)


def take_split(splits: list[str], *, is_other_suite: bool) -> str | None:
    """Drop the address's split if the suite has none such, and give a sentence on it if a link asked for it."""
    address = frame.page_address(PAGE)
    asked = address.get("split")
    if asked is None or asked in splits:
        return None
    del address["split"]
    frame.write_address()
    if is_other_suite:
        return None
    return f"The link shows split '{asked[:100]}', which this suite does not have; it has {', '.join(splits[:12])}."


def _draw_split(splits: list[str]) -> str:
    address = frame.page_address(PAGE)
    now = address.get("split", splits[0])
    key = "suites.split"
    if st.session_state.get(key) != now:
        st.session_state[key] = now

    def keep() -> None:
        if st.session_state[key] == splits[0]:
            address.pop("split", None)
        else:
            address["split"] = st.session_state[key]
        frame.write_address()

    if len(splits) <= FEW_SPLITS:
        st.segmented_control("Split", splits, key=key, on_change=keep, label_visibility="collapsed", required=True,
                             format_func=frame.as_text)  # fmt: skip
    else:
        st.selectbox("Split", splits, key=key, on_change=keep, label_visibility="collapsed", width=220)
    return now


def _draw_filters(suite: str, fingerprint: str, split: dict[str, Any], labels: tuple[str, ...]) -> ExampleFilter:
    name, counts = str(split["split"]), split["labels"]
    of_this = f"{fingerprint[:12]}.{name}"
    search = st.text_input("Search", key="suites.search", placeholder="search the texts", width=200,
                           label_visibility="collapsed")  # fmt: skip
    regex = st.toggle("regex", key="suites.regex", width="content", help="Take the search as a regular expression")
    classes = [label for label in classes_of(labels, split["label_map"]) if label in counts]
    label = st.selectbox(
        "Label", [ANY, *classes], key=f"suites.label.{of_this}", width=170, label_visibility="collapsed",
        format_func=lambda option: "any label" if option == ANY else f"{option}  ({counts[option]:,})",
    )  # fmt: skip
    group = ANY
    if split["has_groups"]:
        listed = suite_reads.groups(suite, fingerprint, name)
        sizes = {
            value if isinstance(value, str) else NO_GROUP: int(count)
            for value, count in zip(listed["group"], listed["num_examples"], strict=True)
        }
        group = st.selectbox(
            "Group", [ANY, *sizes], key=f"suites.group.{of_this}", width=180, label_visibility="collapsed",
            format_func=lambda option: _group_words(option, sizes),
            accept_new_options=len(sizes) == suite_reads.MAX_GROUPS,
        )  # fmt: skip
    return ExampleFilter(
        search=str(search).strip(),
        regex=bool(regex),
        label=None if label == ANY else str(label),
        group=None if group in (ANY, None) else str(group),
    )


def _group_words(group: str, sizes: dict[str, int]) -> str:
    if group == ANY:
        return "any group"
    name = group if group != NO_GROUP else "no group"
    return f"{name}  ({sizes[group]:,})" if group in sizes else name


def _draw_page(suite: str, fingerprint: str, split: dict[str, Any], wanted: ExampleFilter) -> None:
    name = str(split["split"])
    signature = (fingerprint, name, wanted)
    if st.session_state.get("suites.of") != signature:  # another list begins at its first page
        st.session_state["suites.of"] = signature
        st.session_state["suites.page"] = 1
    page = int(st.session_state.get("suites.page", 1))  # gone while there was but one page
    first = (page - 1) * PAGE_ROWS
    found = suite_reads.page(suite, fingerprint, name, wanted, offset=first, limit=PAGE_ROWS)
    if found.rows.empty:
        st.html(f'<div class="ftft-quiet">None of the {int(split["num_examples"]):,} examples is so.</div>')
        return
    left, right = st.columns([2, 1], gap="medium")
    with left:
        row = _draw_rows(found.rows, f"suites.rows.{hash((signature, page))}")
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            said = f"{first + 1:,} to {first + len(found.rows):,} of {found.total:,}"
            if found.total < split["num_examples"]:
                said += f" that match, of {int(split['num_examples']):,}"
            st.html(f'<span class="ftft-quiet">{said}, in file order</span>', width="content")
            st.space("stretch")
            num_pages = -(-found.total // PAGE_ROWS)
            if num_pages > 1:
                st.number_input("Page", 1, num_pages, key="suites.page", width=120, label_visibility="collapsed")
                st.html(f'<span class="ftft-quiet">of {num_pages:,} pages</span>', width="content")
    with right:
        _draw_example(suite, fingerprint, split, None if row is None else found.rows.iloc[row].to_dict())


def _draw_rows(rows: pd.DataFrame, key: str) -> int | None:
    """Draw the rows of a page; return the one that was chosen."""
    optional = [column for column in ("text", "text_pair", "group") if rows[column].notna().any()]
    columns = [*(name for name in optional if name != "group"), "label", *(["group"] if "group" in optional else [])]
    event = st.dataframe(
        rows[[*columns, "example_id"]],
        hide_index=True,
        height=372,
        row_height=31,
        column_config={
            "text": st.column_config.TextColumn("text", width="large"),
            "text_pair": st.column_config.TextColumn("second text", width="medium"),
            "label": st.column_config.TextColumn("label", width="small"),
            "group": st.column_config.TextColumn("group", width="small"),
            "example_id": st.column_config.TextColumn("example", width="small"),
        },
        on_select="rerun",
        selection_mode=("single-row", "single-cell"),
        key=key,
    )
    chosen = event["selection"]
    return next((int(cell[0]) for cell in chosen["cells"]), next(iter(chosen["rows"]), None))


def _draw_example(suite: str, fingerprint: str, split: dict[str, Any], row: dict[str, Any] | None) -> None:
    """Draw the whole of the chosen example."""
    if row is None:
        st.html('<div class="ftft-quiet">A click on a row shows the whole of its text here.</div>')
        return
    example_id = str(row["example_id"])
    st.html(example_markup(row, suite_reads.texts(suite, fingerprint, str(split["split"]), example_id)))
    if split["role"] == "train" and (run := run_with_map(suite)) is not None:
        st.page_link("pages/data_map.py", label="See it on the data map", icon=":material/scatter_plot:",
                     query_params={"suite": suite, "run": run, "example": example_id}, width="content")  # fmt: skip
