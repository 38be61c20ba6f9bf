"""Fine-tune: one run, or an experiment of many: on what, how much of it; and how the runs are doing."""

import streamlit as st

from ftft_core import ui
from ftft_core.errors import FTFTError
from ftft_core.ui import experiment_form, experiment_list, experiment_state
from ftft_core.ui.experiment_markup import experiment_style
from ftft_core.ui.frame import VIEW
from ftft_core.ui.queue_list import draw_queue
from ftft_core.ui.run_form import Offered, draw_form
from ftft_core.ui.run_markup import fine_tune_style

VIEWS = {"run": "One run", "experiment": "Experiment"}

now = ui.chosen()
if now.suite is None:
    ui.guard(
        "Fine-tuning needs a suite: training data, a dev split and test splits.",
        "Add one from its specification, or let the demo add its sample.",
        command="ftft suite add NAME SPEC.yaml",
    )

st.html(fine_tune_style(ui.theme().name) + experiment_style())
try:
    num_train = int(ui.reads.suites().set_index("suite").loc[now.suite, "num_train"])
    offered = Offered(now.suite, num_train, ui.reads.runs(now.suite), ui.reads.subsets(now.suite))
    if VIEW not in st.session_state:  # who comes back finds what is under way
        st.session_state[VIEW] = "experiment" if experiment_list.is_one_under_way(now.suite) else "run"
except FTFTError as failure:
    ui.show_error(failure)
    st.stop()

st.session_state["ft_view"] = st.session_state[VIEW]
form_column, queue_column = st.columns([1, 1.5], gap="large")
with form_column, st.container(key="ft-form"):
    st.segmented_control(
        "Start", list(VIEWS), key="ft_view", format_func=VIEWS.__getitem__, label_visibility="collapsed", required=True,
        on_change=lambda: experiment_state.show(st.session_state["ft_view"]),
    )  # fmt: skip
    if st.session_state[VIEW] == "experiment":
        experiment_form.draw_form(now.suite)
    else:
        draw_form(offered)
with queue_column, st.container(key="ft-queue"):
    if st.session_state[VIEW] == "experiment":
        experiment_list.draw_experiments()
    else:
        draw_queue()
