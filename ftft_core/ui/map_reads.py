"""What the data map reads from the workspace, kept between interactions.

Owns how long each is kept: what a run recorded until it counts another epoch, what people change (marks, subsets)
until the database changes. Frames and arrays given out are shared between sessions and must not be changed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import streamlit as st

from ftft_core.cartography import SCORES, map_doubts
from ftft_core.comparison import transfer_matrix
from ftft_core.figures import words
from ftft_core.neighbours import EmbeddingState
from ftft_core.profile import Profile, ProfileSource, describe
from ftft_core.selection import Recipe
from ftft_core.ui.reads import database_state, open_workspace, runs, subsets, workspace_folder
from ftft_core.workspace import Workspace

NO_TAG = "no tag"
SEVERAL_TAGS = "several tags"


def map_frame(run: dict[str, Any], *, epochs: int | None) -> pd.DataFrame:
    """Return a run's map frame; `epochs` None for all counted ones.

    :raises FTFTError: if the run has no counted epoch.
    """
    return _map_frame(str(workspace_folder()), str(run["run_id"]), str(run["counted_epochs"]), epochs)


def known_scores(run: dict[str, Any]) -> list[str]:
    """Return the scores that any example of a run's map has: some are known only of runs that were trained here."""
    frame = map_frame(run, epochs=None)
    lacks = frame["adjusted_variability"].isna().all()
    return [score for score in SCORES if not (lacks and score == "adjusted_variability")]


def other_map(run_id: str) -> pd.DataFrame:
    """Return the whole map frame of a run by its id, for conditions on another run's map."""
    listed = runs()
    found = listed[listed["run_id"] == run_id].to_dict("records")
    if not found:
        return open_workspace().map_frame(run_id)  # which says that there is none
    return map_frame({str(name): value for name, value in found[0].items()}, epochs=None)


def selection_mask(
    run: dict[str, Any], recipe: Recipe, data_map: pd.DataFrame, *, is_lasting: bool
) -> npt.NDArray[np.bool_]:
    """Return which examples of a map a recipe takes.

    :param is_lasting: whether only another epoch can change it; else any change of the database may.
    """
    state = "" if is_lasting else database_state()
    key = (str(workspace_folder()), str(run["counted_epochs"]), recipe.model_dump_json(), state)
    return _selection_mask(*key, recipe, data_map)


@st.cache_resource(show_spinner=False, max_entries=48)
def _selection_mask(
    folder: str, counted: str, recipe_text: str, state: str, _recipe: Recipe, _data_map: pd.DataFrame
) -> npt.NDArray[np.bool_]:
    return open_workspace().selection_mask(_recipe, data_map=_data_map, map_of=other_map)


@st.cache_resource(show_spinner="Computing the map", max_entries=8)
def _map_frame(folder: str, run_id: str, counted: str, epochs: int | None) -> pd.DataFrame:
    return Workspace(folder).map_frame(run_id, epochs=epochs)


def doubts(run: dict[str, Any], data_map: pd.DataFrame) -> tuple[str, ...]:
    """Return why the whole map of a run tells little; empty for one that can be used."""
    of_order = "adjusted_variability" in data_map
    return _doubts(str(workspace_folder()), str(run["run_id"]), str(run["counted_epochs"]), of_order, data_map)


@st.cache_resource(show_spinner=False, max_entries=48)
def _doubts(folder: str, run_id: str, counted: str, of_order: bool, _data_map: pd.DataFrame) -> tuple[str, ...]:
    return map_doubts(_data_map)


def profile(run: dict[str, Any], epochs: int | None, data_map: pd.DataFrame, mask: npt.NDArray[np.bool_]) -> Profile:
    """Describe a selection of a run's map against the rest."""
    source = _profile_source(str(workspace_folder()), str(run["run_id"]), str(run["counted_epochs"]), epochs, data_map)
    return _profile(source.key, mask.tobytes() if len(mask) < 50_000 else hash(mask.tobytes()), source.source, mask)


class _Keyed:
    """A profile's source with a name of its own, since hashing it would read all of it."""

    def __init__(self, key: str, source: ProfileSource) -> None:
        self.key, self.source = key, source


@st.cache_resource(show_spinner="Reading the words of the suite", max_entries=4)
def _profile_source(folder: str, run_id: str, counted: str, epochs: int | None, _data_map: pd.DataFrame) -> _Keyed:
    source = Workspace(folder).profile_source(run_id, epochs=epochs, data_map=_data_map)
    return _Keyed(f"{folder}|{run_id}|{counted}|{epochs}", source)


@st.cache_resource(show_spinner=False, max_entries=64)
def _profile(key: str, mask_key: bytes | int, _source: ProfileSource, _mask: npt.NDArray[np.bool_]) -> Profile:
    return describe(_source, _mask)


def label_issues(run: dict[str, Any], epochs: int | None) -> pd.DataFrame:
    """Return the probable label errors of a run's map: is_issue, quality, suggested_label."""
    return _label_issues(str(workspace_folder()), str(run["run_id"]), str(run["counted_epochs"]), epochs)


@st.cache_resource(show_spinner="Looking for label errors", max_entries=4)
def _label_issues(folder: str, run_id: str, counted: str, epochs: int | None) -> pd.DataFrame:
    return Workspace(folder).label_issues(run_id, epochs=epochs)


def exact_duplicates(suite: str, positions: npt.NDArray[np.int64]) -> pd.DataFrame:
    """Return the groups of equal texts among some rows of the training split."""
    return _exact_duplicates(str(workspace_folder()), suite, hash(positions.tobytes()), positions)


