"""Suites: which training data and test splits are here?"""

import streamlit as st

from ftft_core import ui

now = ui.chosen()
if now.suite is None:
    ui.guard(
        "A suite is training data, a dev split, and test splits in and out of distribution.",
        "Write a small YAML specification beside the files and add it; the demo adds a sample by itself.",
        command="ftft suite add NAME SPEC.yaml",
    )
suite = ui.reads.suites().set_index("suite").loc[now.suite].to_dict()
splits = now.workspace.suite_splits(now.suite)

st.subheader(ui.as_text(now.suite), anchor=False)
st.markdown(f":gray[{suite['num_train']:,} training examples, labels {ui.as_text(', '.join(suite['labels']))}]")
for warning in suite["warnings"]:
    st.warning(ui.as_text(warning), icon=":material/warning:")
table = splits[["split", "role", "num_examples", "has_groups", "label_map"]].assign(
    role=splits["role"].str.replace("_", " "), label_map=splits["label_map"].map(lambda found: found or "")
)
st.dataframe(
    table,
    hide_index=True,
    height="content",
    column_config={
        "num_examples": st.column_config.NumberColumn("examples", format="localized"),
        "has_groups": st.column_config.CheckboxColumn("groups"),
        "label_map": st.column_config.TextColumn("coarser labels"),
    },
)
if ui.reads.runs(now.suite).empty:
    st.page_link("pages/fine_tune.py", label="Fine-tune a first model on it", icon=":material/arrow_forward:")
else:
    st.page_link("pages/data_map.py", label="Open the data map of its runs", icon=":material/arrow_forward:")
