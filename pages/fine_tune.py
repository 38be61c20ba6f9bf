"""Fine-tune: which model, on what, how much of it; and how the runs are doing."""

import streamlit as st

from ftft_core import ui
from ftft_core.errors import FTFTError
from ftft_core.ui.queue_list import draw_queue
from ftft_core.ui.run_form import Offered, draw_form
from ftft_core.ui.run_markup import fine_tune_style

now = ui.chosen()
if now.suite is None:
    ui.guard(
        "Fine-tuning needs a suite: training data, a dev split and test splits.",
        "Add one from its specification, or let the demo add its sample.",
        command="ftft suite add NAME SPEC.yaml",
    )

st.html(fine_tune_style(ui.theme().name))
try:
    num_train = int(ui.reads.suites().set_index("suite").loc[now.suite, "num_train"])
    offered = Offered(now.suite, num_train, ui.reads.runs(now.suite), ui.reads.subsets(now.suite))
except FTFTError as failure:
    ui.show_error(failure)
    st.stop()

form_column, queue_column = st.columns([1, 1.5], gap="large")
with form_column, st.container(key="ft-form"):
    draw_form(offered)
with queue_column, st.container(key="ft-queue"):
    draw_queue()
