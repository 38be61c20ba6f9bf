"""Texts in a map, the filter language, and choosing by rank."""

import numpy as np
import pandas as pd
import pytest

from ftft_core.errors import InputError
from ftft_core.selection import (
    PolygonCondition,
    SelectionContext,
    TextCondition,
    condition_mask,
    filter_mask,
    recipe_mask,
    select,
    select_mask,
)
from tests.test_selection_conditions import frame, recipe


@pytest.fixture
def data_map():
    return frame(range(8), [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7], group=pd.Categorical([*"xyxy", None, *"xyx"]))


@pytest.fixture
def texts():
    return pd.DataFrame(
        {
            "example_id": pd.array(list("abcde"), dtype="str"),
            "text": ["Straße 100 %", "a_b\\c", "emoji 😀", None, "null \0 byte"],
            "text_pair": [None, "SECOND", "שלום", "x", ""],
            "label": pd.Categorical(["Hate", "none", "hate", "none", "none"]),
        }
    )


@pytest.mark.parametrize(
    ("pattern", "regex", "expected"),
    [
        ("%", False, "a"),
        ("_", False, "b"),
        ("\\", False, "b"),
        ("\0", False, "e"),
        ("😀", False, "c"),
        ("שלום", False, "c"),
        ("second", False, "b"),
        ("STRASSE", False, "a"),
        (".", False, ""),
        ("^sec.nd$", True, "b"),
        (r"\d+ %", True, "a"),
        ("(a+)+$", True, ""),
    ],
)
def test_texts_that_a_map_holds_are_searched_as_they_are_with_case_ignored(texts, pattern, regex, expected):
    mask = condition_mask(TextCondition(pattern=pattern, regex=regex), SelectionContext(texts))
    assert "".join(texts["example_id"][mask]) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('matches(label, "^HAT")', "ac"),
        ('contains(label, "ate")', "ac"),
        ('label == "hate"', "c"),
        ('label != "none"', "ac"),
        ('label in ["hate", "Hate"]', "ac"),
        ('matches(text, "x") or text is None', "d"),
        ('text_pair == ""', "e"),
    ],
)
def test_filters_ask_categories_and_texts(texts, expression, expected):
    assert "".join(texts["example_id"][filter_mask(texts, expression)]) == expected


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ('label == "x"', r"at character 10: There is no label 'x' \(known: Hate, hate, none\)"),
        ('label in ["hate", "hat"]', "at character 19: There is no label 'hat'"),
        ('label == "hate" and matches(text, "(")', r"at character 35: The regular expression '\(' can't be used"),
        ('matches(text, "(?=a)")', "Look-ahead, look-behind and their like are not known"),
        ('matches(text, "(a{1000}){1000}")', "Counts in braces may multiply to at most 1,000"),
        (f'matches(text, "{"a" * 1001}")', "at character 15: The pattern has 1,001 characters"),
        ("matches(text, 1)", r"at character 15: matches\(\) needs a \"pattern\" in quotes second"),
        ('contain(text, "x")', "at character 1: There is no function 'contain'.* Did you mean 'contains'"),
        ("tagged(label)", r"at character 8: tagged\(\) needs the \"name\" of a tag"),
        ("label == 'hate' and excluded", "at character 21: marks are kept in a workspace"),
        ("text_par == 'x'", "There is no column 'text_par'.* Did you mean 'text_pair'"),
    ],
)
def test_filters_point_at_the_pattern_or_name_that_cannot_be(texts, expression, problem):
    with pytest.raises(InputError, match="was not understood") as caught:
        filter_mask(texts, expression)
    assert len(caught.value.problems) == 1
    assert pd.Series(caught.value.problems).str.contains(problem).all(), caught.value.problems


def test_texts_that_no_search_answers_are_told(data_map):
    with pytest.raises(InputError) as caught:
        filter_mask(data_map, 'confidence < 1 and text == "x"')
    assert caught.value.problems[0].startswith("at character 20: this map has no texts")


@pytest.mark.parametrize(
    "strategy", ["top:loss", "bottom:loss", "moderate:loss", "both-ends", "forgetting", "stratified:loss"]
)
@pytest.mark.parametrize("size", [1, 7, 20, 39, 40])
def test_partial_ranking_chooses_as_a_whole_ranking_does(strategy, size):
    generator = np.random.default_rng(size)
    loss = generator.integers(0, 5, 40).astype(float)
    loss[generator.integers(0, 40, 6)] = np.nan
    data_map = pd.DataFrame({"example_id": pd.array([str(row) for row in range(40)], dtype="str"), "loss": loss})
    data_map["confidence"] = np.round(generator.random(40), 1)
    data_map["forgetting_events"] = generator.integers(0, 3, 40)
    data_map["never_learnt"] = generator.random(40) < 0.2
    mask = select_mask(data_map, strategy, size / 40, num_epochs=3)
    assert mask.sum() == size

    def first(keys, count):
        return np.argsort(keys, kind="stable")[:count]

    confidence = data_map["confidence"].to_numpy()
    hardest = first(confidence, round(0.7 * size))
    easiest = [row for row in first(-confidence, 40) if row not in hardest][: size - len(hardest)]
    events = np.where(data_map["never_learnt"], np.inf, data_map["forgetting_events"])
    expected = {
        "top:loss": first(-loss, size),
        "bottom:loss": first(loss, size),
        "moderate:loss": first(np.abs(loss - np.nanmedian(loss)), size),
        "both-ends": np.array([*hardest, *easiest]),
        "forgetting": first(-events, size),
    }
    if strategy in expected:
        assert np.flatnonzero(mask).tolist() == sorted(expected[strategy].tolist())


def test_a_selection_among_some_equals_one_of_their_rows(data_map):
    among = data_map["confidence"].to_numpy() > 0.15
    for balance in (None, "class"):
        mask = select_mask(data_map, "random", 0.5, balance=balance, seed=4, among=among)
        expected = select(data_map[among], "random", 0.5, balance=balance, seed=4)
        assert data_map["example_id"][mask].tolist() == expected.tolist()


def test_categorical_labels_are_balanced_like_plain_ones(data_map):
    plain = data_map.assign(label=data_map["label"].astype(str))
    for fraction in (0.3, 0.5, 0.9):
        chosen = [select(each, "easy", fraction, balance="class").tolist() for each in (data_map, plain)]
        assert chosen[0] == chosen[1]
    assert select(data_map, "easy", quotas={"no": 1, "yes": 2}).tolist() == ["e", "g", "h"]


def test_one_example_is_enough():
    one = SelectionContext(frame([3], [0.5]))
    polygon = PolygonCondition(x="variability", y="confidence", points=((0, 0.5), (1, 0), (1, 1)))
    assert condition_mask(polygon, one).tolist() == [True]
    assert recipe_mask(recipe({"kind": "top", "strategy": "hard", "fraction": 0.01}), one).tolist() == [True]
