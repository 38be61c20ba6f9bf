"""The small charts beside the map, in the queue and beside the comparison.

Owns how a few numbers become a quiet figure; not where the numbers come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from ftft_core.figures.themes import Theme, base_layout, label_colours, plain

MAX_LINES = 6
"""Most labels whose probability is drawn by epoch."""

LONGEST_LINE_NAME = 24
LEGEND_CHARACTERS = 58
"""That stand beside one another over a chart of the panel's width."""

NUM_SLIDER_BARS = 48


def quartile_figure(curves: pd.DataFrame, theme: Theme) -> go.Figure:
    """Median gold probability by epoch, with the middle half of the examples as a band.

    :param curves: columns epoch (0-based), lower, median and upper, one row an epoch.
    """
    epochs = curves["epoch"].to_numpy() + 1
    low, median, high = (curves[name].to_numpy() for name in ("lower", "median", "upper"))
    quiet = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
    figure = go.Figure(
        [
            go.Scatter(x=epochs, y=high, **quiet),
            go.Scatter(x=epochs, y=low, fill="tonexty", fillcolor=faded(theme.accent, 0.18), **quiet),
            go.Scatter(
                x=epochs,
                y=median,
                mode="lines+markers",
                line={"color": theme.accent, "width": 2},
                marker={"size": 5},
                hovertemplate="epoch %{x}: median %{y:.2f}<extra></extra>",
            ),
        ]
    )
    layout = base_layout(theme, height=112)
    layout["margin"] = {"l": 30, "r": 6, "t": 6, "b": 20}
    layout["xaxis"] |= {"dtick": max(1, len(epochs) // 6), "fixedrange": True, "showgrid": False}
    layout["yaxis"] |= {"range": [-0.02, 1.02], "tickvals": [0, 0.5, 1], "fixedrange": True}
    figure.update_layout(layout)
    return figure


def class_probability_figure(probabilities: pd.DataFrame, labels: Sequence[str], gold: str, theme: Theme) -> go.Figure:
    """Probability of each label by epoch, for one example; the gold label's line is thick.

    Of many labels those that were likeliest at some epoch are drawn, and the gold one.

    :param probabilities: columns epoch (0-based), label, probability.
    """
    colours = label_colours(labels, theme)
    peaks = probabilities.groupby("label", observed=True)["probability"].max().sort_values(ascending=False)
    shown = list(dict.fromkeys([gold, *peaks.index[:MAX_LINES]]))[:MAX_LINES]
    figure = go.Figure()
    for label in sorted(shown, key=lambda name: name == gold):
        some = probabilities[probabilities["label"] == label]
        figure.add_trace(
            go.Scatter(
                x=some["epoch"] + 1,
                y=some["probability"],
                mode="lines+markers",
                name=plain(label, limit=LONGEST_LINE_NAME),
                line={"color": colours[label], "width": 3 if label == gold else 1.25},
                marker={"size": 6 if label == gold else 4},
                hovertemplate=f"{plain(label, limit=40)}, epoch %{{x}}: %{{y:.3f}}<extra></extra>",
            )
        )
    rows = -(-sum(len(plain(label, limit=LONGEST_LINE_NAME)) + 6 for label in shown) // LEGEND_CHARACTERS)
    layout = base_layout(theme, height=118 + 17 * rows)
    layout["margin"] = {"l": 30, "r": 6, "t": 6 + 17 * rows, "b": 20}
    num_epochs = probabilities["epoch"].nunique()
    layout["xaxis"] |= {"dtick": max(1, num_epochs // 6), "fixedrange": True, "showgrid": False}
    layout["yaxis"] |= {"range": [-0.03, 1.03], "tickvals": [0, 0.5, 1], "fixedrange": True}
    layout["showlegend"] = True
    layout["legend"] = {"font": {"size": 11, "color": theme.muted}, "orientation": "h", "x": 0, "xanchor": "left",
                        "y": 1.02, "yanchor": "bottom", "itemclick": False, "itemdoubleclick": False}  # fmt: skip
    figure.update_layout(layout)
    return figure


def slider_histogram_figure(
    column: pd.Series, bounds: tuple[float, float], chosen: tuple[float, float], theme: Theme
) -> go.Figure:
    """Histogram of a score over the ends of a slider, the bars between its two handles in accent."""
    known = pd.to_numeric(column).to_numpy(dtype=np.float64, na_value=np.nan)
    counts, edges = np.histogram(known[np.isfinite(known)], bins=NUM_SLIDER_BARS, range=bounds)
    middles = (edges[:-1] + edges[1:]) / 2
    inside = (middles >= chosen[0]) & (middles <= chosen[1])
    figure = go.Figure(
        go.Bar(
            x=middles,
            y=counts,
            marker={"color": np.where(inside, theme.accent, theme.fill), "line": {"width": 0}},
            width=float(edges[1] - edges[0]) * 0.9,
            hoverinfo="skip",
        )
    )
    layout = base_layout(theme, height=56)
    layout["margin"] = {"l": 8, "r": 8, "t": 2, "b": 0}
    layout["xaxis"] |= {"visible": False, "range": list(bounds), "fixedrange": True}
    layout["yaxis"] |= {"visible": False, "fixedrange": True}
    figure.update_layout(layout)
    return figure


def loss_figure(history: pd.DataFrame, theme: Theme, *, height: int = 64) -> go.Figure:
    """Training loss by step as a line without axes, and the dev accuracy's points where it was measured.

    :param history: columns step, loss and (may be null) dev_accuracy.
    """
    losses = history.dropna(subset=["loss"])
    figure = go.Figure(
        go.Scatter(
            x=losses["step"],
            y=losses["loss"],
            mode="lines",
            line={"color": theme.accent, "width": 1.5},
            hovertemplate="step %{x}: loss %{y:.3f}<extra></extra>",
        )
    )
    measured = history.dropna(subset=["dev_accuracy"]) if "dev_accuracy" in history else history.iloc[:0]
    if len(measured):
        figure.add_trace(
            go.Scatter(
                x=measured["step"],
                y=measured["dev_accuracy"],
                yaxis="y2",
                mode="lines+markers",
                line={"color": theme.muted, "width": 1, "dash": "dot"},
                marker={"color": theme.muted, "size": 5},
                hovertemplate="step %{x}: dev accuracy %{y:.3f}<extra></extra>",
            )
        )
    layout = base_layout(theme, height=height)
    layout["margin"] = {"l": 2, "r": 2, "t": 4, "b": 4}
    for axis in ("xaxis", "yaxis"):
        layout[axis] |= {"visible": False, "fixedrange": True}
    layout["yaxis2"] = {"visible": False, "fixedrange": True, "overlaying": "y", "side": "right"}
    figure.update_layout(layout)
    return figure


def faded(colour: str, opacity: float) -> str:
    """Return a colour `#rrggbb` that lets what is behind it through; opacity in [0, 1]."""
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


def empty_figure(words: str, theme: Theme, *, height: int = 120) -> go.Figure:
    """Return a figure that only says why it shows nothing."""
    layout: dict[str, Any] = base_layout(theme, height=height)
    layout |= {
        "xaxis": {"visible": False},
        "yaxis": {"visible": False},
        "annotations": [
            {"text": plain(words, limit=200), "showarrow": False, "font": {"color": theme.muted, "size": 13}}
        ],
    }
    return go.Figure(layout=layout)
