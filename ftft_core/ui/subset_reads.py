"""What the subsets page reads from the workspace, kept between interactions.

Owns how long each is kept: who belongs to a subset never changes, names and recipes in words may with any change of
the database. Many subsets are read through one connection.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import streamlit as st

from ftft_core.figures import theme_named
from ftft_core.figures.thumbnails import ThumbnailMap, thumbnail, thumbnail_map
from ftft_core.selection import Recipe
from ftft_core.selection.algebra import combine_masks
from ftft_core.ui.frame import num_counted_epochs
from ftft_core.ui.reads import database_state, open_workspace, runs, subsets, workspace_folder
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


@dataclass(frozen=True)
class ShownMap:
    """The map that a subset is shown on."""

    run: dict[str, Any]
    epochs: int | None
    """Counted epochs of it; None for all."""

    @property
    def words(self) -> str:
        """The run's name, and the epoch unless it is the last."""
        return str(self.run["name"]) + ("" if self.epochs is None else f", epoch {self.epochs}")


def shown_map(row: Mapping[str, Any]) -> ShownMap | None:
    """Return the map on which a subset is shown; None where its suite has none.

    It is the one that was looked at when the subset was made, or when those were that it was made from or is a twin
    of; else that of the newest run.
    """
    suite = str(row["suite"])
    listed = runs(suite)
    with_map = listed[listed["counted_epochs"] > 0]
    source, epochs = _source(str(row["recipe"]), _recipes(suite), frozenset())
    own = with_map[with_map["run_id"] == source]
    found = (own if len(own) else with_map.sort_values(["fraction", "created_at"], na_position="first")).tail(1)
    if not len(found):
        return None
    run = {str(name): value for name, value in found.to_dict("records")[0].items()}
    is_early = len(own) and epochs is not None and epochs < num_counted_epochs(run)
    return ShownMap(run, epochs if is_early else None)


def _recipes(suite: str) -> dict[str, str]:
    """Return the recipes of a suite's subsets by their ids, of removed ones too."""
    known = (subsets(suite), removed(suite))
    return {
        str(subset): str(text) for each in known for subset, text in zip(each["subset"], each["recipe"], strict=True)
    }


def _source(text: str, recipes: Mapping[str, str], seen: frozenset[str]) -> tuple[str | None, int | None]:
    """Return run and epochs of the map that a recipe looks at, or the first of those that it builds on."""
    recipe = Recipe.model_validate_json(text)
    if recipe.source_run is not None:
        return recipe.source_run, recipe.epochs
    for subset in filter(None, [*recipe.operands, recipe.twin_of]):
        if subset in recipes and subset not in seen:
            found = _source(recipes[subset], recipes, seen | {subset})
            if found[0] is not None:
                return found
    return None, None


def miniatures(subsets: Sequence[dict[str, Any]], theme_name: str) -> dict[str, bytes]:
    """Return subset -> its miniature as a PNG; subsets of a suite without any map are left out.

    :raises FTFTError: if a map can't be read.
    """
    shown = {str(row["subset"]): found for row in subsets if (found := shown_map(row)) is not None}
    keys = {
        subset: (str(found.run["run_id"]), str(found.run["counted_epochs"]), found.epochs)
        for subset, found in shown.items()
    }
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
def _thumbnail_map(folder: str, run_id: str, counted: str, epochs: int | None) -> ThumbnailMap:
    return thumbnail_map(open_workspace().map_frame(run_id, epochs=epochs))


@st.cache_resource(show_spinner="Drawing the miniatures", max_entries=32)
def _miniatures(
    folder: str,
    wanted: tuple[tuple[str, str, str, int | None], ...],
    theme_name: str,
    _maps: dict[tuple[str, str, int | None], ThumbnailMap],
) -> dict[str, bytes]:
    with open_workspace().database.reading():
        return {
            subset: _miniature(folder, subset, run_id, counted, epochs, theme_name, _maps[run_id, counted, epochs])
            for subset, run_id, counted, epochs in wanted
        }


@st.cache_data(show_spinner=False, max_entries=1000)
def _miniature(
    folder: str, subset: str, run_id: str, counted: str, epochs: int | None, theme_name: str, _places: ThumbnailMap
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
