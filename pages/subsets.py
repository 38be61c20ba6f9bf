"""Subsets: which choices of examples are saved, what made them, and what comes next?"""

import streamlit as st

from ftft_core import ui
from ftft_core.errors import FTFTError
from ftft_core.ui import subset_actions as actions
from ftft_core.ui import subset_reads
from ftft_core.ui.subset_algebra import draw_algebra
from ftft_core.ui.subset_cards import MANY, ORDERS, PER_PAGE, Listed, arrange, draw_cards, draw_removed
from ftft_core.ui.subset_dialogs import draw_dialog
from ftft_core.ui.subset_markup import legend, subset_style

now = ui.chosen()
if now.suite is None:
    ui.guard(
        "A subset is a saved choice of training examples, with the recipe that made it.",
        "It needs a suite and a run with a data map. The demo makes both on a small sample.",
        command="ftft demo",
    )
kept = actions.state()
while kept.said:
    st.toast(ui.as_text(kept.said.pop(0)), icon=":material/check:")


def first_page() -> None:
    """Another list begins at its first page."""
    st.session_state["subsets.page"] = 1


def draw_page(suite: str) -> None:
    """Draw the whole page."""
    facts = ui.reads.suites().set_index("suite").loc[suite]
    listed = Listed(
        suite, ui.reads.subsets(suite), subset_reads.removed(suite), ui.reads.runs(suite), int(facts["num_train"])
    )
    rows = {str(row["subset"]): row for row in listed.subsets.to_dict("records")}
    if kept.fine_tune is not None:
        wanted, kept.fine_tune = kept.fine_tune, None
        if wanted in rows:
            st.session_state["fine_tune.subset"] = wanted
            st.switch_page("pages/fine_tune.py")
        st.warning("The subset to fine-tune on was removed meanwhile; it is at the foot of this page.")
    draw_dialog(rows)
    if listed.subsets.empty and not actions.ghosts():
        with st.container(border=True):
            st.markdown("**This suite has no saved subset yet.**")
            st.markdown(":gray[Draw around points of a data map, or choose by rule, and save what is selected.]")
            st.page_link("pages/data_map.py", label="Open the data map", icon=":material/arrow_forward:")
        draw_removed(listed)
        return
    if len(rows) > 1:
        draw_algebra(suite, listed.subsets, now.run, listed.num_train)
    search, order = draw_toolbar(listed, str(facts["fingerprint"]))
    found = arrange(listed, search=search, order=order)
    num_pages = max(1, -(-len(found) // PER_PAGE))
    page = min(int(st.session_state.get("subsets.page") or 1), num_pages)
    if st.session_state.get("subsets.page", page) != page:
        st.session_state["subsets.page"] = page
    shown = found.iloc[(page - 1) * PER_PAGE : page * PER_PAGE]
    drawn_at_foot = set(listed.removed["subset"])
    for subset in set(kept.problems) - set(shown["subset"]) - drawn_at_foot:
        ui.show_error(kept.problems.pop(subset))
    if found.empty:
        st.markdown(f":gray[No subset's name contains {ui.as_text(search.strip())}.]")
    draw_cards(listed, shown)
    if num_pages > 1:
        st.pagination(num_pages, key="subsets.page")
    draw_removed(listed)


def draw_toolbar(listed: Listed, fingerprint: str) -> tuple[str, str]:
    """Say how many subsets there are and which colour is which label; search and sort where there are many."""
    count = len(listed.subsets)
    counts = subset_reads.suite_balance(listed.suite, fingerprint)
    labels = ui.reads.suite_labels(listed.suite)
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="subsets-toolbar"):
        st.html(
            f'<div class="ftft-legend"><b>{count:,} subset{"s" * (count != 1)}</b>'
            f"<span>labels of the training split:</span>{legend(counts, labels, ui.theme())}</div>"
        )
        if count <= MANY:
            return "", "newest"
        search = st.text_input("Find", key="subsets.find", placeholder="find by name", type="search", live=True,
                               label_visibility="collapsed", width=220, on_change=first_page)  # fmt: skip
        order = st.selectbox("Order", list(ORDERS), key="subsets.order", label_visibility="collapsed", width=130,
                             on_change=first_page)  # fmt: skip
    return str(search or ""), str(order)


st.html(subset_style(ui.theme()))
try:
    draw_page(now.suite)
except FTFTError as failure:
    ui.show_error(failure)
