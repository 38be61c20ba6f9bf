"""Saved subsets: renaming, removing softly, balancing, twins, comparing, and making again."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from ftft_core.errors import InputError, NameTakenError, NotFoundError, RunError
from ftft_core.selection import IdsCondition, Recipe, SetCondition
from ftft_core.selection.algebra import with_names
from ftft_core.selection.balancing import equal, like_suite
from ftft_core.store import connection as connection_module
from ftft_core.store import migrations
from ftft_core.store import subsets as subset_store
from ftft_core.store import suites as suite_store
from ftft_core.workspace import SubsetRecord, Workspace
from tests import stranger
from tests.ui_workspace import NUM_TRAIN, make_workspace


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace that no test changes; every third example is labelled yes, 80 of 240."""
    return make_workspace(tmp_path_factory.mktemp("subsets"))


@pytest.fixture
def workspace(made: Workspace, tmp_path: Path) -> Workspace:
    """A copy of it."""
    shutil.copytree(made.folder, tmp_path / "workspace")
    return Workspace(tmp_path / "workspace")


def by_hand(workspace: Workspace, name: str, ids: str) -> SubsetRecord:
    recipe = Recipe(conditions=(IdsCondition(example_ids=tuple(ids.split())),))
    return workspace.save_subset(recipe, name=name, suite="toy")


def weighted(workspace: Workspace, name: str, ids: str, weights: list[float]) -> SubsetRecord:
    recipe = Recipe(conditions=(IdsCondition(example_ids=tuple(ids.split())),))
    with workspace.database.writing() as connection:
        subset = subset_store.add_subset(
            connection, recipe, ids.split(), suite_no=suite_store.find_suite(connection, "toy"), source_run_no=None,
            name=name, weights=np.array(weights),
        )  # fmt: skip
    return workspace.subset(subset)


def combined(workspace: Workspace, name: str, expression: str, *operands: str) -> SubsetRecord:
    ids = {operand: workspace.subset(operand).subset for operand in operands}
    return workspace.save_subset(Recipe(conditions=(SetCondition(expression=expression, operands=ids),)), name=name)


def ids_of(workspace: Workspace, reference: str) -> list[str]:
    return workspace.subset_examples(reference)["example_id"].tolist()


# -- names and removal -------------------------------------------------------------------------------------------------


def test_a_twin_names_what_it_is_a_twin_of_and_does_not_hold_it(workspace: Workspace) -> None:
    by_hand(workspace, "few", "1 2 3")
    twin = workspace.random_twin("few")
    assert workspace.recipe_words(twin.recipe) == "random twin of few (seed 0)"
    alike = workspace.random_twin("few", same_labels=True, seed=4)
    assert workspace.recipe_words(alike.recipe) == "random twin of few with as many of each label (seed 4)"
    assert not workspace.remake_subset(twin.subset).differs
    workspace.remove_subset("few")
    with pytest.raises(ValidationError, match="a twin is drawn by the strategy random"):
        Recipe(strategy="hard", fraction=0.1, twin_of=twin.subset)


def test_a_renamed_subset_keeps_its_id_its_users_and_its_words(workspace: Workspace) -> None:
    before = workspace.subset("ambiguous-33")
    by_hand(workspace, "few", "1 2 3")
    both = combined(workspace, "both", "ambiguous-33 - few", "ambiguous-33", "few")
    after = workspace.rename_subset("ambiguous-33", "third")
    assert (after.subset, after.name) == (before.subset, "third")
    assert workspace.run("ftft-0")["subset"] == after.subset
    assert not workspace.remake_subset("both").differs
    said = "all in third - few (third: ambiguous 33 % of run map-run; few: all in a list of 3 examples)"
    assert workspace.recipe_words(both.recipe) == said
    assert workspace.recipe_words(after.recipe) == "ambiguous 33 % of run map-run"
    assert workspace.rename_subset("third", "third").name == "third"
    with pytest.raises(NotFoundError, match="There is no subset 'ambiguous-33'"):
        workspace.subset("ambiguous-33")