@st.cache_resource(show_spinner="Comparing the texts", max_entries=16)
def _exact_duplicates(folder: str, suite: str, key: int, _positions: npt.NDArray[np.int64]) -> pd.DataFrame:
    return Workspace(folder).exact_duplicates(suite, _positions)


def near_duplicates(suite: str, positions: npt.NDArray[np.int64]) -> pd.DataFrame:
    """Return the groups of near-duplicates among some rows of the training split."""
    return open_workspace().near_duplicates(suite, positions)


def embedding_state(suite: str) -> EmbeddingState:
    """Return how the embedding of a suite is doing."""
    return open_workspace().embedding_state(suite)


def is_embedded(suite: str) -> bool:
    """Return whether there is a whole embedding of a suite, whatever became of the one that was started last."""
    return len(open_workspace().embeddings(suite)) > 0


def neighbours(suite: str, example_id: str, count: int) -> pd.DataFrame | None:
    """Return an example's nearest texts; None while they are not embedded."""
    if not is_embedded(suite):
        return None
    return open_workspace().neighbours(suite, example_id, count)


def subset_names(suite: str) -> dict[str, str]:
    """Return id -> name of a suite's subsets."""
    listed = subsets(suite)
    return dict(zip(listed["subset"], listed["name"], strict=True))


def subset_mask(suite: str, subset: str, data_map: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Return which examples of a map are in a subset."""
    inside = np.asarray(open_workspace().subset_positions(subset))
    return np.isin(data_map["position"].to_numpy(), inside)


def run_names() -> dict[str, str]:
    """Return id -> name of all runs."""
    listed = runs()
    return dict(zip(listed["run_id"], listed["name"], strict=True))


def runs_with_maps(suite: str) -> dict[str, str]:
    """Return id -> name of the runs whose maps can be looked at."""
    listed = runs(suite)
    with_map = listed[listed["counted_epochs"] > 0]
    return dict(zip(with_map["run_id"], with_map["name"], strict=True))


def is_pair(suite: str) -> bool:
    """Return whether a suite's examples are pairs of texts."""
    return _is_pair(str(workspace_folder()), database_state(), suite)


@st.cache_data(show_spinner=False, max_entries=16)
def _is_pair(folder: str, state: str, suite: str) -> bool:
    return bool(Workspace(folder).suite_facts(suite)["is_pair"])


def tag_names(suite: str) -> tuple[str, ...]:
    """Return the tags that stand in a suite."""
    return _tag_names(str(workspace_folder()), database_state(), suite)


@st.cache_data(show_spinner=False, max_entries=16)
def _tag_names(folder: str, state: str, suite: str) -> tuple[str, ...]:
    return tuple(str(tag) for tag in Workspace(folder).tags(suite)["tag"])


def num_excluded(suite: str) -> int:
    """Return how many examples of a suite are excluded from training."""
    return _num_excluded(str(workspace_folder()), database_state(), suite)


@st.cache_data(show_spinner=False, max_entries=16)
def _num_excluded(folder: str, state: str, suite: str) -> int:
    return len(Workspace(folder).excluded_positions(suite))


def excluded_mask(suite: str, data_map: pd.DataFrame) -> npt.NDArray[np.bool_] | None:
    """Return which examples of a map are excluded from training; None where none is."""
    if not num_excluded(suite):
        return None
    return np.isin(data_map["position"].to_numpy(), np.asarray(open_workspace().excluded_positions(suite)))


def tag_of_each(suite: str, data_map: pd.DataFrame) -> pd.Categorical:
    """Return the tag of each example of a map, for colouring: its only one, "several tags", or "no tag"."""
    names = tag_names(suite)
    codes = np.zeros(len(data_map), dtype=np.int16)
    positions = data_map["position"].to_numpy()
    for number, tag in enumerate(names, start=1):
        tagged = np.isin(positions, open_workspace().tagged_positions(suite, tag))
        codes[tagged] = np.where(codes[tagged] == 0, number, len(names) + 1)
    has_several = bool((codes > len(names)).any())
    categories = [NO_TAG, *(f"#{name}" for name in names), *([SEVERAL_TAGS] if has_several else [])]
    return pd.Categorical.from_codes(codes, categories)


def agreement(run: dict[str, Any], other: dict[str, Any], scores: tuple[str, ...]) -> str:
    """Say how alike the maps of two runs are.

    :raises FTFTError: if they cannot be compared, such as maps of one epoch.
    """
    keys = (str(run["run_id"]), str(run["counted_epochs"]), str(other["run_id"]), str(other["counted_epochs"]))
    maps = {str(each["run_id"]): map_frame(each, epochs=None) for each in (run, other)}
    return _agreement(str(workspace_folder()), *keys, scores, maps)


@st.cache_data(show_spinner="Comparing the maps", max_entries=32)
def _agreement(
    folder: str, run_id: str, counted: str, other_id: str, other_counted: str, scores: tuple[str, ...],
    _maps: dict[str, pd.DataFrame],
) -> str:  # fmt: skip
    said = []
    known = tuple(score for score in scores if all(frame[score].notna().all() for frame in _maps.values()))
    found = transfer_matrix(_maps, scores=known)
    for row in found.correlations.to_dict("records"):
        value = "not defined" if pd.isna(row["spearman"]) else f"{row['spearman']:.2f}"
        said.append(f"{words(row['score'])} {value}")
    overlap = found.overlaps.iloc[0]
    ranks = f"Rank correlation (Spearman): {', '.join(said)}. " if said else ""
    return (
        f"{ranks}The most ambiguous thirds overlap by {overlap['jaccard']:.2f} "
        f"(Jaccard; by chance {overlap['jaccard_by_chance']:.2f}), over {int(overlap['num_examples']):,} examples."
    )
