"""The command line: marks, and what becomes of subsets."""

from __future__ import annotations

import getpass

from ftft_core.workspace import Workspace
from tests.cli.conftest import Ask

# -- marks -------------------------------------------------------------------------------------------------------------


def test_examples_are_marked_listed_and_unmarked(ask: Ask) -> None:
    tagged = ask("mark", "tag", "toy", "noisy", "3", "5", "--reason", "odd", "--author", "ann").json
    assert tagged == {"action": 1, "kind": "tag", "value": "noisy", "num_examples": 2}
    assert ask("mark", "untag", "toy", "noisy", "5").json["num_examples"] == 1
    assert ask("mark", "note", "toy", "<b>look</b>", "3").json["value"] == "<b>look</b>"
    assert ask("mark", "exclude", "toy", "3", "5").json["value"] is None
    assert ask("mark", "include", "toy", "5").json["kind"] == "include"
    assert ask("mark", "label", "toy", "yes", "3", "5").json["kind"] == "propose_label"
    assert ask("mark", "unlabel", "toy", "5").json["value"] is None
    assert ask("mark", "list", "toy").json == [
        {
            **{"example_id": "3", "position": 3, "tags": ["noisy"], "excluded": True, "proposed_label": "yes"},
            "notes": ["<b>look</b>"],
        }
    ]
    history = ask("mark", "history", "toy").json
    assert [row["action"] for row in history] == [7, 6, 5, 4, 3, 2, 1]
    assert (history[-1]["author"], history[-1]["reason"]) == ("ann", "odd")
    assert history[0]["author"] == getpass.getuser()
    assert [row["action"] for row in ask("mark", "history", "toy", "--limit", 2).json] == [7, 6]


def test_a_whole_subset_is_marked(ask: Ask, workspace: Workspace) -> None:
    assert ask("mark", "exclude", "toy", "--subset", "ambiguous-33").json["num_examples"] == 79
    assert workspace.excluded_positions("toy").tolist() == workspace.subset_positions("ambiguous-33").tolist()


def test_actions_are_undone_and_redone(ask: Ask, workspace: Workspace) -> None:
    ask("mark", "exclude", "toy", "3")
    assert ask("mark", "undo", 1, "--author", "bob").json == {"undone": 1}
    assert ask("mark", "list", "toy").json == []
    assert "Action 1 was undone already, by bob" in ask("mark", "undo", 1).failed()
    assert ask("mark", "redo", 1).json == {"redone": 1}
    assert workspace.excluded_positions("toy").tolist() == [3]


def test_marks_that_can_not_be_are_told(ask: Ask) -> None:
    assert "Name either examples by their ids or a --subset; received none." in ask("mark", "exclude", "toy").failed()
    both = ask("mark", "exclude", "toy", "3", "--subset", "ambiguous-33").failed()
    assert "received both" in both
    assert "marked: nope" in ask("mark", "tag", "toy", "noisy", "3", "nope").failed()
    assert "There is no label 'maybe'" in ask("mark", "label", "toy", "maybe", "3").failed()
    assert "There is no suite 'toys'" in ask("mark", "list", "toys").failed()
    assert "There is no action '9' (known: none yet)" in ask("mark", "undo", 9).failed()
    assert "is not a valid integer" in ask("mark", "undo", "first").failed()
    assert ask("mark", "history", "toy").json == []


def test_marks_are_told_to_people(bare: Ask, workspace: Workspace) -> None:
    where = ("--workspace", workspace.folder)
    assert "No example of suite toy is marked" in bare("mark", "list", "toy", *where).stdout
    assert "Nothing was marked in suite toy yet." in bare("mark", "history", "toy", *where).stdout
    said = bare("mark", "note", "toy", "word " * 50, "3", *where).stdout
    assert said.startswith("Action 1: note 'word word")
    assert said.endswith("…', 1 example. `ftft mark undo 1` undoes it.\n")
    assert "1 marked examples" in bare("mark", "list", "toy", *where).stdout
    assert "note" in bare("mark", "history", "toy", *where).stdout


# -- subsets -----------------------------------------------------------------------------------------------------------