def test_a_name_that_can_not_be_is_refused(workspace: Workspace) -> None:
    by_hand(workspace, "few", "1 2 3")
    with pytest.raises(NameTakenError, match="A subset named 'few' is there already"):
        workspace.rename_subset("ambiguous-33", "few")
    for name in ("", "a b", "-x", "x" * 101):
        with pytest.raises(InputError, match="allowed are letters, digits"):
            workspace.rename_subset("ambiguous-33", name)


def test_other_names_in_an_expression_leave_its_operators() -> None:
    assert with_names('(A & "B c") - A | &x', {"A": "B c", "B c": "A", "-": "no"}) == '("B c" & A) - "B c" | &x'


def test_a_removed_subset_is_listed_no_more_and_comes_back_whole(workspace: Workspace) -> None:
    few = weighted(workspace, "few", "1 2 3", [1, 2, 3])
    members = workspace.subset_examples("few")
    assert workspace.remove_subset("few") == few.subset
    assert "few" not in set(workspace.subsets("toy")["name"])
    assert few.subset not in set(workspace.subset_balance("toy")["subset"])
    with stranger.opened(workspace.folder) as connection:
        assert connection.execute("SELECT count(*) FROM subset_examples WHERE subset = ?", [few.subset]).fetchall() == [
            (0,)
        ]
    for reference in ("few", few.subset):
        with pytest.raises(NotFoundError, match=f"The subset '{reference}' was removed; `ftft subset restore"):
            workspace.subset(reference)
    removed = workspace.removed_subsets("toy")
    assert removed[["subset", "name", "size"]].values.tolist() == [[few.subset, "few", 3]]
    assert workspace.restore_subset(few.subset) == few
    pd.testing.assert_frame_equal(workspace.subset_examples("few"), members)
    assert workspace.removed_subsets().empty


def test_a_removed_name_may_be_used_again(workspace: Workspace) -> None:
    old = by_hand(workspace, "few", "1 2 3")
    workspace.remove_subset("few")
    new = by_hand(workspace, "few", "4 5")
    assert workspace.subset("few") == new
    with pytest.raises(
        NameTakenError, match=f"Subset {old.subset} can't be restored as 'few': another subset has that"
    ):
        workspace.restore_subset("few")
    assert workspace.restore_subset("few", name="old-few").subset == old.subset
    workspace.remove_subset("few")
    workspace.remove_subset("old-few")
    assert workspace.restore_subset("few").subset == new.subset
    with pytest.raises(NotFoundError, match=r"There is no removed subset 'nobody' \(known: old-few\)"):
        workspace.restore_subset("nobody")


def test_of_two_removed_with_one_name_the_last_comes_back(workspace: Workspace) -> None:
    for ids in ("1 2", "3 4 5"):
        by_hand(workspace, "few", ids)
        workspace.remove_subset("few")
    assert workspace.restore_subset("few").size == 3


def test_what_uses_a_subset_is_named_and_stands_in_the_way(workspace: Workspace) -> None:
    by_hand(workspace, "few", "1 2 3")
    combined(workspace, "both", "ambiguous-33 | few", "ambiguous-33", "few")
    assert workspace.subset_users("ambiguous-33") == ["run ftft-0", "run ftft-1", "subset both"]
    with pytest.raises(InputError, match="others were made from it") as refused:
        workspace.remove_subset("few")
    assert refused.value.problems == ["subset both"]
    workspace.remove_subset("both")
    assert workspace.subset_users("few") == []
    workspace.remove_subset("few")
    # What was made from it still finds its way back to the run; its recipe can't be followed.
    workspace.restore_subset("both")
    with workspace.database.reading() as connection:
        both = subset_store.read_subset(connection, "both")["subset"]
        assert subset_store.source_runs(connection, both) == [workspace.run("map-run")["run_id"]]
    with pytest.raises(NotFoundError, match="was removed; `ftft subset restore"):
        workspace.remake_subset("both")


