"""Conditions: how they join, what each takes, on the recipe's map or another's, and their words."""

import numpy as np
import pandas as pd
import pytest

from ftft_core.config import parse
from ftft_core.errors import InputError, NotFoundError
from ftft_core.selection import (
    CONDITION_KINDS,
    Recipe,
    SelectionContext,
    apply_recipe,
    describe_condition,
    in_words,
    recipe_mask,
)

IDS = list("abcdefgh")


def frame(positions, confidence, **columns):
    count = len(positions)
    made = pd.DataFrame(
        {
            "position": np.array(positions, dtype=np.int64),
            "example_id": pd.array([IDS[position] for position in positions], dtype="str"),
            "label": pd.Categorical(
                ["yes", "no", "yes", "no"][:count] * (count // 4 or 1), categories=["yes", "no", "eh"]
            ),
            "predicted_label": pd.Categorical(["yes"] * count, categories=["yes", "no", "eh"]),
            "group": pd.Categorical([None] * count, categories=[]),
            "confidence": np.array(confidence, dtype=float),
            "variability": np.linspace(0.0, 0.4, count),
            **columns,
        }
    )
    made.attrs["counted_epochs"] = [0, 1]
    return made


@pytest.fixture
def data_map():
    return frame(range(8), [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7], group=pd.Categorical([*"xyxy", None, *"xyx"]))


@pytest.fixture
def context(data_map):
    other = frame([6, 2, 0, 4], [0.9, 0.8, 0.1, 0.2])  # Another order, and half of the examples.
    members = {"s1": set("abc"), "s2": set("cd")}
    is_marked = {"noisy": [0, 5]}

    def marked(rows):
        mask = np.zeros(8, dtype=bool)
        mask[rows] = True
        return mask

    def search(condition):
        assert (condition.pattern, condition.regex) == ("w", False)
        return marked([1, 2] if condition.column == "text" else [2, 6])

    def subset_mask(subset):
        if subset not in members:
            raise NotFoundError(f"There is no subset '{subset}'.")
        return data_map["example_id"].isin(members[subset]).to_numpy()

    return SelectionContext(
        data_map,
        map_of={"r2": other}.__getitem__,
        subset_mask=subset_mask,
        search=search,
        tagged=lambda tag: marked(is_marked[tag]),
        excluded=lambda: marked([7]),
    )


def recipe(*conditions, **values):
    return parse(Recipe, {"conditions": list(conditions), **values}, what="The recipe")


def taken(context, *conditions, **values):
    mask = recipe_mask(recipe(*conditions, **values), context)
    assert mask.dtype == bool
    return "".join(context.data_map["example_id"][mask])


LOW = {"kind": "threshold", "score": "confidence", "high": 0.25}  # abc
YES = {"kind": "labels", "labels": ["yes"]}  # aceg
TAGGED = {"kind": "tagged", "tag": "noisy"}  # af


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (LOW, "abc"),
        (YES, "aceg"),
        ({"kind": "labels", "labels": ["yes", "no"]}, "abcdefgh"),
        ({"kind": "labels", "labels": ["eh"]}, ""),
        ({"kind": "labels", "labels": ["no"], "column": "predicted_label"}, ""),
        ({"kind": "labels", "labels": ["x"], "column": "group"}, "acfh"),
        ({"kind": "labels", "labels": ["x"], "column": "group", "negated": True}, "bdeg"),
        (TAGGED, "af"),
        ({"kind": "excluded"}, "h"),
        ({"kind": "text", "pattern": "w"}, "cg"),
        ({"kind": "text", "pattern": "w", "column": "text"}, "bc"),
        ({"kind": "top", "strategy": "easy", "fraction": 0.25}, "gh"),
        ({"kind": "top", "strategy": "easy", "fraction": 0.5, "balance": "class"}, "efgh"),
        ({"kind": "top", "strategy": "easy", "fraction": 0.25, "negated": True}, "abcdef"),
        ({"kind": "ids", "example_ids": ["h", "b"]}, "bh"),
        ({"kind": "set", "expression": "A - B", "operands": {"A": "s1", "B": "s2"}}, "ab"),
        ({"kind": "where", "expression": 'contains(text, "w") or tagged("noisy")'}, "abcf"),
        ({"kind": "where", "expression": 'excluded or contains(text_pair, "w") and not tagged("noisy")'}, "cgh"),
        ({"kind": "box", "x": "variability", "y": "confidence", "x_range": [0, 0.1], "y_range": [0, 1]}, "ab"),
        ({"kind": "polygon", "x": "confidence", "y": "variability", "points": [[0, 0], [0.25, 0], [0, 1]]}, "abc"),
    ],
)
def test_each_condition_takes_what_it_says(context, condition, expected):
    assert taken(context, condition) == expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"kind": "threshold", "score": "confidence", "low": 0.5, "run": "r2"}, "cg"),
        ({"kind": "threshold", "score": "confidence", "low": 0.5, "run": "r2", "negated": True}, "abdefh"),
        ({"kind": "top", "strategy": "hard", "fraction": 0.25, "run": "r2"}, "a"),
        ({"kind": "where", "expression": "confidence < 0.5", "run": "r2"}, "ae"),
        ({"kind": "where", "expression": 'contains(text, "w") or tagged("noisy")', "run": "r2"}, "ac"),
        ({"kind": "where", "expression": "not excluded", "run": "r2"}, "aceg"),
        (
            {
                "kind": "polygon",
                "x": "variability",
                "y": "confidence",
                "points": [[0, 0.5], [1, 0.5], [0, 1]],
                "run": "r2",
            },
            "cg",
        ),
    ],
)
def test_conditions_on_another_run_leave_out_what_it_lacks_and_their_opposite_takes_it(context, condition, expected):
    assert taken(context, condition) == expected


