"""The charts of two methods on one split: confusions, calibration, and their difference in every group.

Owns how they are drawn; every number in them comes from `comparison.pairs`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go

from ftft_core.figures.themes import Theme, chart_layout, colour_scale, plain, side_colours

MAX_NUMBERED_LABELS = 12
"""Labels up to which a confusion shows its numbers in its cells."""

GROUP_ROW = 24
"""Height of one group's row, in pixels."""


def confusion_figure(
    confusion: npt.NDArray[np.float64], labels: Sequence[str], theme: Theme, *, height: int = 250
) -> go.Figure:
    """Share of the examples of each gold label (rows) by predicted label (columns), with their mean number.

    :param confusion: (K, K) examples by gold and predicted label.
    """
    totals = confusion.sum(axis=1, keepdims=True)
    shares = np.divide(confusion, totals, out=np.full_like(confusion, np.nan, dtype=float), where=totals > 0)
    numbered = len(labels) <= MAX_NUMBERED_LABELS
    shown = [
        [_cell_words(share, count) for share, count in zip(*rows, strict=True)]
        for rows in zip(shares, confusion, strict=True)
    ]
    ticks = [plain(label, limit=14 if numbered else 8) for label in labels]
    places = list(range(len(labels)))
    figure = go.Figure(
        go.Heatmap(
            z=shares,
            x=places,
            y=places,
            zmin=0,
            zmax=1,
            colorscale=colour_scale((theme.density[0], theme.accent)),
            showscale=False,
            xgap=2,
            ygap=2,
            customdata=confusion,
            hovertemplate="gold %{y}, predicted %{x}: %{z:.1%}, %{customdata:,.1f} examples<extra></extra>",
        )
    )
    if numbered:
        for row in places:
            for column in places:
                strong = shares[row, column] > (0.55 if theme.name == "light" else 0.75)
                figure.add_annotation(
                    x=column, y=row, text=shown[row][column], showarrow=False,
                    font={"size": 12, "color": theme.background if strong else theme.text},
                )  # fmt: skip
    layout = chart_layout(theme, height=height)
    layout["margin"] = {"l": 96, "r": 8, "t": 6, "b": 46}
    axis = {"tickvals": places, "ticktext": ticks, "fixedrange": True, "showgrid": False, "ticks": ""}
    layout["xaxis"] |= axis
    layout["xaxis"]["title"] = {**layout["xaxis"]["title"], "text": "predicted"}
    layout["yaxis"] |= {**axis, "autorange": "reversed"}
    layout["yaxis"]["title"] = {**layout["yaxis"]["title"], "text": "gold", "standoff": 2}
    figure.update_layout(layout)
    return figure


def reliability_figure(
    calibrations: Mapping[str, pd.DataFrame], theme: Theme, *, height: int = 250, colours: Sequence[str] | None = None
) -> go.Figure:
    """Accuracy against confidence in 15 bins, a line a method; the diagonal is perfect, below it is too sure.

    :param calibrations: name -> bin, confidence, accuracy, num_examples. A point's size says how many examples.
    """
    figure = go.Figure()
    figure.add_trace(
        go.Scatter(
            x=[0, 1], y=[0, 1], mode="lines", line={"color": theme.muted, "width": 1, "dash": "dot"}, hoverinfo="skip"
        )
    )
    shades = colours or side_colours(theme)
    lowest = 1.0
    for place, (name, bins) in enumerate(calibrations.items()):
        filled = bins[bins["num_examples"] > 0]
        lowest = min(lowest, float(filled["confidence"].min()), float(filled["accuracy"].min()))
        share = filled["num_examples"] / max(float(filled["num_examples"].max()), 1.0)
        figure.add_trace(
            go.Scatter(
                x=filled["confidence"],
                y=filled["accuracy"],
                mode="lines+markers",
                line={"color": shades[place], "width": 1.75},
                marker={"size": 5 + 9 * np.sqrt(share), "color": shades[place], "line": {"width": 0}},
                customdata=filled["num_examples"],
                hovertemplate=(
                    f"<b>{plain(name, limit=40)}</b><br>sure by %{{x:.0%}}, right in %{{y:.0%}}<br>"
                    "%{customdata:,} predictions<extra></extra>"
                ),
                cliponaxis=False,
            )
        )
    layout = chart_layout(theme, height=height)
    layout["margin"] = {"l": 50, "r": 10, "t": 6, "b": 46}
    start = max(0.0, np.floor(10 * lowest) / 10 - 0.02)
    for axis, title in (("xaxis", "confidence of the prediction"), ("yaxis", "share that is right")):
        layout[axis] |= {"range": [start, 1.02], "tickformat": ".0%", "fixedrange": True, "nticks": 6}
        layout[axis]["title"] = {**layout[axis]["title"], "text": title}
    figure.update_layout(layout)
    return figure


