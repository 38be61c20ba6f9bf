"""Fine-tune: which model, on what, how much of it; and how the runs are doing."""

import math

import streamlit as st

from ftft_core import ui
from ftft_core.config import METHODS, PRECISIONS, BudgetConfig, RunConfig, TrainingConfig, parse
from ftft_core.errors import FTFTError

ALL = "all training examples"
DEFAULTS = TrainingConfig()
BUDGETS = {"epochs": "epochs", "max_steps": "optimizer steps"}
MAX_SEEDS = 20

now = ui.chosen()
if now.suite is None:
    ui.guard(
        "Fine-tuning needs a suite: training data, a dev split and test splits.",
        "Add one from its specification, or let the demo add its sample.",
        command="ftft suite add NAME SPEC.yaml",
    )

runs, subsets = ui.reads.runs(now.suite), ui.reads.subsets(now.suite)
num_train = int(ui.reads.suites().set_index("suite").loc[now.suite, "num_train"])
sizes = {ALL: num_train, **dict(zip(subsets["subset"], subsets["size"].astype(int), strict=True))}
names = dict(zip(subsets["subset"], subsets["name"], strict=True))
wanted = st.session_state.pop("fine_tune.subset", None)
if wanted in sizes:
    st.session_state["ft_subset"] = wanted
if st.session_state.get("ft_subset") not in sizes:
    st.session_state["ft_subset"] = ALL

form, queue = st.columns([1, 1.25], gap="large")
with form:
    st.subheader("Which model", anchor=False)
    left, right = st.columns([2, 1])
    model = left.selectbox(
        "Model",
        ui.reads.known_models(),
        key="ft_model",
        accept_new_options=True,
        persist_state="session",
        help="A name from the list, a local folder, or a hub name; safetensors only.",
    )
    layers = right.number_input(
        "Encoder layers", 1, 96, None, key="ft_layers", placeholder="all", persist_state="session"
    )

    st.subheader("On what", anchor=False)
    left, right = st.columns([2, 1])
    subset = left.selectbox(
        "Examples",
        list(sizes),
        key="ft_subset",
        format_func=lambda option: f"{names.get(option, option)} ({sizes[option]:,})",
        persist_state="session",
    )
    subset_row = None if subset == ALL else subsets.set_index("subset").loc[subset].to_dict()
    methods = ui.fitting_methods(subset_row)
    method = right.selectbox("Counts as", methods, key=f"ft_method.{subset}", help=ui.as_text(METHODS[methods[0]]))

    st.subheader("How much", anchor=False)
    left, middle, right = st.columns(3)
    num_seeds = left.number_input("Seeds", 1, MAX_SEEDS, 1, key="ft_seeds", persist_state="session")
    unit = middle.selectbox("Budget in", list(BUDGETS), format_func=BUDGETS.get, key="ft_unit", persist_state="session")
    amount = right.number_input(
        BUDGETS[unit].capitalize(), min_value=1, value=3 if unit == "epochs" else 500, key=f"ft_{unit}",
        persist_state="session",
    )  # fmt: skip

    with st.expander("More"):
        left, right = st.columns(2)
        rate = left.text_input("Learning rate", f"{DEFAULTS.learning_rate:g}", key="ft_rate", persist_state="session")
        batch = right.number_input("Batch size", 1, 4096, DEFAULTS.batch_size, key="ft_batch", persist_state="session")
        precision = left.selectbox("Precision", list(PRECISIONS), key="ft_precision", persist_state="session")
        length = right.number_input(
            "Longest input, tokens", 4, 4096, DEFAULTS.max_length, key="ft_length", persist_state="session"
        )

    steps = amount if unit == "max_steps" else math.ceil(sizes[subset] / batch) * amount
    noun = "run" if num_seeds == 1 else "runs"
    st.markdown(ui.cost_words(runs, model, layers, int(num_seeds), int(steps), int(batch)))
    if st.button(f"Start {num_seeds} {noun}", type="primary", key="ft_start", disabled=not model):
        try:
            training = {"learning_rate": rate, "batch_size": batch, "precision": precision, "max_length": length}
            configs = [
                parse(
                    RunConfig,
                    {
                        "suite": now.suite,
                        "model": model,
                        "layers": layers,
                        "subset": None if subset == ALL else subset,
                        "method": method,
                        "seed": seed,
                        "budget": parse(BudgetConfig, {unit: amount}, what="The budget"),
                        "training": parse(TrainingConfig, training, what="The training configuration"),
                    },
                    what="The run",
                )
                for seed in ui.free_seeds(runs, model, layers, subset_row, method, int(num_seeds))
            ]
            for config in configs:
                now.workspace.submit(config)
        except FTFTError as failure:
            ui.show_error(failure)
        else:
            st.toast(f"{num_seeds} {noun} queued", icon=":material/schedule:")

with queue:
    st.subheader("Runs", anchor=False)
    ui.draw_queue()
