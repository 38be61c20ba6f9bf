"""How runs whose results are kept are named and told apart, and which are not kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from ftft_core.comparison import RunResult
from ftft_core.comparison.runs import column_id
from ftft_core.workspace.kept_files import portable_model


def run_key(run: RunResult) -> str:
    """Name a run by all that makes it what it is: the method's version and the seed; the same on every machine."""
    facts = {
        name: portable_model(value) if name.endswith("model") and isinstance(value, str) else value
        for name, value in run.facts.items()
    }
    reference = None if run.reference_model is None else portable_model(run.reference_model)
    portable = replace(run, model=portable_model(run.model), reference_model=reference, facts=facts)
    return f"{column_id(portable)}-{run.seed}"


def training_of(run: Mapping[str, Any]) -> tuple[object, ...]:
    """Name one training: of two runs of the same method and seed no two end at the same second with the same FLOPs.

    :param run: a row of the view `runs`, or what is kept of one.
    """
    ended = run["finished_at"]
    if not isinstance(ended, str):
        ended = None if pd.isna(ended) else ended.isoformat(timespec="seconds")
    return (run["method"], int(run["seed"]), int(run["num_layers"]), ended, run["train_flops"])


def left_out_runs(rows: Mapping[str, Mapping[str, Any]], keys: Mapping[str, str]) -> dict[str, str]:
    """Give the runs that are not kept, by name, and why."""
    reasons = {}
    latest = {keys[run_id]: run_id for run_id in keys}  # of runs that differ in nothing the last counts
    for run_id, row in rows.items():
        reference = row["reference_run"]
        if run_id not in keys:
            reasons[str(row["name"])] = f"it is {row['status']}"
        elif row["config"] == "{}":
            reasons[str(row["name"])] = "it was imported, so it is not known how it came about"
        elif isinstance(reference, str) and reference not in keys:
            reasons[str(row["name"])] = "its reference is not there, so its cost is not known"
        elif isinstance(reference, str) and rows[reference]["config"] == "{}":
            reasons[str(row["name"])] = "its reference was imported, so its cost is not known"
        elif latest[keys[run_id]] != run_id:
            reasons[str(row["name"])] = f"{rows[latest[keys[run_id]]]['name']} is the same run made again"
    return reasons
