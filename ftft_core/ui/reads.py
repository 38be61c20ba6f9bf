"""What pages read from the workspace, kept between interactions.

Owns the keys of what is kept: the workspace's folder together with the state of its database or of the run. Data
frames given out are shared between sessions and must not be changed.
"""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from ftft_core.errors import FTFTError
from ftft_core.modeling.checkpoints import PACKAGED_MODELS
from ftft_core.workspace import Workspace

FOLDER_VARIABLE = "FTFT_WORKSPACE"
DEFAULT_FOLDER = "workspace"
DATABASE_NAME = "ftft.duckdb"


def workspace_folder() -> Path:
    """Folder of the workspace that this app shows."""
    return Path(os.environ.get(FOLDER_VARIABLE) or DEFAULT_FOLDER).expanduser().resolve()


@st.cache_resource(show_spinner=False)
def _workspace(folder: str) -> Workspace:
    workspace = Workspace(Path(folder))
    workspace.database.linger()
    return workspace


def open_workspace() -> Workspace:
    """Return the workspace that this app shows, one object a process."""
    return _workspace(str(workspace_folder()))


@st.cache_resource(show_spinner=False)
def settle() -> None:
    """Tell the garbage collector, once a process, that what is loaded by now stays.

    Streamlit has it look through everything after each run of a page, all imported modules included.
    """
    gc.collect()
    gc.freeze()


def database_state() -> str:
    """Say which state the database is in; it changes with whatever is written."""
    folder = workspace_folder()
    marks = []
    for name in (DATABASE_NAME, f"{DATABASE_NAME}.wal"):
        try:
            found = (folder / name).stat()
        except OSError:
            continue
        marks.append(f"{name}:{found.st_mtime_ns}:{found.st_size}")
    return "|".join(marks)


def runs(suite: str | None = None) -> pd.DataFrame:
    """Return the runs of a suite, or all."""
    return _runs(str(workspace_folder()), database_state(), suite)


def removed_runs() -> pd.DataFrame:
    """Return the runs in the trash, the last removed first."""
    return _removed_runs(str(workspace_folder()), database_state())


def suites() -> pd.DataFrame:
    """Return the workspace's suites."""
    return _suites(str(workspace_folder()), database_state())


def subsets(suite: str | None = None) -> pd.DataFrame:
    """Return the subsets of a suite, or all."""
    return _subsets(str(workspace_folder()), database_state(), suite)


def fitting_references(suite: str, method: str, subset: str | None) -> list[str]:
    """Return the ids of the runs that can guide a run of this method, the newest first."""
    return _fitting_references(str(workspace_folder()), database_state(), suite, method, subset)


def newest_cost(suite: str, method: str) -> float | None:
    """Return the FLOPs of a method's newest finished run with its reference; None when there is none, or not known."""
    listed = runs(suite)
    listed = listed[(listed["method"] == method) & (listed["status"] == "finished")] if len(listed) else listed
    if listed.empty:
        return None
    try:
        return open_workspace().total_flops(str(listed.iloc[-1]["run_id"]))
    except FTFTError:
        return None


def suite_labels(suite: str) -> tuple[str, ...]:
    """Return a suite's labels in the order of the logits."""
    return _suite_labels(str(workspace_folder()), database_state(), suite)


def data_map(run: dict[str, Any], *, epochs: int | None) -> pd.DataFrame:
    """Scores of every example of a run; kept until the run counts another epoch.

    :raises FTFTError: if the run has no counted epoch.
    """
    return _data_map(str(workspace_folder()), str(run["run_id"]), str(run["counted_epochs"]), epochs)


@st.cache_data(show_spinner=False, max_entries=16)
def _runs(folder: str, state: str, suite: str | None) -> pd.DataFrame:
    return _workspace(folder).runs(suite)


@st.cache_data(show_spinner=False, max_entries=16)
def _removed_runs(folder: str, state: str) -> pd.DataFrame:
    return _workspace(folder).removed_runs()


@st.cache_data(show_spinner=False, max_entries=16)
def _suites(folder: str, state: str) -> pd.DataFrame:
    return _workspace(folder).suites()


@st.cache_data(show_spinner=False, max_entries=16)
def _subsets(folder: str, state: str, suite: str | None) -> pd.DataFrame:
    return _workspace(folder).subsets(suite)


@st.cache_data(show_spinner=False, max_entries=16)
def _fitting_references(folder: str, state: str, suite: str, method: str, subset: str | None) -> list[str]:
    return _workspace(folder).fitting_references(suite, method, subset)


@st.cache_data(show_spinner=False, max_entries=64)
def _suite_labels(folder: str, state: str, suite: str) -> tuple[str, ...]:
    return _workspace(folder).suite_labels(suite)


@st.cache_resource(show_spinner="Computing the map", max_entries=8)
def _data_map(folder: str, run_id: str, counted: str, epochs: int | None) -> pd.DataFrame:
    return _workspace(folder).data_map(run_id, epochs=epochs)


def known_models() -> list[str]:
    """Return the models to offer: those of earlier runs, newest first, then those that come in packages."""
    listed = runs()
    earlier = list(listed["model"])[::-1] if len(listed) else []
    return list(dict.fromkeys([*earlier, *PACKAGED_MODELS]))