def test_removed_subsets_keep_neither_run_nor_suite(workspace: Workspace) -> None:
    workspace.import_dynamics(workspace.dynamics("map-run"), name="other")
    workspace.save_subset(Recipe(source_run="other", strategy="hard", fraction=0.5), name="half")
    with pytest.raises(InputError, match="others were made from it"):
        workspace.remove_run("other")
    workspace.remove_subset("half")
    workspace.remove_run("other")
    assert "other" not in set(workspace.suites()["suite"])
    assert workspace.removed_subsets().empty


def test_subsets_of_an_older_workspace_are_all_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "old.duckdb"
    every = list(migrations.MIGRATIONS)
    monkeypatch.setattr(migrations, "MIGRATIONS", every[:1])
    with connection_module.Database(path).writing() as connection:
        connection.execute("INSERT INTO base.suites VALUES (1, 's', 'f', 't', ['a'], false, [], now()::TIMESTAMP)")
        connection.execute("INSERT INTO base.splits VALUES (1, 'train', 0, 'train', 1, false, 'f', NULL)")
        connection.execute("INSERT INTO base.examples VALUES (1, 'train', 0, 'e0', 'x', NULL, 'a', NULL)")
        connection.execute(
            "INSERT INTO base.subsets VALUES (2, 's1', 'one', 1, NULL, 'hard', 0.5, 1, '{}', now()::TIMESTAMP)"
        )
        connection.execute("INSERT INTO base.subset_examples VALUES (2, 0, 2.5)")
    monkeypatch.setattr(migrations, "MIGRATIONS", every)
    with connection_module.Database(path).reading() as connection:
        assert connection.execute("SELECT name, strategy, size FROM subsets").fetchall() == [("one", "hard", 1)]
        assert connection.execute("FROM subset_examples").fetchall() == [("s1", "e0", 2.5)]


# -- balance and twins -------------------------------------------------------------------------------------------------


def test_equal_quotas_by_hand() -> None:
    assert equal({"a": 5, "b": 2, "c": 0}, {"a": 9, "b": 9, "c": 9}) == {"a": 2, "b": 2}
    with pytest.raises(InputError, match="All examples of this subset are labelled 'a'"):
        equal({"a": 5, "b": 0}, {"a": 9, "b": 9})


def test_quotas_like_the_suite_by_hand() -> None:
    # a may have 6 of 9 (4 of 6), b 3 of 9 (2 of 6): 7 of a would allow 10, 2 of b allow 6.
    assert like_suite({"a": 7, "b": 2}, {"a": 6, "b": 3}) == {"a": 4, "b": 2}
    # 1 of a allows 1.5 examples, so one; its share of a is 2/3, which is the larger remainder.
    assert like_suite({"a": 1, "b": 1}, {"a": 6, "b": 3}) == {"a": 1, "b": 0}
    # A label that the suite only names asks for nothing.
    assert like_suite({"a": 2, "b": 2, "c": 0}, {"a": 3, "b": 3, "c": 0}) == {"a": 2, "b": 2, "c": 0}
    with pytest.raises(InputError, match="it has no example labelled 'b'"):
        like_suite({"a": 7, "b": 0}, {"a": 6, "b": 3})


@pytest.mark.parametrize(("how", "counts"), [("equal", {"no": 29, "yes": 29}), ("like-suite", {"no": 50, "yes": 25})])
def test_a_balanced_subset_is_a_part_of_its_parent(workspace: Workspace, how: str, counts: dict[str, int]) -> None:
    assert workspace.subset_labels("ambiguous-33") == {"no": 50, "yes": 29}
    first = workspace.balance_subset("ambiguous-33", how=how, seed=1)
    again = workspace.balance_subset("ambiguous-33", how=how, seed=1, name="again")
    other = workspace.balance_subset("ambiguous-33", how=how, seed=2)
    assert (first.name, other.name) == (f"ambiguous-33-{how}", f"ambiguous-33-{how}-2")
    assert workspace.subset_labels(first.subset) == counts
    assert set(ids_of(workspace, first.subset)) < set(ids_of(workspace, "ambiguous-33"))
    assert ids_of(workspace, first.subset) == ids_of(workspace, again.subset) != ids_of(workspace, other.subset)
    assert not workspace.remake_subset(first.subset).differs
    assert workspace.subset_users("ambiguous-33")[-3:] == [f"subset {each.name}" for each in (first, again, other)]