def test_rows_of_two_maps_are_matched_by_id_where_there_are_no_positions(context, data_map):
    bare = data_map.drop(columns="position")
    other = context.map_of("r2").drop(columns="position")
    condition = {"kind": "threshold", "score": "confidence", "low": 0.5, "run": "r2"}
    assert taken(SelectionContext(bare, map_of=lambda _: other), condition) == "cg"
    assert apply_recipe(recipe(condition), bare, maps={"r2": other}).tolist() == ["c", "g"]


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ([LOW, YES], "ac"),
        ([LOW, {**YES, "join": "or"}], "abceg"),
        ([LOW, {**YES, "join": "or"}, {**TAGGED, "negated": True}], "bceg"),
        ([LOW, {**TAGGED, "negated": True}, {**YES, "join": "or"}], "abceg"),
        ([{**LOW, "join": "or"}], "abc"),
        ([{**LOW, "negated": True}, {**YES, "join": "or", "negated": True}], "bdefgh"),
        ([], "fgh"),
    ],
)
def test_conditions_join_from_left_to_right(context, conditions, expected):
    values = {} if conditions else {"strategy": "easy", "fraction": 0.4}
    assert taken(context, *conditions, **values) == expected


def test_the_strategy_takes_its_share_of_what_the_conditions_leave(context, data_map):
    conditions = [LOW, {**YES, "join": "or"}]
    assert taken(context, *conditions, strategy="easy", fraction=0.4) == "eg"
    assert taken(context, {"kind": "labels", "labels": ["eh"]}, strategy="easy", fraction=0.4) == ""
    top = {"kind": "top", "strategy": "easy", "fraction": 0.4}
    assert taken(context, *conditions, top) == "g"  # The top of all, not of what is left.


def test_a_recipe_stored_before_joins_were_there_means_the_same(context):
    stored = (
        '{"source_run":"r1","conditions":[{"kind":"threshold","score":"confidence","high":0.25},{"kind":"labels",'
        '"labels":["yes"]}],"strategy":"easy","fraction":0.5,"seed":0}'
    )
    parsed = Recipe.model_validate_json(stored)
    assert parsed == recipe(LOW, YES, source_run="r1", strategy="easy", fraction=0.5)
    assert [(item.join, item.negated) for item in parsed.conditions] == [("and", False)] * 2
    assert recipe_mask(parsed, context).sum() == 1


def test_masks_of_a_context_are_not_changed(context, data_map):
    kept = np.ones(8, dtype=bool)
    lasting = SelectionContext(data_map, tagged=lambda _: kept)
    recipe_mask(recipe(TAGGED, LOW), lasting)
    assert kept.all()


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ({**LOW, "run": "r9"}, "asked on the map of run 'r9', which is not at hand"),
        (TAGGED, "tags are kept in a workspace"),
        ({"kind": "excluded"}, "marks are kept in a workspace"),
        ({"kind": "text", "pattern": "w"}, "this map has none; ask a workspace"),
        ({"kind": "where", "expression": 'tagged("x")'}, "at character 8: .*tags are kept|was not understood"),
        ({"kind": "set", "expression": "A", "operands": {"A": "s9"}}, "names subsets that do not exist"),
        ({"kind": "labels", "labels": ["x"], "column": "group"}, "names unknown groups"),
        ({"kind": "labels", "labels": ["maybe"]}, "names unknown labels"),
    ],
)
def test_what_a_map_alone_cannot_answer_is_told(condition, message):
    with pytest.raises(InputError, match=message):
        recipe_mask(recipe(condition), SelectionContext(frame(range(4), [0.1, 0.2, 0.3, 0.4])))


