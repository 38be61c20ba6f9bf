"""Charts of a comparison: what stands where, and that words from data stay words."""

import numpy as np
import pandas as pd
import pytest

from ftft_core.figures import DARK, LIGHT
from ftft_core.figures.compare_charts import LINE_GAP, cost_curves_figure, cost_front_figure, line_colours
from ftft_core.figures.pair_charts import confusion_figure, groups_figure, reliability_figure
from ftft_core.figures.themes import side_colours


def front(rows):
    names = ["name", "column", "score", "std", "cost_share", "is_baseline", "num_seeds", "on_front"]
    return pd.DataFrame(rows, columns=names)


POINTS = front([
    ("erm", "erm-1", 0.70, 0.02, 1.0, True, 3, False),
    ("ftft", "ftft-1", 0.72, 0.01, 0.5, False, 3, True),
    ("<b>x</b>", "x-1", 0.60, np.nan, 0.4, False, 1, True),
])  # fmt: skip


def test_the_front_goes_over_what_nothing_beats_and_names_are_words():
    figure = cost_front_figure(POINTS, LIGHT, score_name="Accuracy", baseline="erm", focus=["ftft-1"])
    line, beaten, best = figure.data
    assert list(line.x) == [0.4, 0.5, 1.0]
    assert list(line.y) == [0.60, 0.72, 0.72]
    assert list(beaten.marker.symbol) == ["diamond"]
    named = {note.text: (note.x, note.y) for note in figure.layout.annotations}
    assert named == {"erm": (1.0, 0.7), "<b>ftft</b>": (0.5, 0.72), "&lt;b&gt;x&lt;/b&gt;": (0.4, 0.6)}
    assert {note.bgcolor for note in figure.layout.annotations} == {"rgba(255,255,255,0.8)"}, (
        "no line strikes a name out"
    )
    assert list(best.error_y.array) == [0.01, 0]
    assert [words for _, words in best.customdata] == [" ± 1.0 over 3 seeds", " of 1 seed"]


def test_names_do_not_cover_one_another():
    rows = [(f"method {place}", f"m{place}", 0.7 + place / 1e4, 0.01, 0.5, False, 3, False) for place in range(3)]
    names = cost_front_figure(front(rows), LIGHT, score_name="A", baseline="erm").layout.annotations
    assert len({(note.xanchor, note.yanchor, note.xshift, note.yshift) for note in names}) == 3


def test_lower_is_better_is_said():
    figure = cost_front_figure(POINTS, LIGHT, score_name="ECE", baseline="erm", higher_is_better=False)
    assert figure.layout.yaxis.title.text.endswith("ece (lower is better)")


def test_a_long_title_of_an_axis_has_two_lines():
    figure = cost_front_figure(
        POINTS, LIGHT, score_name="Expected calibration error", baseline="erm", higher_is_better=False
    )
    title = figure.layout.yaxis.title.text
    assert title == "out of distribution,<br>expected calibration error (lower is better)"


def test_names_at_the_ends_keep_apart_on_the_axis_that_single_seeds_make_long():
    curves = pd.concat([curve(name, [0.70 + place / 1e3]) for place, name in enumerate(("a", "b", "c"))])
    points = pd.concat([
        pd.DataFrame({"column": "a", "run_id": run, "cost": [10.0, 100.0], "value": [0.2, 0.7]}) for run in ("x", "y")
    ])  # fmt: skip
    figure = cost_curves_figure(
        curves, points, {name: name for name in "abc"}, LIGHT, whole=100.0, baseline="a", target=None, reached={},
        score_name="Accuracy",
    )  # fmt: skip
    heights = sorted(note.y for note in figure.layout.annotations)
    assert min(np.diff(heights)) >= LINE_GAP * 0.5


def curve(column, means, whole=100.0):
    costs = whole * np.linspace(1 / len(means), 1, len(means))
    ends = [False] * (len(means) - 1) + [True]
    return pd.DataFrame({"column": column, "cost": costs, "mean": means, "is_end": ends})