def test_balancing_refuses_what_can_not_be(workspace: Workspace) -> None:
    with pytest.raises(InputError, match=r"There is no way to balance 'odd' \(known: equal, like-suite\)"):
        workspace.balance_subset("ambiguous-33", how="odd")
    with pytest.raises(InputError, match="seed is -1"):
        workspace.balance_subset("ambiguous-33", seed=-1)
    with pytest.raises(NameTakenError, match="'ambiguous-33' is there already"):
        workspace.balance_subset("ambiguous-33", name="ambiguous-33")
    by_hand(workspace, "one", "0")
    with pytest.raises(InputError, match="All examples of this subset are labelled 'yes'"):
        workspace.balance_subset("one")
    with pytest.raises(InputError, match="it has no example labelled 'no'"):
        workspace.balance_subset("one", how="like-suite")


def test_a_twin_has_the_same_size_and_nothing_else_in_common(workspace: Workspace) -> None:
    first = workspace.random_twin("ambiguous-33", seed=1)
    again = workspace.random_twin(workspace.subset_positions("ambiguous-33"), suite="toy", seed=1, name="by-rows")
    other = workspace.random_twin("ambiguous-33", seed=2, name="other")
    matched = workspace.random_twin("ambiguous-33", seed=1, same_labels=True, name="matched")
    assert first.name == "ambiguous-33-twin"
    assert [each.size for each in (first, again, other, matched)] == [79] * 4
    assert ids_of(workspace, first.subset) == ids_of(workspace, again.subset) != ids_of(workspace, other.subset)
    assert workspace.subset_labels(matched.subset) == workspace.subset_labels("ambiguous-33")
    assert not workspace.remake_subset(first.subset).differs
    assert not workspace.remake_subset(matched.subset).differs


@pytest.mark.parametrize("size", [1, 2, 3, 7, 119, 120, 121, 239, 240])
def test_a_twin_is_exact_at_every_size(workspace: Workspace, size: int) -> None:
    assert workspace.random_twin(np.arange(size), suite="toy").size == size


@pytest.mark.parametrize(
    ("rows", "suite", "said"),
    [
        ([], "toy", "There is no example whose twin to draw"),
        ([0], None, "needs the suite that they are of"),
        ([NUM_TRAIN], "toy", "Rows of the training split are 0 to 239"),
        ([-1], "toy", "Rows of the training split are 0 to 239"),
        ([0], "toys", "There is no suite 'toys'"),
    ],
)
def test_a_twin_of_what_is_not_there_is_refused(made: Workspace, rows: list[int], suite: str | None, said: str) -> None:
    with pytest.raises(InputError, match=said):
        made.random_twin(np.array(rows, dtype=np.int64), suite=suite)


# -- comparing and making again ----------------------------------------------------------------------------------------


def test_two_subsets_compared_by_hand(workspace: Workspace) -> None:
    by_hand(workspace, "a", "0 1 2 3")  # yes no no yes
    by_hand(workspace, "b", "3 4 5 6 7 8")  # yes no no yes no no
    found = workspace.compare_subsets("a", "b", run="map-run")
    assert (found.num_shared, found.num_only_a, found.num_only_b, found.num_train) == (1, 3, 5, NUM_TRAIN)
    assert found.jaccard == 1 / 9
    assert found.jaccard_by_chance == pytest.approx(0.1 / 9.9)  # 4 * 6 / 240 shared, of 10 less that.
    assert found.labels.to_dict("list") == {"label": ["no", "yes"], "a": [2, 2], "b": [4, 2], "everything": [160, 80]}
    assert found.medians is not None
    medians = found.medians.set_index("score")
    frame = workspace.data_map("map-run")
    assert medians.loc["confidence", "a"] == pytest.approx(np.median(frame["confidence"][:4]))
    assert medians.loc["confidence", "everything"] == pytest.approx(np.median(frame["confidence"]))
    assert medians.loc["aum", "b"] == pytest.approx(np.median(frame["aum"][3:9]))
    same = workspace.compare_subsets("a", "a")
    assert (same.jaccard, same.num_only_a, same.medians) == (1.0, 0, None)


