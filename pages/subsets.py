"""Subsets: which choices of examples are saved, what made them, and what comes next?"""

import streamlit as st

from ftft_core import ui
from ftft_core.errors import FTFTError
from ftft_core.selection import Recipe, in_words

now = ui.chosen()
if now.suite is None:
    ui.guard(
        "A subset is a saved choice of training examples, with the recipe that made it.",
        "It needs a suite and a run with a data map. The demo makes both on a small sample.",
        command="ftft demo",
    )
subsets = ui.reads.subsets(now.suite)
if subsets.empty:
    ui.guard(
        "This suite has no saved subset yet.",
        "Draw around points of a data map, or choose by rule, and save what is selected.",
        page=("pages/data_map.py", "Open the data map"),
    )
runs = ui.reads.runs(now.suite)
run_names = dict(zip(runs["run_id"], runs["name"], strict=True))
num_train = int(ui.reads.suites().set_index("suite").loc[now.suite, "num_train"])

for subset in subsets.iloc[::-1].to_dict("records"):
    with st.container(border=True, key=f"subset.{subset['subset']}"):
        words_column, size_column, next_column, remove_column = st.columns(
            [5, 1.6, 1.5, 0.9], vertical_alignment="center"
        )
        recipe = Recipe.model_validate_json(subset["recipe"])
        used = list(runs.loc[runs["subset"] == subset["subset"], "name"])
        words_column.markdown(f"**{ui.as_text(subset['name'])}**")
        made = in_words(recipe, run_name=run_names.get(recipe.source_run))
        users = f"; used by {', '.join(used)}" if used else ""
        words_column.markdown(f":gray[{ui.as_text(made + users)}]")
        size_column.markdown(f"{subset['size']:,} :gray[({ui.share_words(subset['size'], num_train)})]")
        if next_column.button("Fine-tune on this", key=f"next.{subset['subset']}", width="stretch"):
            st.session_state["fine_tune.subset"] = subset["subset"]
            st.switch_page("pages/fine_tune.py")
        if remove_column.button("Remove", key=f"remove.{subset['subset']}", type="tertiary", disabled=bool(used)):
            try:
                now.workspace.remove_subset(subset["subset"])
            except FTFTError as failure:
                ui.show_error(failure)
            else:
                st.rerun()
