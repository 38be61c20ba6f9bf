"""Transfer: whose map can stand in for the main model's, what would it cost, and how far is a map to be trusted?"""

import streamlit as st

from ftft_core import ui
from ftft_core.errors import FTFTError
from ftft_core.ui import transfer as page
from ftft_core.ui import transfer_parts as parts
from ftft_core.ui.transfer_tables import transfer_style, verdict

now = ui.chosen()
if now.suite is None:
    ui.guard(
        "Transfer asks whether a cheap model's data map can stand in for an expensive model's.",
        "It needs a suite with a reference and a main model. The demo makes both on a small sample.",
        command="ftft demo",
    )
scores = page.scores_of(now.workspace, now.suite)
score, problems = page.read_score(scores)
listed = now.workspace.transferable_runs(now.suite, score=score)
if listed.empty:
    ui.guard(
        "This suite has no run with a data map yet.",
        "A map takes two finished epochs. Fine-tune a small model on all examples, then the main one.",
        page=("pages/fine_tune.py", "Fine-tune"),
    )
if len(listed) == 1:
    ui.guard(
        f"Only run {ui.as_text(listed.iloc[0]['name'])} has a data map yet; a comparison takes two.",
        "Fine-tune another model on all examples, or the same with another seed; how far they agree will stand here.",
        page=("pages/fine_tune.py", "Fine-tune"),
    )
asked, more = page.read_asked(listed, score)
for problem in (*problems, *more):
    st.warning(ui.as_text(problem), icon=":material/link_off:")
page.draw_controls(asked, listed, scores)
ui.write_address()
if len(asked.runs) < 2:
    st.markdown(":gray[Choose at least two runs to compare.]")
    st.stop()
try:
    found = page.report(asked, listed)
except FTFTError as failure:
    ui.show_error(failure)
    st.stop()

st.html(transfer_style())
said, *remarks = found.advice.sentences
st.html(verdict(said, remarks))
parts.draw_matrices(found, asked)
if len(found.candidates) > 1:
    parts.draw_references(found)
parts.draw_reliability(found)
if len(found.candidates) > 1:
    parts.draw_scores(found)
parts.draw_averages(now.workspace, found, asked)
parts.draw_probe(now.workspace, now.suite, found, asked, listed)
