"""One run, opened: its state in words, curves while it trains, its log, and everything that is kept about it.

Owns how it is laid out; what can be done to it is `run_tools`', figures are `figures.run_charts`'.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
import streamlit as st

from ftft_core.config import RunConfig
from ftft_core.figures.run_charts import scores_by_step_figure, training_loss_figure
from ftft_core.planning import flops_words
from ftft_core.ui import reads
from ftft_core.ui import run_actions as actions
from ftft_core.ui.frame import chosen, show_error, theme
from ftft_core.ui.live_chart import live_chart
from ftft_core.ui.run_markup import (
    bar_markup,
    kept_markup,
    numbers_markup,
    since_words,
    size_words,
    state_words,
    taken_words,
    what_words,
)
from ftft_core.ui.run_tools import draw_tools
from ftft_core.workspace import RunProgress

LOG_LINES = 40
METRIC = "accuracy"

Run = Mapping[str, Any]


def draw_run(run: Run, *, position: int | None, num_waiting: int, way_back: str = "All runs") -> None:
    """Draw a run's own view.

    :param run: its row of the view `runs`.
    :param position: its place in the queue; 0 runs, None has ended.
    :param way_back: what the button says that closes it.
    """
    run_id, workspace = str(run["run_id"]), chosen().workspace
    progress, curves = workspace.progress(run_id), workspace.curves(run_id)
    with st.container(key="run-view", gap="small"):
        st.button(way_back, icon=":material/arrow_back:", key="run-close", type="tertiary", on_click=actions.close)
        left, right = st.columns([2.2, 1.5], vertical_alignment="center")
        left.html(f'<div class="ftft-title">{html.escape(str(run["name"]))}</div>'
                  f'<div class="ftft-what">{html.escape(what_words(run))}</div>')  # fmt: skip
        with right:
            draw_tools(run, progress, position=position, num_waiting=num_waiting, is_open=True)
        if run_id in actions.state().problems:
            show_error(actions.state().problems[run_id])
        wrong = " ftft-wrong" * (progress.status in ("failed", "lost"))
        said = html.escape(state_words(progress, position=position))
        st.html(f'{bar_markup(progress)}<div class="ftft-state{wrong}">{said}</div>')
        st.html(numbers_markup(progress))
        if len(curves) or progress.status in ("running", "queued"):
            _draw_curves(run_id, curves, progress)
        st.html('<div class="ftft-heading">Log</div>')
        tail = workspace.log_tail(run_id, LOG_LINES) or "Its training process has printed nothing."
        st.html(f'<pre class="ftft-log"><div>{html.escape(tail)}</div></pre>')
        with st.expander("Everything kept about this run"):
            st.html(kept_markup(_kept(run, progress)))


def _draw_curves(run_id: str, curves: pd.DataFrame, progress: RunProgress) -> None:
    left, right = st.columns(2, gap="small")
    scores = curves[(curves["what"] == METRIC) & (curves["role"] != "train")]
    with left:
        st.html('<div class="ftft-heading">Training loss</div>')
        figure = training_loss_figure(curves, theme(), num_steps=progress.num_steps)
        live_chart(figure, key=f"run-loss-{run_id}", words="Training loss by optimizer step")
    with right:
        shifted = bool((scores["role"] != "dev").any())
        words = "Accuracy on dev and, by snapshots, on the test splits" if shifted else "Accuracy on dev"
        st.html(f'<div class="ftft-heading">{words}</div>')
        figure = scores_by_step_figure(curves, theme(), metric=METRIC, num_steps=progress.num_steps)
        live_chart(figure, key=f"run-scores-{run_id}", words=f"{words}, by optimizer step")


def _several(value: object) -> object:
    return " and ".join(map(str, value)) if isinstance(value, tuple) else value


def _kept(run: Run, progress: RunProgress) -> Iterator[tuple[str, str]]:
    """Give name and value of all that is known about a run."""
    config = RunConfig.model_validate_json(str(run["config"])) if _known(run["config"]) else None
    yield "Run", str(run["run_id"])
    yield "Time", taken_words(progress, run.get("train_seconds"))
    yield "State since", since_words(progress.since)
    if config is not None:
        budget = ", ".join(f"{name} {value:g}" for name, value in config.budget if value is not None)
        yield "Budget", budget.replace("_", " ")
        if config.stop is not None:
            yield "Stop", ", ".join(f"{name} {value}" for name, value in config.stop_values.items()).replace("_", " ")
        training = ", ".join(f"{name} {_several(value)}" for name, value in config.training if value not in (None, ()))
        yield "Training", training.replace("_", " ")
    yield "Seed", str(run["seed"])
    yield "Model", f"{run['model']}, {run['num_layers']} layers"
    names = dict(zip(reads.subsets()["subset"], reads.subsets()["name"], strict=True))
    yield "Examples", str(names.get(run["subset"], run["subset"])) if _known(run["subset"]) else "all"
    if _known(run["reference_run"]):
        everything = reads.runs()
        reference = everything.loc[everything["run_id"] == run["reference_run"], "name"]
        yield "Reference", str(next(iter(reference), run["reference_run"]))
    for title, name in (("Device", "device"), ("Precision", "precision")):
        if _known(run.get(name)):
            yield title, str(run[name])
    if _known(run["peak_memory_mib"]):
        yield "Peak memory", size_words(float(run["peak_memory_mib"]) * 2**20)
    if _known(run["train_flops"]):
        yield "Cost", f"{flops_words(float(run['train_flops']))} in training"
    if progress.resumed_from_step:
        yield "Resumed", f"from step {progress.resumed_from_step:,}"
    yield "Disk", _disk_words(run, progress)
    yield "Suite", f"fingerprint {run['suite_fingerprint']}"
    yield "Training split", f"fingerprint {run['training_fingerprint']}"
    if _known(run["versions"]):
        versions = json.loads(str(run["versions"]))
        yield "Versions", ", ".join(f"{name} {version}" for name, version in versions.items())
    yield "Repeat", f"ftft train --like {run['name']}"


def _disk_words(run: Run, progress: RunProgress) -> str:
    return _disk(str(reads.workspace_folder()), str(run["run_id"]), progress.status, progress.epoch)


@st.cache_data(show_spinner=False, max_entries=64, ttl=60)
def _disk(folder: str, run_id: str, status: str, epoch: int | None) -> str:
    use = chosen().workspace.disk_use().set_index("run_id")
    if run_id not in use.index:
        return "nothing"
    row = use.loc[run_id]
    parts = [("checkpoint", row["checkpoint_bytes"]), ("model", row["model_bytes"]), ("else", row["other_bytes"])]
    said = ", ".join(f"{name} {size_words(float(size))}" for name, size in parts if size)
    return f"{size_words(float(row['total_bytes']))} ({said})"


def _known(value: Any) -> bool:
    return value is not None and not pd.isna(value)
