"""Figures: what is drawn, how much of it, and that text from data stays text."""

import itertools

import numpy as np
import pandas as pd
import pytest

from ftft_core.figures import (
    DARK,
    LIGHT,
    axis_range,
    density,
    drawn_rows,
    empty_figure,
    label_colours,
    loss_figure,
    plain,
    quartile_figure,
    theme_named,
    words,
)


def test_few_points_are_all_drawn_in_file_order():
    rows = drawn_rows(np.array([0.3, 0.1, 0.2]), np.array([0.0, 0.0, 1.0]))
    assert rows.tolist() == [0, 1, 2]


def test_missing_coordinates_are_never_drawn():
    rows = drawn_rows(np.array([0.3, np.nan, 0.2]), np.array([0.0, 0.0, np.inf]))
    assert rows.tolist() == [0]


def test_a_sample_has_exactly_the_limit_and_is_the_same_each_time():
    random = np.random.default_rng(0)
    x, y = random.random(5_000), random.random(5_000)
    rows = drawn_rows(x, y, limit=1_234)
    assert len(rows) == len(set(rows.tolist())) == 1_234
    assert rows.tolist() == sorted(rows.tolist())
    np.testing.assert_array_equal(rows, drawn_rows(x, y, limit=1_234))


def test_a_sample_keeps_every_point_of_a_rare_region():
    random = np.random.default_rng(0)
    crowd = 10_000
    x = np.concatenate([random.normal(0.1, 0.01, crowd), [0.9, 0.91, 0.92]])
    y = np.concatenate([random.normal(0.9, 0.01, crowd), [0.1, 0.11, 0.12]])
    rows = drawn_rows(x, y, limit=500)
    assert {crowd, crowd + 1, crowd + 2} <= set(rows.tolist())


def test_points_that_coincide_are_sampled_to_the_limit():
    assert len(drawn_rows(np.ones(100), np.ones(100), limit=7)) == 7


def test_a_window_draws_only_what_lies_in_it():
    x, y = np.array([0.0, 0.5, 1.0]), np.array([0.0, 0.5, 1.0])
    assert drawn_rows(x, y, window=(0.5, 1.0, 0.0, 0.6)).tolist() == [1]


def test_density_counts_every_example_once():
    picture = density(np.array([0.0, 0.5, 1.0, np.nan]), np.array([0.0, 0.5, 1.0, 0.2]), (0.0, 1.0, 0.0, 1.0))
    assert picture.counts.sum() == 3
    assert picture.counts[0, 0] == picture.counts[-1, -1] == 1  # rows are y, columns are x


def test_the_ninth_label_and_further_ones_are_other():
    colours = label_colours([f"label {number}" for number in range(10)], LIGHT)
    assert colours["label 8"] == colours["label 9"] == LIGHT.other
    assert len({colours[f"label {number}"] for number in range(8)}) == 8


def test_axis_ranges_hold_the_data_and_fixed_scores_their_whole_range():
    low, high = axis_range("confidence", np.array([0.4, 0.6]))
    assert low < 0 < 1 < high
    low, high = axis_range("variability", np.array([0.21]))
    assert low < 0 < 0.25 < high < 0.3
    low, high = axis_range("loss", np.array([2.0, np.nan, 5.0]))
    assert low < 2 < 5 < high
    assert axis_range("loss", np.array([np.nan])) == pytest.approx((-0.025, 1.025))


def test_text_from_data_is_shown_literally():
    assert plain("<b>a</b> & $x$") == "&lt;b&gt;a&lt;/b&gt; &amp; &#36;x&#36;"
    assert plain("a" * 50, limit=10) == "a" * 9 + "…"


def test_learning_curve_shows_median_and_quartiles_from_epoch_1():
    curves = pd.DataFrame({"epoch": [0, 1], "lower": [0.25, 0.3], "median": [0.5, 0.4], "upper": [0.75, 0.5]})
    high, low, median = quartile_figure(curves, LIGHT).data
    assert list(median.x) == [1, 2]
    np.testing.assert_allclose(median.y, [0.5, 0.4])
    np.testing.assert_allclose(low.y, [0.25, 0.3])
    np.testing.assert_allclose(high.y, [0.75, 0.5])


def test_loss_figure_leaves_out_steps_without_a_loss():
    history = pd.DataFrame({"step": [1, 2, 2], "loss": [0.7, 0.5, None], "dev_accuracy": [None, None, 0.8]})
    losses, dev = loss_figure(history, LIGHT).data
    assert list(losses.y) == [0.7, 0.5]
    assert list(dev.y) == [0.8]


def test_an_empty_figure_says_why():
    assert empty_figure("nothing yet", LIGHT).layout.annotations[0].text == "nothing yet"


def test_words_of_scores_and_unknown_themes():
    assert [words(name) for name in ("threshold_closeness", "aum", "el2n")] == ["threshold closeness", "AUM", "EL2N"]
    assert theme_named(None) is LIGHT
    assert theme_named("dark") is DARK


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_quiet_text_is_legible_on_the_page(theme):
    for colour in (theme.text, theme.muted, theme.accent):
        assert contrast(colour, theme.background) >= 4.5


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_scores_stand_out_more_the_higher_they_are(theme):
    contrasts = [contrast(colour, theme.background) for colour in theme.scores]
    assert all(low < high for low, high in itertools.pairwise(contrasts))


def contrast(colour: str, background: str) -> float:
    """Contrast ratio of WCAG 2.1."""
    light, dark = sorted((luminance(colour), luminance(background)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [channel / 12.92 if channel <= 0.03928 else ((channel + 0.055) / 1.055) ** 2.4 for channel in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
