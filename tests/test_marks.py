"""Marks: what stands after a log of actions, undo and redo, what is refused, and writers that meet."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ftft_core.errors import InputError, NotFoundError
from ftft_core.workspace import Workspace
from tests import stranger
from tests.conftest import environment
from tests.ui_workspace import NUM_TRAIN, make_workspace


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace that no test changes."""
    return make_workspace(tmp_path_factory.mktemp("marks"), with_comparison=False)


@pytest.fixture
def workspace(made: Workspace, tmp_path: Path) -> Workspace:
    """A copy of it."""
    shutil.copytree(made.folder, tmp_path / "workspace")
    return Workspace(tmp_path / "workspace")


def mark(workspace: Workspace, kind: str, value: str | None = None, ids: str = "3", author: str = "ann") -> int:
    return workspace.mark("toy", ids.split(), kind, value, author=author)


def view(workspace: Workspace, query: str) -> list[tuple[object, ...]]:
    """Ask as a stranger who opens the file with DuckDB."""
    with stranger.opened(workspace.folder) as connection:
        return connection.execute(query).fetchall()


# -- what stands -------------------------------------------------------------------------------------------------------


def test_a_new_suite_has_no_marks(made: Workspace) -> None:
    assert list(made.marks("toy").columns) == ["example_id", "position", "tags", "excluded", "proposed_label", "notes"]
    assert made.marks("toy").empty
    assert made.actions("toy").empty
    assert made.tags("toy").empty
    state, history = made.example_marks("toy", "3")
    assert state == {"tags": [], "excluded": False, "proposed_label": None, "notes": []}
    assert history.empty


def test_the_last_action_wins_for_each_example_and_kind_or_tag(workspace: Workspace) -> None:
    mark(workspace, "tag", "noisy", "5 3 7")
    mark(workspace, "tag", "check", "3")
    mark(workspace, "untag", "noisy", "3 9")
    mark(workspace, "exclude", ids="3 5")
    mark(workspace, "include", ids="5")
    mark(workspace, "propose_label", "yes", "3 11")
    mark(workspace, "propose_label", "no", "3")
    mark(workspace, "propose_label", None, "11")
    mark(workspace, "note", "first", "7")
    mark(workspace, "note", "second", "7")
    frame = workspace.marks("toy")
    assert frame.to_dict("records") == [
        {"example_id": "3", "position": 3, "tags": ["check"], "excluded": True, "proposed_label": "no", "notes": []},
        {"example_id": "5", "position": 5, "tags": ["noisy"], "excluded": False, "proposed_label": None, "notes": []},
        {
            **{"example_id": "7", "position": 7, "tags": ["noisy"], "excluded": False},
            **{"proposed_label": None, "notes": ["first", "second"]},
        },
    ]
    assert workspace.tags("toy").to_dict("records") == [
        {"tag": "check", "num_examples": 1},
        {"tag": "noisy", "num_examples": 2},
    ]
    assert workspace.tagged_positions("toy", "noisy").tolist() == [5, 7]
    assert workspace.excluded_positions("toy").tolist() == [3]
    assert workspace.marks("toy", ["7", "9"])["example_id"].tolist() == ["7"]


def test_undo_and_redo_keep_the_order_of_the_actions(workspace: Workspace) -> None:
    yes = mark(workspace, "propose_label", "yes")
    no = mark(workspace, "propose_label", "no")

    def standing() -> str | None:
        return workspace.example_marks("toy", "3")[0]["proposed_label"]

    workspace.undo_mark(no, author="bob")
    assert standing() == "yes"
    workspace.undo_mark(yes, author="bob")
    assert standing() is None
    workspace.redo_mark(no, author="cid")
    workspace.redo_mark(yes, author="cid")
    assert standing() == "no"  # The later action still outranks the one that was brought back last.


def test_any_action_is_undone_as_a_whole_whatever_came_after_it(workspace: Workspace) -> None:
    first = mark(workspace, "tag", "noisy", "1 2 3")
    mark(workspace, "tag", "noisy", "3 4")
    workspace.undo_mark(first, author="ann")
    assert workspace.tagged_positions("toy", "noisy").tolist() == [3, 4]
    workspace.redo_mark(first, author="ann")
    assert workspace.tagged_positions("toy", "noisy").tolist() == [1, 2, 3, 4]


