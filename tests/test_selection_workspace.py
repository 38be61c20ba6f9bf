"""Selections in a workspace: texts searched in the database, marks, other runs, and recipes that are kept."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ftft_core import TrainingDynamics
from ftft_core.cli.app import main
from ftft_core.config import parse
from ftft_core.errors import InputError, NotFoundError
from ftft_core.selection import Recipe, TextCondition, condition_mask, polygon_mask, select
from ftft_core.store import search as search_store
from ftft_core.store import suites as suite_store
from ftft_core.suites import Split, Suite
from ftft_core.workspace import Workspace

LABELS = ("yes", "no")
TEXTS = [
    "100 % of snake_case \\ it's",
    "null \0 byte",
    "emoji 😀 and שלום עולם",
    "Straße",
    "the WEISS word, and ΛΟΓΟΣ",
    "two\nlines",
    "<b>bold</b> $x^2$",
    "x" * 50_000 + "end",
    "",
    "plain Text",
]
PAIRS = [None, "second WORD", None, "100 %", None, "", "the end", None, None, "λόγος"]
IDS = [f"e{row}" for row in range(len(TEXTS))]
GOLD = np.array([row % 2 for row in range(len(TEXTS))])
PART = np.array([1, 3, 4, 5, 8])


def dynamics(rows: np.ndarray, seed: int) -> TrainingDynamics:
    logits = np.random.default_rng(seed).normal(size=(3, len(rows), 2)).astype(np.float32) * 2
    return TrainingDynamics.from_arrays([IDS[row] for row in rows], GOLD[rows], logits, label_names=LABELS)


def keep(workspace: Workspace, name: str, ids: list[str]) -> None:
    names = np.array(LABELS, dtype=object)[GOLD]
    examples = pd.DataFrame({"example_id": ids, "text": TEXTS, "text_pair": PAIRS, "label": names, "group": None})
    splits = (Split("train", "train", examples, None, "f"), Split("dev", "dev", examples[:2], None, "f"))
    workspace.keep_suite(Suite(name, LABELS, splits, name[0] * 8, name[0] * 8))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A suite with two runs on all of it and one on a part, and another suite; no test changes it."""
    workspace = Workspace(tmp_path_factory.mktemp("selecting"))
    keep(workspace, "odd", IDS)
    keep(workspace, "strange", [f"s{row}" for row in range(len(TEXTS))])
    everything = np.arange(len(TEXTS))
    workspace.import_dynamics(dynamics(everything, 0), name="one", suite="odd")
    workspace.import_dynamics(dynamics(everything, 1), name="two", suite="odd")
    workspace.import_dynamics(dynamics(PART, 2), name="part", suite="odd")
    other = TrainingDynamics.from_arrays(
        [f"s{row}" for row in everything], GOLD, dynamics(everything, 3).logits, label_names=LABELS
    )
    workspace.import_dynamics(other, name="elsewhere", suite="strange")
    workspace.mark("odd", ["e1", "e4", "e9"], "tag", "noisy", author="ann")
    workspace.mark("odd", ["e4"], "exclude", author="ann")
    with workspace.database.reading():  # Held open, so that the tests are quick.
        yield workspace


@pytest.fixture
def workspace(made: Workspace, tmp_path: Path) -> Iterator[Workspace]:
    """A copy of it."""
    shutil.copytree(made.folder, tmp_path / "workspace")
    copy = Workspace(tmp_path / "workspace")
    with copy.database.reading():
        yield copy


def recipe(*conditions: dict[str, Any], **values: Any) -> Recipe:
    return parse(Recipe, {"conditions": list(conditions), **values}, what="The recipe")


def where(expression: str) -> dict[str, Any]:
    return {"kind": "where", "expression": expression}


def taken(workspace: Workspace, made: Recipe) -> list[int]:
    """Numbers of the examples that a recipe takes."""
    frame = workspace.map_frame(made.source_run or "one")
    return frame["position"].to_numpy()[workspace.selection_mask(made)].tolist()