def test_a_subset_is_renamed_removed_and_restored(ask: Ask) -> None:
    made = ask("select", "map-run", "--strategy", "hard", "--fraction", 0.1, "--name", "hard").json
    assert ask("subset", "rename", "hard", "harder").json == {**made, "name": "harder"}
    assert ask("subset", "remove", "harder").json == {"removed": "harder"}
    assert "was removed; `ftft subset restore harder`" in ask("subset", "show", "harder").failed()
    assert [row["subset"] for row in ask("subset", "list", "--removed").json] == [made["subset"]]
    assert ask("subset", "restore", "harder").json["subset"] == made["subset"]
    assert ask("subset", "list", "--removed").json == []
    assert "There is no removed subset 'harder'" in ask("subset", "restore", "harder").failed()


def test_a_subset_is_balanced_twinned_and_compared(ask: Ask) -> None:
    assert ask("subset", "balance", "ambiguous-33", "--name", "even").json["size"] == 58
    assert ask("subset", "show", "even").json["labels"] == {"no": 29, "yes": 29}
    like = ask("subset", "balance", "ambiguous-33", "--how", "like-suite", "--name", "like", "--seed", 3).json
    assert like["size"] == 75
    assert (
        "There is no way to balance 'odd'" in ask("subset", "balance", "like", "--how", "odd", "--name", "x").failed()
    )
    assert ask("subset", "twin", "ambiguous-33", "--name", "twin").json["size"] == 79
    found = ask("subset", "compare", "ambiguous-33", "even", "--run", "map-run").json
    assert (found["num_shared"], found["num_only_a"], found["num_only_b"]) == (58, 21, 0)
    assert found["labels"][0] == {"label": "no", "a": 50, "b": 29, "everything": 160}
    assert found["medians"][0]["score"] == "confidence"


def test_a_subset_that_would_change_says_so_and_is_made_again(bare: Ask, ask: Ask, workspace: Workspace) -> None:
    assert ask("subset", "show", "ambiguous-33").json["remade"] == {"size_now": 79, "num_added": 0, "num_lost": 0}
    with workspace.database.writing() as connection:
        connection.execute("UPDATE base.data_map SET variability = 0.5 - variability")
    remade = ask("subset", "remake", "ambiguous-33").json
    assert remade["num_added"] == remade["num_lost"] > 0
    shown = bare("subset", "show", "ambiguous-33", "--workspace", workspace.folder).stdout
    assert "used by run ftft-0, run ftft-1" in shown
    assert "The recipe would give something else today: 79 examples" in shown
    saved = ask("subset", "remake", "ambiguous-33", "--name", "again").json
    assert saved["name"] == "again"
    assert ask("subset", "remake", "again").json["num_added"] == 0


def test_a_recipe_that_can_not_be_followed_is_still_shown(ask: Ask, bare: Ask, workspace: Workspace) -> None:
    ask("subset", "twin", "ambiguous-33", "--name", "first")
    ask("subset", "combine", "first & first", "--name", "second")
    with workspace.database.writing() as connection:
        connection.execute("UPDATE base.subsets SET removed_at = created_at WHERE name = 'first'")
    shown = ask("subset", "show", "second").json
    assert shown["remade"] is None
    said = shown["remade_in_words"]
    assert said.startswith('The recipe can\'t be followed any more: "first & first" names subsets that do not exist.')


def test_a_comparison_is_told_to_people(bare: Ask, workspace: Workspace) -> None:
    where = ("--workspace", workspace.folder)
    bare("subset", "twin", "ambiguous-33", "--same-labels", "--name", "twin", *where)
    said = bare("subset", "compare", "ambiguous-33", "twin", *where).stdout
    assert "a: ambiguous-33, 79 examples" in said
    assert "Jaccard overlap" in said
    assert "confidence" not in said
    assert "confidence" in bare("subset", "compare", "ambiguous-33", "twin", "--run", "map-run", *where).stdout


def test_what_is_excluded_is_left_out_of_selections_unless_asked_for(ask: Ask) -> None:
    ask("mark", "exclude", "toy", "3", "5")
    assert ask("select", "map-run", "--where", "confidence < 2", "--name", "rest").json["size"] == 238
    assert ask("select", "map-run", "--strategy", "random", "--fraction", 1, "--name", "all").json["size"] == 238
    assert ask("select", "map-run", "--where", "excluded", "--name", "out").json["size"] == 2


def test_a_filter_is_pointed_at(bare: Ask, workspace: Workspace) -> None:
    filtered = ("select", "map-run", "--where", "confidence < 0.4 and confidense < 1")
    said = bare(*filtered, "--workspace", workspace.folder).stderr
    assert "    confidence < 0.4 and confidense < 1\n                         ^^^^^^^^^^\n" in said