def groups_figure(groups: pd.DataFrame, theme: Theme) -> go.Figure:
    """Difference in every group with its interval, sorted; a filled point where it is marked.

    :param groups: group, num_examples, first, second, delta, low, high, marked; in the order from top to bottom.
    """
    rows = np.arange(len(groups))
    figure = go.Figure()
    figure.add_vline(x=0, line={"color": theme.muted, "width": 1})
    colours = [_side_colour(row.delta, bool(row.marked), theme) for row in groups.itertuples()]
    for place, row in zip(rows, groups.itertuples(), strict=True):
        figure.add_trace(
            go.Scatter(
                x=[100 * row.low, 100 * row.high],
                y=[place, place],
                mode="lines",
                hoverinfo="skip",
                line={"color": colours[place], "width": 1.5},
            )
        )
    words = [
        [plain(row.group, limit=80), 100 * row.first, 100 * row.second, row.num_examples, 100 * row.low, 100 * row.high]
        for row in groups.itertuples(index=False)
    ]
    figure.add_trace(
        go.Scatter(
            x=100 * groups["delta"],
            y=rows,
            mode="markers",
            marker={
                "size": 9,
                "color": [
                    colour if marked else theme.background
                    for colour, marked in zip(colours, groups["marked"], strict=True)
                ],
                "line": {"width": 1.75, "color": colours},
            },
            customdata=words,
            hovertemplate=(
                "<b>%{customdata[0]}</b>, %{customdata[3]} examples<br>"
                "%{customdata[1]:.1f} against %{customdata[2]:.1f}<br>"
                "%{x:+.1f} points, 95 % interval %{customdata[4]:+.1f} to %{customdata[5]:+.1f}<extra></extra>"
            ),
        )
    )
    layout = chart_layout(theme, height=58 + GROUP_ROW * len(groups))
    layout["margin"] = {"l": 250, "r": 96, "t": 8, "b": 44}
    layout["xaxis"] |= {"fixedrange": True, "ticksuffix": "", "zeroline": False}
    layout["xaxis"]["title"] = {**layout["xaxis"]["title"], "text": "difference in points, with its 95 % interval"}
    layout["yaxis"] |= {
        "tickvals": rows, "ticktext": [f"{plain(name, limit=36)}" for name in groups["group"]],
        "range": [len(groups) - 0.4, -0.6], "fixedrange": True, "showgrid": False,
    }  # fmt: skip
    layout["yaxis"]["tickfont"] = {"size": 12, "color": theme.text}
    layout["annotations"] = [
        {
            "x": 1.0, "xref": "paper", "xanchor": "left", "xshift": 10, "y": int(place), "showarrow": False,
            "text": f"{100 * row.first:.0f} : {100 * row.second:.0f}", "font": {"size": 12, "color": theme.muted},
        }
        for place, row in zip(rows, groups.itertuples(), strict=True)
    ]  # fmt: skip
    figure.update_layout(layout)
    return figure


def _side_colour(delta: float, marked: bool, theme: Theme) -> str:
    first, second = side_colours(theme)
    return (first if delta > 0 else second) if marked else theme.muted


def _cell_words(share: float, count: float) -> str:
    if not np.isfinite(share):
        return ""
    return f"{100 * share:.0f} %<br>{count:,.0f}"
