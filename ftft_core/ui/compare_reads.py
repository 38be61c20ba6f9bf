"""What the comparison page reads, kept between interactions until a run of the suite changes."""

from __future__ import annotations

import streamlit as st

from ftft_core.comparison.pairs import Pair
from ftft_core.ui import reads
from ftft_core.workspace import ComparisonReport
from ftft_core.workspace.results import CostCurves


def report(suite: str, baseline: str) -> ComparisonReport:
    """Compare a suite's runs.

    :raises FTFTError: as `Workspace.compare`.
    """
    return _report(str(reads.workspace_folder()), _state(suite), suite, baseline)


def pair(suite: str, baseline: str, first: str, second: str, split: str) -> Pair:
    """Compare two methods on one split.

    :raises FTFTError: as `Workspace.compare_pair`.
    """
    return _pair(str(reads.workspace_folder()), _state(suite), suite, baseline, first, second, split)


def curves(suite: str, baseline: str, metric: str, role: str, main: tuple[str, int]) -> CostCurves:
    """Scores against cost, of the methods of one main model.

    :raises FTFTError: as `Workspace.cost_curves`.
    """
    return _curves(str(reads.workspace_folder()), _state(suite), suite, baseline, metric, role, main)


def _state(suite: str) -> str:
    """Say what a comparison depends on: every run of the suite with its state."""
    listed = reads.runs(suite)
    return str(listed[["run_id", "name", "status", "message", "finished_at"]].to_csv(index=False))


@st.cache_resource(show_spinner="Comparing the runs", max_entries=8)
def _report(folder: str, state: str, suite: str, baseline: str) -> ComparisonReport:
    return reads.open_workspace().compare(suite, baseline=baseline)


@st.cache_resource(show_spinner="Comparing the two methods", max_entries=32)
def _pair(folder: str, state: str, suite: str, baseline: str, first: str, second: str, split: str) -> Pair:
    return reads.open_workspace().compare_pair(_report(folder, state, suite, baseline), first, second, split)


@st.cache_resource(show_spinner="Reading the curves", max_entries=32)
def _curves(
    folder: str, state: str, suite: str, baseline: str, metric: str, role: str, main: tuple[str, int]
) -> CostCurves:
    compared = _report(folder, state, suite, baseline).of_main_model(*main)
    return reads.open_workspace().cost_curves(compared, metric=metric, role=role)
