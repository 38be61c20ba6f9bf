"""Suites: which training data and test splits are here, what do they hold, and what comes next?"""

import streamlit as st

from ftft_core import ui
from ftft_core.errors import FTFTError
from ftft_core.ui import suite_actions as actions
from ftft_core.ui import suite_reads
from ftft_core.ui.subset_markup import legend, subset_style
from ftft_core.ui.suite_dialogs import draw_dialogs, draw_empty
from ftft_core.ui.suite_examples import draw_examples, take_split
from ftft_core.ui.suite_markup import CSS, facts_line, sentences, splits_table

now = ui.chosen()
kept = actions.state()
st.html(subset_style(ui.theme()) + f"<style>{CSS}</style>")
while kept.said:
    st.toast(ui.as_text(kept.said.pop(0)), icon=":material/check:")


def draw_head(suite: str, line: str) -> None:
    """Draw name and facts of the suite, the next step, and what can be done with suites."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.subheader(ui.as_text(suite), anchor=False, width="content")
        st.space("stretch")
        if ui.reads.runs(suite).empty:
            page, words = "pages/fine_tune.py", "Fine-tune a first model on it"
        else:
            page, words = "pages/data_map.py", "Open the data map of its runs"
        st.page_link(page, label=words, icon=":material/arrow_forward:", width="content")
        st.button("Add a suite", icon=":material/add:", on_click=actions.begin_adding, key="suites.begin_adding")
        st.button("Remove", icon=":material/delete:", on_click=actions.begin_removing, args=(suite,), type="tertiary",
                  help="Remove this suite for good", key="suites.begin_removing")  # fmt: skip
    st.html(line)


def draw_warnings(warnings: list[str]) -> None:
    """Draw what the data let a reader doubt: one sentence as it is, several folded."""
    if len(warnings) > 1:
        with st.expander(f"{len(warnings)} things to know about these data", icon=":material/warning:"):
            st.html(sentences(warnings))
    elif warnings:
        st.markdown(f":material/warning: :gray[{ui.as_text(warnings[0])}]")


def draw_page(suite: str) -> None:
    """Draw the whole page."""
    listed = ui.reads.suites()
    names = [str(name) for name in listed["suite"]]
    before = kept.shown
    lost = actions.name_of_lost_suite(names)
    if lost is not None:
        st.warning(f"Suite {ui.as_text(lost)} was removed meanwhile; this is {ui.as_text(suite)}.")
    facts = listed.set_index("suite").loc[suite].to_dict()
    fingerprint, labels = str(facts["fingerprint"]), tuple(facts["labels"])
    splits = suite_reads.splits(suite, fingerprint)
    problem = take_split(list(splits["split"]), is_other_suite=before not in (None, suite))
    if problem:
        st.warning(ui.as_text(problem), icon=":material/link_off:")
    num_examples = int(splits["num_examples"].sum())
    draw_head(suite, facts_line(facts, num_examples))
    draw_warnings(list(facts["warnings"]))
    counts = splits.iloc[0]["labels"]
    st.html(
        f'<div class="ftft-legend"><span>labels of the training split:</span>{legend(counts, labels, ui.theme())}</div>'
        + splits_table(splits, labels, ui.theme())
    )
    draw_examples(suite, fingerprint, splits, labels)
    draw_dialogs(names, num_examples)


try:
    if now.suite is None:
        lost = actions.name_of_lost_suite([])
        if lost is not None:
            st.warning(f"Suite {ui.as_text(lost)} was removed meanwhile.")
        draw_empty()
    else:
        draw_page(now.suite)
except FTFTError as failure:
    ui.show_error(failure)