# -- text --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "regex", "column", "expected"),
    [
        ("%", False, "either", [0, 3]),
        ("%", False, "text", [0]),
        ("100 %", False, "text_pair", [3]),
        ("_", False, "either", [0]),
        ("\\", False, "either", [0]),
        ("'", False, "either", [0]),
        ("\0", False, "either", [1]),
        ("l \0 B", False, "either", [1]),
        ("😀", False, "either", [2]),
        ("שלום", False, "either", [2]),
        ("STRASSE", False, "either", [3]),
        ("straße", False, "either", [3]),
        ("weiß", False, "either", [4]),
        ("λογος", False, "either", [4]),
        ("ΛΌΓΟΣ", False, "either", [9]),
        ("o\nl", False, "either", [5]),
        (".", False, "either", []),
        ("word", False, "either", [1, 4]),
        ("END", False, "either", [6, 7]),
        ("^END$", True, "either", []),
        ("END$", True, "either", [6, 7]),
        (r"^\w{3,4}i", True, "either", [2, 9]),
        (r"\A\z", True, "either", [5, 8]),
        (r"\x00", True, "either", [1]),
        (r"\p{Hebrew}", True, "either", [2]),
        ("(x+x+)+y", True, "either", []),
        ("word|bold", True, "text_pair", [1]),
    ],
)
def test_texts_are_searched_as_they_are_with_case_ignored(
    made: Workspace, pattern: str, regex: bool, column: str, expected: list[int]
) -> None:
    condition = {"kind": "text", "pattern": pattern, "regex": regex, "column": column}
    assert taken(made, recipe(condition, source_run="one")) == expected
    everything = set(range(len(TEXTS)))
    assert taken(made, recipe({**condition, "negated": True}, source_run="one")) == sorted(everything - set(expected))