def test_undoing_twice_is_refused(workspace: Workspace) -> None:
    action = mark(workspace, "exclude")
    with pytest.raises(InputError, match=f"Action {action} is not undone, so there is nothing to redo"):
        workspace.redo_mark(action, author="ann")
    workspace.undo_mark(action, author="bob")
    with pytest.raises(InputError, match=rf"Action {action} was undone already, by bob at \d{{4}}-.* UTC"):
        workspace.undo_mark(action, author="ann")
    for change in (workspace.undo_mark, workspace.redo_mark):
        with pytest.raises(NotFoundError, match=rf"There is no action '77' \(known: {action}\)"):
            change(77, author="ann")


def test_the_history_says_who_when_and_why(workspace: Workspace) -> None:
    first = workspace.mark("toy", ["3", "5", "3"], "tag", " noisy ", author=" ann ", reason="twice the same text")
    second = mark(workspace, "note", "look", "5", author="bob")
    workspace.undo_mark(first, author="cid")
    history = workspace.actions("toy")
    assert history["action"].tolist() == [second, first]
    assert workspace.actions("toy", limit=1)["action"].tolist() == [second]
    row = history.iloc[1]
    assert (row["suite"], row["kind"], row["value"], row["author"]) == ("toy", "tag", "noisy", "ann")
    assert (row["reason"], row["num_examples"], row["undone_by"]) == ("twice the same text", 2, "cid")
    assert row["undone_at"] >= row["created_at"]
    assert pd.isna(history.iloc[0]["undone_at"])
    workspace.redo_mark(first, author="dee")
    row = workspace.actions("toy").iloc[1]
    assert pd.isna(row["undone_at"])
    assert row["redone_by"] == "dee"
    assert workspace.example_marks("toy", "3")[1]["action"].tolist() == [first]
    assert workspace.example_marks("toy", "5")[1]["action"].tolist() == [second, first]


def test_marks_never_change_the_examples(workspace: Workspace) -> None:
    before = view(workspace, "FROM examples ORDER BY ALL")
    mark(workspace, "propose_label", "yes", "0 1 2")
    mark(workspace, "exclude", ids="0 1 2")
    assert view(workspace, "FROM examples ORDER BY ALL") == before


def test_public_views_give_what_stands(workspace: Workspace) -> None:
    mark(workspace, "tag", "noisy", "5 3")
    undone = mark(workspace, "tag", "check", "5")
    mark(workspace, "note", "look", "5")
    mark(workspace, "exclude", ids="7")
    mark(workspace, "propose_label", "yes", "7")
    workspace.undo_mark(undone, author="ann")
    assert view(workspace, "FROM tags ORDER BY ALL") == [("toy", "3", "noisy"), ("toy", "5", "noisy")]
    assert view(workspace, "SELECT suite, example_id, note, author FROM notes") == [("toy", "5", "look", "ann")]
    assert view(workspace, "FROM exclusions") == [("toy", "7")]
    assert view(workspace, "FROM proposed_labels") == [("toy", "7", "yes")]
    assert view(workspace, "SELECT count(*), count(undone_at) FROM history") == [(5, 1)]


def test_a_suite_takes_its_marks_along(workspace: Workspace) -> None:
    workspace.import_dynamics(workspace.dynamics("map-run"), name="other")
    workspace.mark("other", ["3"], "exclude", author="ann")
    mark(workspace, "exclude", ids="4")
    workspace.remove_run("other")  # Its suite came with it.
    assert view(workspace, "SELECT suite FROM history") == [("toy",)]
    workspace.purge_runs()
    assert view(workspace, "SELECT count(*) FROM base.action_examples") == [(1,)]


# -- many, and texts ---------------------------------------------------------------------------------------------------


def test_all_examples_are_one_action_by_position_or_by_id(workspace: Workspace) -> None:
    everything = np.arange(NUM_TRAIN)
    action = workspace.mark_positions("toy", everything[::-1], "exclude", author="ann")
    assert workspace.excluded_positions("toy").tolist() == everything.tolist()
    workspace.undo_mark(action, author="ann")
    workspace.mark("toy", [str(position) for position in everything], "exclude", author="ann")
    assert len(workspace.excluded_positions("toy")) == NUM_TRAIN
    assert len(workspace.marks("toy")) == NUM_TRAIN


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script> **x** $y$",
        "👩‍👩‍👧 🏳️‍🌈",
        "שלום ‏عليكم",
        "two\nlines\t'; DROP TABLE x; --",
        "x" * 10_000,
    ],
)
def test_a_note_is_kept_as_it_is(workspace: Workspace, text: str) -> None:
    mark(workspace, "note", text)
    assert workspace.example_marks("toy", "3")[0]["notes"] == [text]