@pytest.mark.parametrize(
    ("condition", "problem"),
    [
        (
            {"kind": "polygon", "x": "a", "y": "b", "points": [[0, 0], [1, 1]]},
            "a polygon needs 3 to 10,000 corners; received 2",
        ),
        (
            {"kind": "polygon", "x": "a", "y": "b", "points": [[0, 0], [1, float("inf")], [1, 2]]},
            "must be a finite number",
        ),
        ({"kind": "text", "pattern": "x" * 1001}, "the pattern has 1,001 characters; at most 1,000 are allowed"),
        ({"kind": "text", "pattern": ""}, "pattern: is empty"),
        ({"kind": "text", "pattern": "x", "column": "label"}, "it must be 'either', 'text' or 'text_pair'"),
        ({"kind": "top", "strategy": "ambigous", "fraction": 0.1}, "There is no strategy 'ambigous'"),
        ({"kind": "top", "strategy": "hard", "fraction": 0}, "it must be above 0"),
        ({**LOW, "join": "nor"}, "it must be 'and' or 'or'"),
        ({"kind": "excluded", "run": "r2"}, "run: unknown key"),
        ({"kind": "circle"}, "polygon"),
    ],
)
def test_conditions_that_make_no_sense_are_refused(condition, problem):
    with pytest.raises(InputError) as caught:
        recipe(condition)
    assert any(problem in said for said in caught.value.problems), caught.value.problems


def test_every_kind_has_words():
    assert (
        *("polygon", "box", "threshold", "labels", "where", "text", "top", "ids", "set", "tagged", "excluded"),
    ) == CONDITION_KINDS


POLYGON = {"kind": "polygon", "x": "variability", "y": "confidence", "points": [[0, 0], [1, 0], [0, 1]]}


@pytest.mark.parametrize(
    ("conditions", "words"),
    [
        (
            [POLYGON, {**YES, "labels": ["pos"], "join": "or"}, {**TAGGED, "negated": True}],
            "in a polygon of 3 corners on variability and confidence or labelled pos, and not tagged noisy",
        ),
        (
            [LOW, {**YES, "join": "or"}, {**TAGGED, "join": "or"}],
            "with confidence <= 0.25 or labelled yes or tagged noisy",
        ),
        ([{**LOW, "run": "r2", "negated": True}], "not with confidence <= 0.25 of run second"),
        (
            [{"kind": "where", "expression": "loss > 1 or aum < 0"}, {"kind": "excluded", "negated": True}],
            "where (loss > 1 or aum < 0) and not excluded from training",
        ),
        ([{"kind": "text", "pattern": "a.b", "regex": True}, YES], "where text matches /a.b/ and labelled yes"),
        ([{"kind": "top", "strategy": "random", "fraction": 0.1, "seed": 3}], "in the random 10 % (seed 3)"),
        ([{**YES, "column": "predicted_label"}, {**YES, "column": "group"}], "predicted yes and of group yes"),
    ],
)
def test_recipes_say_how_their_conditions_join(conditions, words):
    made = recipe(*conditions, source_run="r3", strategy="ambiguous", fraction=0.33)
    assert in_words(made, run_names={"r2": "second"}) == f"ambiguous 33 % of run r3, {words}"


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (POLYGON, "lasso on variability/confidence"),
        ({**LOW, "low": 0.1}, "0.1 <= confidence <= 0.25"),
        ({**YES, "labels": ["pos", "neg"], "negated": True}, "label = pos or neg"),
        ({"kind": "text", "pattern": "foo", "regex": True}, "text matches /foo/"),
        ({"kind": "text", "pattern": "foo", "column": "text_pair"}, 'second text contains "foo"'),
        ({"kind": "top", "strategy": "ambiguous", "fraction": 0.33, "run": "r2"}, "ambiguous 33 % of run r2"),
        ({"kind": "ids", "example_ids": ["a"]}, "1 listed example"),
        ({"kind": "excluded"}, "excluded"),
        (TAGGED, "tagged noisy"),
    ],
)
def test_chips_say_a_condition_in_few_words(condition, words):
    assert describe_condition(recipe(condition).conditions[0]) == words
