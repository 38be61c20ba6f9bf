"""What the subsets page reads from the workspace, kept between interactions.

Owns how long each is kept: who belongs to a subset never changes, names and recipes in words may with any change of
the database. Many subsets are read through one connection.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import streamlit as st

from ftft_core.figures import theme_named
from ftft_core.figures.thumbnails import ThumbnailMap, thumbnail, thumbnail_map
from ftft_core.selection import Recipe
from ftft_core.selection.algebra import combine_masks
from ftft_core.ui.reads import database_state, open_workspace, runs, workspace_folder
from ftft_core.workspace import RemadeSubset, SubsetComparison

Positions = npt.NDArray[np.int64]


def removed(suite: str) -> pd.DataFrame:
    """Return the removed subsets of a suite, last removed first."""
    return _removed(str(workspace_folder()), database_state(), suite)


def balances(subsets: Sequence[str]) -> dict[str, dict[str, int]]:
    """Return subset -> label -> count of the subsets of one page, labels in the suite's order."""
    return _balances(str(workspace_folder()), tuple(subsets))


def suite_balance(suite: str, fingerprint: str) -> dict[str, int]:
    """Return how many training examples of a suite have each label, in its order."""
    return _suite_balance(str(workspace_folder()), suite, fingerprint)


def recipe_words(subsets: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Return subset -> its recipe in a line, of the subsets of one page."""
    recipes = tuple((str(row["subset"]), str(row["recipe"])) for row in subsets)
    return _recipe_words(str(workspace_folder()), database_state(), recipes)


def map_run(row: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the run on whose map a subset is shown: its own, else the newest of its suite that has one."""
    listed = runs(str(row["suite"]))
    with_map = listed[listed["counted_epochs"] > 0]
    own = with_map[with_map["run_id"] == row["source_run"]]
    found = (own if len(own) else with_map.sort_values(["fraction", "created_at"], na_position="first")).tail(1)
    return {str(name): value for name, value in found.to_dict("records")[0].items()} if len(found) else None


def miniatures(subsets: Sequence[dict[str, Any]], theme_name: str) -> dict[str, bytes]:
    """Return subset -> its miniature as a PNG; subsets of a suite without any map are left out.

    :raises FTFTError: if a map can't be read.
    """
    shown = {str(row["subset"]): run for row in subsets if (run := map_run(row)) is not None}
    keys = {subset: (str(run["run_id"]), str(run["counted_epochs"])) for subset, run in shown.items()}
    maps = {key: _thumbnail_map(str(workspace_folder()), *key) for key in set(keys.values())}
    wanted = tuple((subset, *key) for subset, key in keys.items())
    return _miniatures(str(workspace_folder()), wanted, theme_name, maps)


def combined(suite: str, expression: str, operands: Mapping[str, str]) -> dict[str, int]:
    """Return how many examples of each label a set expression leaves, in the suite's order.

    :param operands: name -> id of each subset that it uses.
    :raises FTFTError: if it is malformed, or a subset is gone.
    """
    return _combined(str(workspace_folder()), suite, expression, tuple(operands.items()))


def compared(a: Mapping[str, Any], b: Mapping[str, Any], run: Mapping[str, Any] | None) -> SubsetComparison:
    """Compare two subsets, with the medians of a run's scores if one is given."""
    names = tuple(str(row[key]) for row in (a, b) for key in ("subset", "name"))
    of_run = (None, "") if run is None else (str(run["run_id"]), str(run["counted_epochs"]))
    return _compared(str(workspace_folder()), names, *of_run)


def remade(subset: str) -> RemadeSubset:
    """Return what a subset's recipe gives now."""
    return _remade(str(workspace_folder()), database_state(), subset)


@st.cache_data(show_spinner=False, max_entries=16)
def _removed(folder: str, state: str, suite: str) -> pd.DataFrame:
    return open_workspace().removed_subsets(suite)


@st.cache_data(show_spinner="Counting the labels", max_entries=32)
def _balances(folder: str, subsets: tuple[str, ...]) -> dict[str, dict[str, int]]:
    with open_workspace().database.reading():
        return {subset: _balance(folder, subset) for subset in subsets}


@st.cache_data(show_spinner=False, max_entries=5000)
def _balance(folder: str, subset: str) -> dict[str, int]:
    return open_workspace().subset_labels(subset)


@st.cache_data(show_spinner=False, max_entries=16)
def _suite_balance(folder: str, suite: str, fingerprint: str) -> dict[str, int]:
    return open_workspace().label_counts(suite)


@st.cache_data(show_spinner=False, max_entries=32)
def _recipe_words(folder: str, state: str, recipes: tuple[tuple[str, str], ...]) -> dict[str, str]:
    workspace = open_workspace()
    with workspace.database.reading():  # one connection for all
        return {subset: workspace.recipe_words(Recipe.model_validate_json(text)) for subset, text in recipes}


@st.cache_resource(show_spinner="Drawing the miniatures", max_entries=16)
def _thumbnail_map(folder: str, run_id: str, counted: str) -> ThumbnailMap:
    return thumbnail_map(open_workspace().map_frame(run_id))


@st.cache_resource(show_spinner="Drawing the miniatures", max_entries=32)
def _miniatures(
    folder: str, wanted: tuple[tuple[str, str, str], ...], theme_name: str, _maps: dict[tuple[str, str], ThumbnailMap]
) -> dict[str, bytes]:
    with open_workspace().database.reading():
        return {
            subset: _miniature(folder, subset, run_id, counted, theme_name, _maps[run_id, counted])
            for subset, run_id, counted in wanted
        }


@st.cache_data(show_spinner=False, max_entries=1000)
def _miniature(
    folder: str, subset: str, run_id: str, counted: str, theme_name: str, _places: ThumbnailMap
) -> bytes:  # fmt: skip
    return thumbnail(_places, open_workspace().subset_positions(subset), theme_named(theme_name))


@st.cache_data(show_spinner=False, max_entries=256)
def _combined(folder: str, suite: str, expression: str, operands: tuple[tuple[str, str], ...]) -> dict[str, int]:
    workspace = open_workspace()
    with workspace.database.reading():
        members = {name: workspace.subset_positions(subset) for name, subset in operands}
        everything = np.unique(np.concatenate(list(members.values())))
        masks = {name: np.isin(everything, rows, assume_unique=True) for name, rows in members.items()}
        return workspace.label_counts(suite, everything[combine_masks(expression, masks)])


@st.cache_data(show_spinner="Comparing the subsets", max_entries=64)
def _compared(folder: str, names: tuple[str, ...], run_id: str | None, counted: str) -> SubsetComparison:
    return open_workspace().compare_subsets(names[0], names[2], run=run_id)


@st.cache_data(show_spinner="Making it again", max_entries=64)
def _remade(folder: str, state: str, subset: str) -> RemadeSubset:
    return open_workspace().remake_subset(subset)