def test_what_no_text_can_hold_is_replaced_in_a_note(workspace: Workspace) -> None:
    mark(workspace, "note", "a\0b\ud800c")
    assert workspace.example_marks("toy", "3")[0]["notes"] == ["a\ufffdb\ufffdc"]


def test_tags_are_trimmed_and_composed(workspace: Workspace) -> None:
    mark(workspace, "tag", "  bruité ", "1")
    mark(workspace, "tag", "bruite\u0301", "2")
    assert workspace.tags("toy").to_dict("records") == [{"tag": "bruité", "num_examples": 2}]


def test_a_tag_that_was_taken_off_everywhere_is_known_still(workspace: Workspace) -> None:
    mark(workspace, "tag", "noisy")
    mark(workspace, "untag", "noisy")
    assert workspace.tagged_positions("toy", "noisy").tolist() == []
    with pytest.raises(NotFoundError, match="There is no tag 'nosy'"):
        workspace.tagged_positions("toy", "nosy")


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ids", "kind", "value", "said"),
    [
        ("3", "star", None, r"There is no kind of mark 'star' \(known: tag, untag, note"),
        ("", "exclude", None, "There is no example to mark"),
        ("3", "tag", None, "tag: received None; allowed are 1 to 60 printable characters"),
        ("3", "tag", "   ", "tag: received '   '; allowed are 1 to 60 printable characters"),
        ("3", "tag", "x" * 61, "tag: received 'xxx"),
        ("3", "untag", "two\nlines", "printable characters on one line"),
        ("3", "note", " \n", "The note is empty"),
        ("3", "note", "x" * 10_001, "The note has 10,001 characters; at most 10,000"),
        ("3", "exclude", "yes", "Excluding and including take no value; received 'yes'"),
        ("3", "propose_label", "maybe", r"There is no label 'maybe' \(known: no, yes\)"),
        ("3 nope 4 never", "exclude", None, "2 of 4 ids are not in the training split .* marked: never, nope"),
    ],
)
def test_a_mark_that_can_not_be_changes_nothing(
    workspace: Workspace, ids: str, kind: str, value: str | None, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        mark(workspace, kind, value, ids)
    assert workspace.actions("toy").empty


def test_authors_reasons_suites_and_ids_are_checked(workspace: Workspace) -> None:
    with pytest.raises(InputError, match="author: received ' '; allowed are 1 to 100 printable characters"):
        mark(workspace, "exclude", author=" ")
    with pytest.raises(InputError, match="The reason has 10,001 characters"):
        workspace.mark("toy", ["3"], "exclude", author="ann", reason="x" * 10_001)
    with pytest.raises(NotFoundError, match="There is no suite 'toys'"):
        workspace.mark("toys", ["3"], "exclude", author="ann")
    with pytest.raises(InputError, match="Example ids are given as a list; received the text '33'"):
        workspace.mark("toy", "33", "exclude", author="ann")
    with pytest.raises(InputError, match="Example ids are texts; received 3"):
        workspace.mark("toy", [3], "exclude", author="ann")  # type: ignore[list-item]
    with pytest.raises(NotFoundError, match="1 of 1 ids are not in the training split"):
        workspace.example_marks("toy", "nope")


@pytest.mark.parametrize(
    ("positions", "said"),
    [
        ([], "There is no example to mark"),
        ([0, NUM_TRAIN], "Position 240 is not in the training split; allowed are 0 to 239"),
        ([-1, 3], "Position -1 is not in the training split"),
        ([0.5], "Positions are whole numbers; received float64"),
    ],
)
def test_positions_are_checked(made: Workspace, positions: list[float], said: str) -> None:
    with pytest.raises(InputError, match=said):
        made.mark_positions("toy", np.array(positions), "exclude", author="ann")


# -- two who write -----------------------------------------------------------------------------------------------------


def test_two_processes_that_mark_at_once_are_both_kept(workspace: Workspace) -> None:
    code = (
        "import sys; from ftft_core.workspace import Workspace\n"
        "workspace = Workspace(sys.argv[1])\n"
        "for number in range(6):\n"
        "    workspace.mark('toy', [str(number)], 'tag', f'{sys.argv[2]}-{number}', author=sys.argv[2])\n"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", code, str(workspace.folder), name], env=environment(workspace.folder))
        for name in ("ann", "bob")
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    history = workspace.actions("toy")
    assert len(history) == history["action"].nunique() == 12
    assert len(workspace.tags("toy")) == 12
