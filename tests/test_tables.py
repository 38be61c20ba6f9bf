"""Map frames, and pages of a selection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ftft_core import compute_data_map
from ftft_core.cartography import DATA_MAP_COLUMNS, gold_probabilities, mean_probabilities
from ftft_core.errors import InputError, NotFoundError
from ftft_core.store.map_frames import SCORE_COLUMNS
from ftft_core.store.tables import ROW_COLUMNS
from ftft_core.workspace import Workspace
from tests.tables_workspace import GOLD, IDS, LABELS, SUBSET, TEXTS, make_tables_workspace


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make_tables_workspace(tmp_path_factory.mktemp("tables"))


# -- map frames --------------------------------------------------------------------------------------------------------


def test_a_map_frame_has_the_promised_columns_and_kinds(workspace: Workspace) -> None:
    frame = workspace.map_frame("all")
    assert frame["position"].tolist() == list(range(len(IDS)))
    assert frame["example_id"].tolist() == IDS
    assert set(frame.columns) == {*DATA_MAP_COLUMNS, "position", "group"}
    assert frame["label"].cat.categories.tolist() == list(LABELS) == frame["predicted_label"].cat.categories.tolist()
    assert frame["group"].cat.categories.tolist() == ["a", "b"]
    assert frame["group"].isna().tolist() == [row % 3 == 2 for row in range(len(IDS))]
    assert {name: frame[name].dtype.kind for name in SCORE_COLUMNS if frame[name].dtype.kind != "f"} == {
        **dict.fromkeys(["correct_epochs", "forgetting_events", "prediction_flips"], "i"), "never_learnt": "b",
    }  # fmt: skip
    assert frame["first_learnt_epoch"].isna().tolist() == frame["never_learnt"].tolist()
    assert frame.attrs["counted_epochs"] == [0, 1, 2, 3]
    assert not [name for name in frame if frame[name].dtype.kind == "O" and name in SCORE_COLUMNS]


@pytest.mark.parametrize("run", ["all", "part"])
@pytest.mark.parametrize("epochs", [None, 1, 2, 4])
def test_a_map_frame_equals_compute_data_map_on_the_first_epochs(
    workspace: Workspace, run: str, epochs: int | None
) -> None:
    expected = compute_data_map(workspace.dynamics(run), epochs=epochs)
    frame, data_map = workspace.map_frame(run, epochs=epochs), workspace.data_map(run, epochs=epochs)
    assert frame.attrs == data_map.attrs == expected.attrs
    for name in DATA_MAP_COLUMNS:
        assert frame[name].astype(expected[name].dtype).equals(expected[name]), name
    assert data_map[list(DATA_MAP_COLUMNS)].equals(expected)
    assert list(data_map) == [*DATA_MAP_COLUMNS, "group"]


def test_a_run_on_a_part_has_positions_of_the_whole(workspace: Workspace) -> None:
    frame = workspace.map_frame("part")
    assert frame["position"].tolist() == SUBSET.tolist()
    assert frame["example_id"].tolist() == [IDS[row] for row in SUBSET]
    assert frame["label"].tolist() == [LABELS[GOLD[row]] for row in SUBSET]


def test_a_map_computed_anew_is_the_stored_one(workspace: Workspace) -> None:
    pd.testing.assert_frame_equal(workspace.recompute_map_frame("part"), workspace.map_frame("part"))


def test_epochs_that_came_in_any_order_of_rows_are_put_in_order(workspace: Workspace, tmp_path: Path) -> None:
    expected = workspace.map_frame("all", epochs=3)
    with workspace.database.writing() as connection:
        connection.execute("CREATE TABLE base.shuffled AS SELECT * FROM base.dynamics ORDER BY hash(position, epoch)")
        connection.execute("DELETE FROM base.dynamics")
        connection.execute("INSERT INTO base.dynamics SELECT * FROM base.shuffled")
        connection.execute("DROP TABLE base.shuffled")
    pd.testing.assert_frame_equal(workspace.map_frame("all", epochs=3), expected)


@pytest.mark.parametrize("epochs", [0, -1, 5, True, 1.0])
def test_epochs_out_of_range_are_refused(workspace: Workspace, epochs: Any) -> None:
    with pytest.raises(InputError, match=r"epochs is .*; it must be a whole number from 1 to 4"):
        workspace.map_frame("all", epochs=epochs)


def test_probabilities_stand_in_the_rows_of_the_map_frame(workspace: Workspace) -> None:
    epochs, gold = workspace.gold_probabilities("part")
    mean = workspace.mean_probabilities("part")
    frame = workspace.map_frame("part")
    assert epochs == (0, 1, 2, 3)
    assert gold.dtype == mean.dtype == np.float32
    np.testing.assert_allclose(gold.mean(axis=0), frame["confidence"], atol=1e-6)
    np.testing.assert_allclose(mean.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(mean[np.arange(len(SUBSET)), GOLD[SUBSET]], frame["confidence"], atol=1e-6)
    np.testing.assert_allclose(workspace.mean_probabilities("part", epochs=1)[0, GOLD[1]], gold[0, 0], atol=1e-6)


def test_probabilities_worked_out_by_hand() -> None:
    logits = np.log(np.array([[[3.0, 1.0]], [[1.0, 4.0]]], dtype=np.float32))  # p of class 0: 3/4, then 1/5
    assert gold_probabilities(logits, np.array([0]))[:, 0].tolist() == pytest.approx([0.75, 0.2])
    assert gold_probabilities(logits, np.array([1]))[:, 0].tolist() == pytest.approx([0.25, 0.8])
    assert mean_probabilities(logits).tolist()[0] == pytest.approx([0.475, 0.525])


# -- pages -------------------------------------------------------------------------------------------------------------


def ids(workspace: Workspace, run: str = "all", positions: np.ndarray | None = None, **how: Any) -> list[str]:
    return workspace.selection_rows(run, positions, **{"limit": 100, **how}).rows["example_id"].tolist()


def test_a_page_has_texts_scores_and_marks_of_its_rows(workspace: Workspace) -> None:
    page = workspace.selection_rows("all", None, offset=2, limit=3)
    assert page.total == len(IDS)
    assert tuple(page.rows) == ROW_COLUMNS
    assert page.rows["position"].tolist() == [2, 3, 4]
    assert page.rows["text"].tolist() == TEXTS[2:5]
    assert page.rows["text_pair"].tolist()[::2] == ["pair 2", "pair 4"]
    assert page.rows["text_pair"].isna().tolist() == [False, True, False]
    assert page.rows["tags"].tolist() == ["check, noisy", "", "noisy"]
    assert page.rows["excluded"].tolist() == [False, False, True]
    assert page.rows["num_notes"].tolist() == [1, 0, 0]
    frame = workspace.map_frame("all")
    assert page.rows["aum"].tolist() == frame["aum"].tolist()[2:5]


def test_awkward_texts_are_the_same_on_a_page(workspace: Workspace) -> None:
    assert workspace.selection_rows("all", None, limit=100).rows["text"].tolist() == TEXTS


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("order", SCORE_COLUMNS)
def test_rows_are_sorted_by_any_score_ties_in_file_order_nulls_last(
    workspace: Workspace, order: str, descending: bool
) -> None:
    frame = workspace.map_frame("all")
    key = frame[order].to_numpy(np.float64)
    expected = frame["example_id"].iloc[np.lexsort((-key if descending else key,))].tolist()
    assert ids(workspace, order=order, descending=descending) == expected


def test_ties_go_by_file_order_in_both_directions(workspace: Workspace) -> None:
    for descending in (False, True):
        found = ids(workspace, order="confidence", descending=descending)
        assert found.index("e3") == found.index("e0") + 1


def test_rows_are_sorted_by_labels_text_length_group_and_id(workspace: Workspace) -> None:
    frame = workspace.map_frame("all")
    by_label = sorted(range(len(IDS)), key=lambda row: GOLD[row])
    assert ids(workspace, order="label") == [IDS[row] for row in by_label]
    by_prediction = np.argsort(frame["predicted_label"].cat.codes.to_numpy(), kind="stable")
    assert ids(workspace, order="predicted_label") == [IDS[row] for row in by_prediction]
    assert ids(workspace, order="text_length", descending=True)[0] == "e6"
    assert ids(workspace, order="text_length")[:3] == ["e7", "e11", "e3"]  # of 0, 2 and 4 characters, and no pair
    assert ids(workspace, order="example_id") == sorted(IDS)
    assert ids(workspace, order="group")[-1] == "e11"
    assert ids(workspace, descending=True) == IDS[::-1]


def test_rows_are_sorted_by_values_that_are_given_nan_last(workspace: Workspace) -> None:
    values = np.arange(len(SUBSET), dtype=np.float64)
    values[2] = np.nan
    inside = [IDS[row] for row in SUBSET]
    expected = [*inside[:1:-1][:-1], inside[1], inside[0], inside[2]]
    assert ids(workspace, "part", order_values=values, descending=True) == expected
    with pytest.raises(InputError, match=r"order_values has shape \(3,\); it must be \(7,\)"):
        ids(workspace, "part", order_values=np.zeros(3))


def test_positions_choose_among_the_rows_of_the_map(workspace: Workspace) -> None:
    assert ids(workspace, "part", np.array([11, 0, 4])) == ["e4", "e11"]
    assert workspace.selection_rows("part", np.array([11, 0, 4])).total == 2


def test_an_empty_selection_and_an_offset_beyond_the_end_have_no_rows(workspace: Workspace) -> None:
    page = workspace.selection_rows("all", np.array([], dtype=np.int64), order="aum")
    assert (page.total, len(page.rows), tuple(page.rows)) == (0, 0, ROW_COLUMNS)
    page = workspace.selection_rows("all", None, offset=1000)
    assert (page.total, len(page.rows)) == (len(IDS), 0)


@pytest.mark.parametrize(("search", "found"), [
    ("%", "e2"), ("_", "e2"), ("\\", "e2"), ("'", "e2"), ("\x00", "e5"), ('"', "e0"), ("\r", "e1"), ("😀", "e4"),
    ("PLAIN TEXT", "e8 e9"), ("שלום", "e4"), ("PAIR 1", "e10"), ("$search", ""), (".*", ""), ("=1+1", "e3"),
])  # fmt: skip
def test_a_search_takes_characters_for_what_they_are(workspace: Workspace, search: str, found: str) -> None:
    page = workspace.selection_rows("all", None, search=search)
    assert page.rows["example_id"].tolist() == found.split()
    assert page.total == len(found.split())


def test_a_search_by_regular_expression_ignores_case_and_looks_at_both_texts(workspace: Workspace) -> None:
    assert ids(workspace, search=r"^PLAIN", regex=True) == ["e8", "e9"]
    assert ids(workspace, search=r"pair [02]$", regex=True) == ["e0", "e2"]
    assert ids(workspace, search="", regex=True) == IDS


def test_a_search_goes_with_a_selection_and_an_order(workspace: Workspace) -> None:
    assert ids(workspace, "part", np.array([8, 9]), search="plain", order="example_id", descending=True) == ["e9", "e8"]


@pytest.mark.parametrize("pattern", ["(", "[a-", "a{2,1}", "(?=x)", "*"])
def test_a_malformed_expression_is_told_in_one_sentence(workspace: Workspace, pattern: str) -> None:
    with pytest.raises(InputError, match=r"The regular expression '.*' can't be used") as told:
        workspace.selection_rows("all", None, search=pattern, regex=True)
    assert "\n" not in str(told.value)


def test_an_expression_that_would_run_away_elsewhere_does_not(workspace: Workspace) -> None:
    assert ids(workspace, search=r"(x+x+)+y", regex=True) == []


def test_what_can_not_be_is_refused(workspace: Workspace) -> None:
    with pytest.raises(InputError, match=r"There is no order 'variabilty' .* Did you mean 'variability'"):
        workspace.selection_rows("all", None, order="variabilty")
    with pytest.raises(InputError, match="offset: received -1; allowed are whole numbers from 0 on"):
        workspace.selection_rows("all", None, offset=-1)
    with pytest.raises(InputError, match="limit: received -2"):
        workspace.selection_rows("all", None, limit=-2)
    with pytest.raises(NotFoundError, match="There is no run 'some'"):
        workspace.selection_rows("some", None)


@pytest.mark.parametrize("how", [
    {}, {"order": "confidence"}, {"order": "confidence", "descending": True}, {"order": "first_learnt_epoch"},
    {"order": "first_learnt_epoch", "descending": True}, {"order": "group"}, {"search": "e", "order": "label"},
    {"descending": True}, {"order_values": np.array([1, 1, np.nan, 3, np.nan, 0, 1.0])},
])  # fmt: skip
def test_the_place_of_an_example_is_where_its_row_stands(workspace: Workspace, how: dict[str, Any]) -> None:
    rows = workspace.selection_rows("part", None, limit=100, **how).rows
    places = [workspace.selection_place("part", None, position, **how) for position in rows["position"]]
    assert places == list(range(len(rows)))


def test_an_example_that_is_not_among_the_rows_has_no_place(workspace: Workspace) -> None:
    assert workspace.selection_place("part", None, 0) is None
    assert workspace.selection_place("all", np.array([3]), 4) is None
    assert workspace.selection_place("all", None, 4, search="plain") is None
