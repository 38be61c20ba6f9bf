import re

import numpy as np
import pandas as pd
import pytest

from ftft_core.errors import InputError
from ftft_core.selection import filter_columns, filter_mask


@pytest.fixture
def data_map():
    return pd.DataFrame(
        {
            "example_id": pd.array(list("abcd"), dtype="str"),
            "label": pd.array(["hate", "none", "hate", "é"], dtype="str"),
            "predicted_label": pd.array(["hate", "hate", "none", "é"], dtype="str"),
            "confidence": [0.1, 0.3, 0.5, 0.9],
            "correctness": [0.5, 0.0, 0.5, 1.0],
            "forgetting_events": [2, 0, 3, 1],
            "never_learnt": [False, True, False, False],
            "first_learnt_epoch": pd.array([0, None, 1, 2], dtype="Int64"),
            "text": ["Straße One", "two", None, "one 'quoted'"],
        }
    )


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("confidence < 0.4", "ab"),
        ('confidence < 0.6 and forgetting_events >= 2 and label == "hate"', "ac"),
        ("0.2 < confidence <= 0.5", "bc"),
        ("confidence < 0.2 or confidence > 0.8", "ad"),
        ("not (confidence < 0.2 or confidence > 0.8)", "bc"),
        ("confidence < 0.2 or confidence > 0.2 and never_learnt", "ab"),
        ("never_learnt", "b"),
        ("not never_learnt", "acd"),
        ("never_learnt == False", "acd"),
        ('label in ["hate", "é"]', "acd"),
        ('label not in ("hate",)', "bd"),
        ("forgetting_events in [0, 3]", "bc"),
        ("label in []", ""),
        ("label != predicted_label", "bc"),
        ("confidence < correctness", "ad"),
        ("confidence > -1", "abcd"),
        ("first_learnt_epoch >= 0", "acd"),
        ("first_learnt_epoch != 0", "cd"),
        ("first_learnt_epoch not in [0]", "cd"),
        ("not first_learnt_epoch == 0", "bcd"),
        ("first_learnt_epoch is None", "b"),
        ("first_learnt_epoch is not None", "acd"),
        ('contains(text, "ONE")', "ad"),
        ('contains(text, "STRASSE")', "a"),
        ("contains(text, \"'quoted'\")", "d"),
        ('text == "two"', "b"),
        ("True", "abcd"),
        ("  confidence\n  < 0.4  ", "ab"),
    ],
)
def test_filters_hold_where_they_should(data_map, expression, expected):
    mask = filter_mask(data_map, expression)
    assert mask.dtype == bool
    assert "".join(data_map["example_id"][mask]) == expected


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("confidnce < 0.4", "at character 1: There is no column 'confidnce'.* Did you mean 'confidence'"),
        ('label == "é" and confidnce < 1', "at character 18: There is no column 'confidnce'"),
        ("confidence = 0.4", "at character 12: to compare, write == with two equals signs"),
        ("confidence < 0.4 AND never_learnt", "at character 18: 'AND' was not expected"),
        ("confidence <", "at character 13: 'the end' was not expected"),
        ("(confidence < 1", r"at character 1: .*'\(' was never closed"),
        ('confidence < "a"', 'at character 14: confidence is a number and "a" a text'),
        ('label < "a"', "at character 9: '<' is for numbers; label is a text, use == or !="),
        ("1 < 2", "at character 1: two constants are compared"),
        ("confidence", "at character 1: confidence is no condition; compare it with a number"),
        ("confidence + 1 > 2", "at character 1: 'confidence . 1' is not understood: arithmetic"),
        ("never_learnt & (confidence > 1)", "join conditions with 'and' and 'or'"),
        ('contains(confidence, "x")', r"at character 10: contains\(\) needs a column of text"),
        ("contains(text, label)", r"at character 16: contains\(\) needs a \"word\" in quotes"),
        ('contains(text, "x", 1)', "the only functions are contains"),
        ('__import__("os").system("x")', "at character 1: .*the only functions are contains"),
        ('label.upper() == "A"', "the only functions are contains"),
        ("label.x == 1", "names have no parts"),
        ("label[0] == 1", "columns have no parts"),
        ("(lambda: 1) == label", "only conditions over columns"),
        ('label in "hate"', "at character 10: 'in' needs a list"),
        ('"a" in ["a"]', "a column must stand before 'in'"),
        ("label in [1]", "at character 11: label is a text; the list must hold constants of that kind"),
        ('label is "hate"', "at character 10: 'is' is for None only"),
        ("1 is None", "a column must stand before 'is'"),
        ("label == None", "write 'is None' or 'is not None'"),
        ("confidence < " + "9" * 400, "at character 14: the number is too large"),
        ("not " * 200 + "never_learnt", "nested more than 40 levels deep"),
        ("(" * 500 + "never_learnt" + ")" * 500, "too many nested parentheses"),
    ],
)
def test_an_error_points_at_what_was_not_understood(data_map, expression, problem):
    with pytest.raises(InputError, match="was not understood") as caught:
        filter_mask(data_map, expression)
    assert len(caught.value.problems) == 1
    assert re.search(problem, caught.value.problems[0]), caught.value.problems[0]


def test_all_problems_of_a_filter_are_told_together(data_map):
    with pytest.raises(InputError) as caught:
        filter_mask(data_map, 'confidnce < 1 or labl == "x" and confidence > "y"')
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "at character 1", "at character 18", "at character 47",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("", "The filter is empty"),
        ("  ", "The filter is empty"),
        ("x" * 3000, "has 3000 characters; at most 2000 are allowed"),
        ("confidence > 1 \0", "cannot be printed"),
        ("label == '\ud800'", "cannot be printed"),
    ],
)
def test_texts_that_are_no_filter_are_refused(data_map, expression, message):
    with pytest.raises(InputError, match=message):
        filter_mask(data_map, expression)


def test_a_bomb_ends_in_a_sentence(data_map):
    for expression in ["(" * 1990, "-" * 1980 + "1 < confidence", "[" * 90 + "]" * 90, "not " * 490 + "never_learnt"]:
        with pytest.raises(InputError, match="was not understood"):
            filter_mask(data_map, expression)


def test_odd_escapes_raise_no_warning(data_map):
    assert not filter_mask(data_map, r'label == "\d"').any()


def test_columns_of_a_filter_are_named_before_they_are_fetched():
    assert filter_columns('contains(text, "x") and confidence < 0.4') == {"text", "confidence"}


def test_an_empty_map_gives_an_empty_mask(data_map):
    empty = data_map.iloc[:0]
    for expression in ("confidence < 0.4", 'contains(text, "x")', "True", "never_learnt"):
        assert filter_mask(empty, expression).shape == (0,)


def test_filters_are_fast_enough_for_a_large_map():
    data_map = pd.DataFrame({"confidence": np.linspace(0, 1, 500_001), "label": ["a"] * 500_001})
    assert filter_mask(data_map, 'confidence < 0.5 and label == "a"').sum() == 250_000