def test_a_search_is_in_the_rows_of_the_map_that_asks(made: Workspace) -> None:
    context = made.selection_context("part")
    mask = condition_mask(TextCondition(pattern="word"), context)
    assert mask.tolist() == [position in (1, 4) for position in PART]
    by_id = made.data_map("part").iloc[::-1]
    assert "position" not in by_id
    backwards = condition_mask(TextCondition(pattern="word"), made.selection_context("part", data_map=by_id))
    assert backwards.tolist() == mask.tolist()[::-1]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('contains(text, "word") or matches(text_pair, "^second")', [1, 4]),
        ('text == "plain Text"', [9]),
        ('text == "plain text"', []),
        ('text in ["two\\nlines", "", "null \\x00 byte"]', [1, 5, 8]),
        ('text_pair != ""', [1, 3, 6, 9]),
        ("text_pair is None", [0, 2, 4, 7, 8]),
        ("text_pair is not None and not excluded", [1, 3, 5, 6, 9]),
        ('tagged("noisy") and not excluded', [1, 9]),
        ('label == "yes" and (excluded or contains(text, "straße"))', [4]),
    ],
)
def test_filters_ask_texts_and_marks_of_the_workspace(made: Workspace, expression: str, expected: list[int]) -> None:
    assert taken(made, recipe(where(expression), source_run="one")) == expected
    on_part = recipe(where(expression), source_run="part")
    assert taken(made, on_part) == [position for position in expected if position in PART]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(", r"The regular expression '\(' can't be used \(missing \): \(\)"),
        ("[a", r"can't be used \(missing \]"),
        ("*a", "write a backslash before it"),
        (r"(a)\1", "Back references such as .* are not known"),
        ("(?=a)", "Look-ahead, look-behind"),
        ("(a{1000}){1000}", "Counts in braces may multiply to at most 1,000"),
        (r"(\pL{1,40} ?){20}", "pattern too large .*Use fewer or smaller counts in braces"),
    ],
)
def test_regular_expressions_that_cannot_be_used_are_refused_with_the_reason(
    made: Workspace, pattern: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        taken(made, recipe({"kind": "text", "pattern": pattern, "regex": True}, source_run="one"))
    with pytest.raises(InputError, match=message):
        made.search_examples("odd", "train", pattern, regex=True)


def test_a_pattern_of_too_many_characters_is_refused(made: Workspace) -> None:
    with pytest.raises(InputError, match="has 1,001 characters; at most 1,000"):
        made.search_examples("odd", "train", "a" * 1001)
    assert made.search_examples("odd", "train", "x" * 1000) == ["e7"]


def test_a_regular_expression_that_runs_away_is_stopped(made: Workspace) -> None:
    with (
        made.database.reading() as connection,
        pytest.raises(InputError, match=r"takes too long: .* of 10 examples were searched in 0.001 seconds"),
    ):
        search_store.search_positions(
            connection,
            suite_store.find_suite(connection, "odd"),
            "train",
            "(.{0,10}){0,10}#",
            regex=True,
            seconds=0.001,
        )
    assert made.search_examples("odd", "train", "end$", regex=True) == ["e6", "e7"]  # The connection still works.


# -- other runs, subsets, tags -----------------------------------------------------------------------------------------

POINTS = ((0.0, 0.0), (0.25, 0.0), (0.5, 1.0), (0.0, 0.6))


def lasso(**values: Any) -> dict[str, Any]:
    return {"kind": "polygon", "x": "variability", "y": "confidence", "points": POINTS, **values}


def test_a_polygon_on_another_runs_map_selects_here(workspace: Workspace) -> None:
    frame = workspace.map_frame("two")
    inside = polygon_mask(frame["variability"], frame["confidence"], POINTS)
    assert 0 < inside.sum() < len(frame)
    kept = workspace.save_subset(recipe(lasso(run="two"), source_run="one"), name="by-two")
    assert workspace.subset_examples("by-two")["example_id"].tolist() == frame["example_id"][inside].tolist()
    two = workspace.run("two")["run_id"]
    assert kept.recipe.conditions[0].run == two
    assert workspace.recipe_words(kept.recipe) == (
        "all of run one, in a polygon of 4 corners on variability and confidence of run two"
    )
    remade = workspace.remake_subset("by-two")
    assert (remade.size, remade.differs) == (inside.sum(), False)
    assert taken(workspace, recipe(lasso(run="part", negated=True), source_run="one")) == [
        position
        for position in range(len(TEXTS))
        if position not in taken(workspace, recipe(lasso(), source_run="part"))
    ]


def test_a_recipe_may_look_at_runs_without_being_of_one(workspace: Workspace) -> None:
    kept = workspace.save_subset(recipe(lasso(run="two"), {**lasso(run="part"), "join": "or"}), name="either")
    assert (kept.source_run, kept.suite) == (None, "odd")
    positions = {
        *taken(workspace, recipe(lasso(), source_run="two")),
        *taken(workspace, recipe(lasso(), source_run="part")),
    }
    assert workspace.subset_positions("either").tolist() == sorted(positions)


def test_maps_that_are_at_hand_are_not_read_again(made: Workspace) -> None:
    asked: list[str] = []

    def map_of(run: str) -> pd.DataFrame:
        asked.append(run)
        return made.map_frame(run)

    two = made.run("two")["run_id"]
    twice = recipe(lasso(run=two), {**lasso(run=two), "negated": True, "join": "or"}, source_run="one")
    mask = made.selection_mask(twice, data_map=made.map_frame("one"), map_of=map_of)
    assert mask.all()
    assert asked == [two]


def test_subsets_and_tags_are_looked_up_in_the_rows_of_the_map(workspace: Workspace) -> None:
    workspace.save_subset(recipe({"kind": "ids", "example_ids": ["e1", "e2", "e8"]}), name="few", suite="odd")
    few = {"kind": "set", "expression": "few", "operands": {"few": "few"}}
    tagged = {"kind": "tagged", "tag": "noisy", "join": "or"}
    assert taken(workspace, recipe(few, tagged, source_run="part")) == [1, 4, 8]
    kept = workspace.save_subset(recipe(few, {**tagged, "join": "and"}), name="both")
    assert kept.recipe.conditions[0].operands == {"few": workspace.subset("few").subset}
    assert workspace.subset_positions("both").tolist() == [1]
    workspace.mark("odd", ["e2"], "tag", "noisy", author="ann")
    assert workspace.remake_subset("both").num_added == 1


@pytest.mark.parametrize(
    ("made_of", "error", "message"),
    [
        (
            lambda: recipe(lasso(run="gone"), source_run="one"),
            NotFoundError,
            "looks at the map of a run that is not there",
        ),
        (lambda: recipe(lasso(run="elsewhere"), source_run="one"), InputError, "of suite 'strange', not of 'odd'"),
        (lambda: recipe(lasso(), source_run="gone"), NotFoundError, "There is no run 'gone'"),
        (
            lambda: recipe({"kind": "set", "expression": "A", "operands": {"A": "gone"}}, source_run="one"),
            NotFoundError,
            "There is no subset 'gone'|names subsets that do not exist",
        ),
        (lambda: recipe({"kind": "tagged", "tag": "nosy"}, source_run="one"), NotFoundError, "There is no tag 'nosy'"),
        (lambda: recipe(lasso(run="one"), lasso(run="elsewhere")), InputError, r"2 suites \(odd, strange\)"),
        (lambda: recipe({"kind": "excluded"}), InputError, "needs one suite; received no suite"),
        (lambda: recipe(where("confidence > 2"), source_run="one"), InputError, "leaves none of 10 examples"),
    ],
)
def test_what_is_not_there_is_told_before_anything_is_kept(
    made: Workspace, made_of: Any, error: type[InputError], message: str
) -> None:
    before = len(made.subsets())
    with pytest.raises(error, match=message):
        made.save_subset(made_of(), name="never")
    with pytest.raises(error, match=message):
        made.preview_subset(made_of())
    assert len(made.subsets()) == before


def test_a_selection_may_be_empty_where_it_is_only_looked_at(made: Workspace) -> None:
    assert not made.selection_mask(recipe(where("confidence > 2"), source_run="one")).any()


def test_operands_of_another_suite_are_refused(workspace: Workspace) -> None:
    workspace.save_subset(recipe(where("loss > 0"), source_run="elsewhere"), name="theirs")
    theirs = recipe({"kind": "set", "expression": "A", "operands": {"A": "theirs"}}, source_run="one")
    for ask in (workspace.preview_subset, workspace.save_subset, workspace.selection_mask):
        with pytest.raises(InputError, match="Subset 'theirs' is of suite 'strange', not of 'odd'"):
            ask(theirs)


def test_a_run_that_a_condition_looks_at_stays_while_the_subset_does(workspace: Workspace) -> None:
    workspace.save_subset(recipe(lasso(run="two"), source_run="one"), name="by-two")
    with pytest.raises(InputError) as refused:
        workspace.remove_run("two")
    assert refused.value.problems == ["subset by-two"]


def test_the_same_recipe_is_found_again_however_it_was_written(workspace: Workspace) -> None:
    asked = recipe(where("loss > 0"), source_run="one", strategy="hard", fraction=0.5)
    first = workspace.find_or_save_subset(asked)
    old = (
        f'{{"seed": 0, "source_run": "{first.source_run}", "fraction": 0.5, "strategy": "hard", '
        '"conditions": [{"kind": "where", "expression": "loss > 0"}]}'
    )
    with workspace.database.writing() as connection:
        connection.execute("UPDATE base.subsets SET recipe = ? WHERE subset = ?", [old, first.subset])
    assert workspace.find_or_save_subset(asked).subset == first.subset
    negated = recipe({**where("loss > 0"), "negated": True}, {"kind": "excluded", "join": "or"}, source_run="one")
    other = workspace.find_or_save_subset(negated)
    assert other.subset != first.subset
    assert workspace.find_or_save_subset(negated).subset == other.subset
    assert workspace.find_or_save_subset(asked.model_copy(update={"fraction": 0.6})).subset != first.subset


def test_the_selection_is_that_of_the_plain_api(made: Workspace) -> None:
    asked = recipe(where("loss > 0.1"), source_run="one", strategy="ambiguous", fraction=0.4, balance="class")
    data_map = made.data_map("one")
    expected = select(data_map, "ambiguous", 0.4, balance="class", where="loss > 0.1")
    assert made.preview_subset(asked).tolist() == expected.tolist()
    early = asked.model_copy(update={"epochs": 2})
    expected = select(made.data_map("one", epochs=2), "ambiguous", 0.4, balance="class", where="loss > 0.1")
    assert made.preview_subset(early).tolist() == expected.tolist()


# -- the command line --------------------------------------------------------------------------------------------------


def test_where_asks_texts_and_marks_on_the_command_line(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    def ftft(*arguments: str) -> tuple[int, str]:
        code = main([*arguments, "--workspace", str(workspace.folder)])
        said = capsys.readouterr()
        return code, said.out + said.err

    everything = 'tagged("noisy") and not excluded or matches(text_pair, "^the")'
    assert ftft("select", "one", "--where", everything, "--name", "asked")[0] == 0
    assert workspace.subset_positions("asked").tolist() == [1, 6, 9]
    code, said = ftft("select", "one", "--where", 'loss > 0 and matches(text, "(")')
    assert code == 2
    assert "at character 28: The regular expression '(' can't be used" in said
    code, said = ftft("select", "one", "--where", 'tagged("nois")')
    assert code == 2
    assert "Did you mean 'noisy'" in said