def test_comparing_refuses_what_has_nothing_in_common(workspace: Workspace) -> None:
    workspace.import_dynamics(workspace.dynamics("map-run"), name="other")
    workspace.save_subset(Recipe(source_run="other", strategy="hard", fraction=0.5), name="half")
    with pytest.raises(InputError, match="is of suite 'toy' and 'half' of 'other'"):
        workspace.compare_subsets("ambiguous-33", "half")
    with pytest.raises(InputError, match="Run 'other' is of suite 'other', not of 'toy'"):
        workspace.compare_subsets("ambiguous-33", "ambiguous-33", run="other")
    with pytest.raises(RunError, match="Run 'erm-0' has no data map yet"):
        workspace.compare_subsets("ambiguous-33", "ambiguous-33", run="erm-0")
    with pytest.raises(NotFoundError, match="There is no subset 'nobody'"):
        workspace.compare_subsets("ambiguous-33", "nobody")


def test_a_subset_is_saved_as_its_recipe_gives_it_now(workspace: Workspace) -> None:
    old = ids_of(workspace, "ambiguous-33")
    same = workspace.remake_subset("ambiguous-33")
    assert (same.size, same.num_added, same.num_lost, same.differs, same.saved) == (79, 0, 0, False, None)
    with workspace.database.writing() as connection:
        connection.execute("UPDATE base.data_map SET variability = 0.5 - variability")
    found = workspace.remake_subset("ambiguous-33", save=True)
    assert found.saved is not None
    new = ids_of(workspace, found.saved.subset)
    assert found.saved.name == "ambiguous-33-2"
    assert found.saved.source_run == workspace.subset("ambiguous-33").source_run
    assert (found.num_added, found.num_lost) == (len(set(new) - set(old)), len(set(old) - set(new)))
    assert ids_of(workspace, "ambiguous-33") == old
    with pytest.raises(NameTakenError, match="'ambiguous-33' is there already"):
        workspace.remake_subset("ambiguous-33", save=True, name="ambiguous-33")


def test_weights_are_kept_through_all_of_it(workspace: Workspace) -> None:
    parent = weighted(workspace, "heavy", "0 1 2 3 4", [5, 4, 3, 2, 1])
    of_parent = {"0": 5.0, "1": 4.0, "2": 3.0, "3": 2.0, "4": 1.0}
    balanced = workspace.balance_subset("heavy", seed=3)
    assert dict(workspace.subset_examples(balanced.subset).values) == {
        example_id: of_parent[example_id] for example_id in ids_of(workspace, balanced.subset)
    }
    remade = workspace.remake_subset("heavy", save=True).saved
    assert remade is not None
    assert dict(workspace.subset_examples(remade.subset).values) == of_parent
    assert sorted(workspace.subset_examples(workspace.random_twin("heavy").subset)["weight"]) == [1, 2, 3, 4, 5]
    workspace.rename_subset("heavy", "heavier")
    workspace.remove_subset(remade.subset)
    assert dict(workspace.subset_examples(workspace.restore_subset(remade.subset).subset).values) == of_parent
    assert dict(workspace.subset_examples(parent.subset).values) == of_parent


def test_the_balance_of_all_subsets_in_one_query(workspace: Workspace) -> None:
    few = by_hand(workspace, "few", "0 1 2 3")
    one = by_hand(workspace, "one", "0")
    frame = workspace.subset_balance("toy")
    assert frame.values.tolist() == [
        [workspace.subset("ambiguous-33").subset, "no", 50],
        [workspace.subset("ambiguous-33").subset, "yes", 29],
        [few.subset, "no", 2],
        [few.subset, "yes", 2],
        [one.subset, "yes", 1],
    ]
    assert workspace.subset_balance("other").empty
    assert len(workspace.subset_balance()) == 5