def test_curves_run_over_shares_with_the_target_where_it_is_reached():
    curves = pd.concat([curve("erm", [0.5, 0.7]), curve("ftft", [0.6, 0.75], whole=40.0)])
    points = pd.concat([curves.rename(columns={"mean": "value"}).assign(run_id=run) for run in ("a", "b")])
    figure = cost_curves_figure(
        curves, points, {"erm": "erm", "ftft": "ftft"}, DARK, whole=100.0, baseline="erm", target=0.7,
        reached={"erm": 1.0, "ftft": 0.4}, score_name="Accuracy", focus=["ftft", "erm"],
    )  # fmt: skip
    means = [trace for trace in figure.data if trace.mode == "lines+markers"]
    assert [list(trace.x) for trace in means] == [[0.5, 1.0], [0.2, 0.4]]
    assert [trace.line.color for trace in means] == [side_colours(DARK)[1], side_colours(DARK)[0]]
    ticks = [trace for trace in figure.data if trace.mode == "markers"]
    assert [(trace.x[0], trace.y[0]) for trace in ticks] == [(1.0, 0.7), (0.4, 0.7)]
    assert len([trace for trace in figure.data if trace.mode == "lines"]) == 4  # a faint one a run
    names = [note for note in figure.layout.annotations if note.text in ("erm", "ftft")]
    assert [note.text for note in sorted(names, key=lambda note: note.y)] == ["erm", "ftft"]


def test_colours_of_curves_differ_and_those_looked_at_have_their_own():
    colours = line_colours(["a", "b", "c", "d"], ["c", "a"], LIGHT)
    assert (colours["c"], colours["a"]) == side_colours(LIGHT)
    assert len(set(colours.values())) == 4


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_a_confusion_is_in_shares_of_each_gold_label_and_empty_rows_are_empty(theme):
    figure = confusion_figure(np.array([[3.0, 1.0], [0.0, 0.0]]), ["<i>no</i>", "$yes$"], theme)
    assert figure.data[0].z.tolist()[0] == [0.75, 0.25]
    assert np.isnan(figure.data[0].z[1]).all()
    assert [note.text for note in figure.layout.annotations] == ["75 %<br>3", "25 %<br>1", "", ""]
    assert list(figure.layout.xaxis.ticktext) == ["&lt;i&gt;no&lt;/i&gt;", "&#36;yes&#36;"]


def test_many_labels_are_drawn_without_numbers():
    figure = confusion_figure(np.eye(30), [f"label {number}" for number in range(30)], LIGHT)
    assert len(figure.layout.annotations) == 0


def test_reliability_leaves_empty_bins_out():
    bins = pd.DataFrame(
        {
            "bin": [0, 1, 2],
            "confidence": [np.nan, 0.6, 0.9],
            "accuracy": [np.nan, 0.5, 0.95],
            "num_examples": [0, 10, 40],
        }
    )
    diagonal, line = reliability_figure({"erm": bins}, LIGHT).data
    assert list(diagonal.x) == [0, 1]
    assert list(line.x) == [0.6, 0.9]
    assert list(line.y) == [0.5, 0.95]
    assert line.marker.size[0] < line.marker.size[1] == 14


def test_groups_have_intervals_and_only_marked_ones_are_filled():
    columns = ["group", "num_examples", "first", "second", "delta", "low", "high", "marked"]
    rows = [("<b>a</b>", 10, 0.9, 0.5, 0.4, 0.2, 0.6, True), ("b", 5, 0.4, 0.5, -0.1, -0.3, 0.1, False)]
    figure = groups_figure(pd.DataFrame(rows, columns=columns), LIGHT)
    *lines, dots = figure.data
    assert [list(line.x) for line in lines] == [[20, 60], [-30, 10]]
    assert list(dots.x) == [40, -10]
    assert list(dots.marker.color) == [side_colours(LIGHT)[0], LIGHT.background]
    assert list(figure.layout.yaxis.ticktext) == ["&lt;b&gt;a&lt;/b&gt;", "b"]
    assert [note.text for note in figure.layout.annotations] == ["90 : 50", "40 : 50"]


def test_every_chart_s_button_is_legible():
    figure = cost_front_figure(POINTS, DARK, score_name="Accuracy", baseline="erm")
    assert figure.layout.modebar.color == DARK.muted
