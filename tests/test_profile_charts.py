"""Charts of a profile: what is drawn of how much, and that text from data stays text."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from ftft_core.figures.profile_charts import ROW_HEIGHT, lengths_figure, scores_figure, shares_figure, words_figure
from ftft_core.figures.themes import DARK, LIGHT, label_colours
from ftft_core.profile import contrast, distinctive_words, length_quantiles, rank_scores, shares
from tests.test_profile_words import index_of

NASTY = "<b>$x^2$</b>"


def some_shares(names: list[str], codes: list[int], *selected: int) -> pd.DataFrame:
    mask = np.isin(np.arange(len(codes)), selected)
    return shares(pd.Series(pd.Categorical.from_codes(codes, names)), mask)


def some_words() -> pd.DataFrame:
    index = index_of(*["bad worst", "bad awful", "awful worst"] * 30, *["good best", "fine best", "good fine"] * 30)
    return distinctive_words(index, np.arange(180) < 90, limit=None)


def test_shares_are_bars_with_a_tick_for_the_rest():
    figure = shares_figure(some_shares(["a", "b"], [0, 1, 1, 1], 0, 1), LIGHT)
    bars, ticks = figure.data
    assert list(bars.x) == [0.5, 0.5]
    assert list(ticks.x) == [0, 1]
    assert list(bars.marker.color) == list(label_colours(["a", "b"], LIGHT).values())
    assert [note.text for note in figure.layout.annotations] == ["50 %", "50 %"]
    one_colour = shares_figure(some_shares(["a", "b"], [0, 1], 0), DARK, in_colours=False)
    assert set(one_colour.data[0].marker.color) == {DARK.accent}


def test_of_many_labels_the_largest_are_drawn_and_the_others_added_up():
    names = [f"label {number}" for number in range(150)]
    codes = [*range(150), *[17] * 50, *[3] * 40]
    table = some_shares(names, codes, *range(150, 240))
    figure = shares_figure(table, LIGHT, limit=5)
    assert list(figure.layout.yaxis.ticktext)[-1] == "146 others"
    assert {"label 3", "label 17"} < set(figure.layout.yaxis.ticktext)
    assert figure.layout.height == 5 * ROW_HEIGHT + 6
    assert sum(figure.data[0].x) == pytest.approx(1)


def test_names_that_are_cut_alike_stay_two_rows():
    names = ["a very long label indeed, one", "a very long label indeed, two"]
    figure = shares_figure(some_shares(names, [0, 1], 0), LIGHT)
    assert len(set(figure.data[0].y)) == 2
    assert len(set(figure.layout.yaxis.ticktext)) == 1


def test_words_go_both_ways():
    figure = words_figure(some_words(), LIGHT, limit=2)
    (bars,) = figure.data
    assert len(bars.x) == 4
    assert list(np.sign(bars.x)) == [1, 1, -1, -1]
    assert list(bars.marker.color) == [LIGHT.accent] * 2 + [LIGHT.other] * 2
    assert set(list(figure.layout.yaxis.ticktext)[:2]) < {"bad", "worst", "awful"}


def test_scores_stand_around_the_middle():
    table = contrast(rank_scores(pd.DataFrame({"aum": [1.0, 2, 3, 4], "forgetting_events": [0, 0, 0, 0]})),
                     np.array([True, True, False, False]))  # fmt: skip
    figure = scores_figure(table, LIGHT)
    assert list(figure.data[1].x) == [0, 0.5]
    assert list(figure.layout.yaxis.ticktext) == ["AUM", "Forgetting events"]


def test_lengths_of_both_parts():
    figure = lengths_figure(length_quantiles(np.array([1, 2, 3, 10]), np.array([True, True, True, False])), DARK)
    assert list(figure.data[2].x) == [2, 10]
    assert list(figure.layout.yaxis.ticktext) == ["Selection", "Rest"]


def test_text_from_data_stays_text():
    table = some_words()
    table.loc[0, "word"] = NASTY
    for figure in (shares_figure(some_shares([NASTY, "b"], [0, 1], 0), LIGHT), words_figure(table, LIGHT)):
        drawn = json.dumps(json.loads(figure.to_json()))
        assert "<b>" not in drawn
        assert "$" not in drawn
        assert "&lt;b&gt;" in drawn


def test_nothing_to_draw_is_drawn_as_nothing():
    nothing = np.zeros(2, dtype=bool)
    shares_figure(some_shares(["a", "b"], [0, 1]), LIGHT)
    shares_figure(some_shares(["a"], [0]).iloc[:0], LIGHT)
    words_figure(distinctive_words(index_of("a", "a"), nothing), LIGHT)
    scores_figure(contrast(rank_scores(pd.DataFrame({"aum": [1.0, 2]})), nothing), LIGHT)
    assert list(lengths_figure(length_quantiles(np.array([3, 4]), nothing), LIGHT).data[2].x) == [3.5]
