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

ROW_HEIGHT = 26
"""Pixels of one label in the balance chart."""


def label_balance_figure(balance: pd.DataFrame, theme: Theme) -> go.Figure:
    """Share of each label among the selected, with a tick where it stands among all examples.

    :param balance: columns label, selected, everything: shares in [0, 1], in the suite's label order.
    """
    colours = label_colours(list(balance["label"]), theme)
    names = [plain(label, limit=18) for label in balance["label"]]
    figure = go.Figure(
        [
            go.Bar(
                y=names,
                x=balance["selected"],
                orientation="h",
                marker={"color": [colours[label] for label in balance["label"]], "line": {"width": 0}},
                width=0.46,
                hovertemplate="%{y}: %{x:.1%} of the selection<extra></extra>",
            ),
            go.Scatter(
                y=names,
                x=balance["everything"],
                mode="markers",
                marker={"symbol": "line-ns", "size": 15, "line": {"width": 2, "color": theme.text}},
                hovertemplate="%{y}: %{x:.1%} of all examples<extra></extra>",
            ),
        ]
    )
    layout = base_layout(theme, height=ROW_HEIGHT * len(balance) + 6)
    layout["margin"] = {"l": 8, "r": 46, "t": 2, "b": 2}
    layout["xaxis"] |= {"visible": False, "range": [0, 1], "fixedrange": True}
    layout["annotations"] = [
        {
            "text": f"{share:.0%}".replace("%", " %"),
            "x": 1,
            "xref": "paper",
            "xanchor": "right",
            "xshift": 44,
            "y": name,
            "showarrow": False,
            "font": {"color": theme.text, "size": 13},
        }
        for name, share in zip(names, balance["selected"], strict=True)
    ]
    layout["yaxis"] |= {
        "autorange": "reversed",
        "showgrid": False,
        "fixedrange": True,
        "automargin": True,
        "tickfont": {"color": theme.text, "size": 13},
        "ticks": "",
    }
    figure.update_layout(layout)
    return figure


def learning_curve_figure(curves: pd.DataFrame, theme: Theme) -> go.Figure:
    """Median gold probability by epoch, with the middle half of the examples as a band.

    :param curves: columns epoch (0-based) and gold_probability, one row an example and epoch.
    """
    grouped = curves.groupby("epoch")["gold_probability"]
    epochs = np.array(sorted(curves["epoch"].unique())) + 1
    low, median, high = (grouped.quantile(share).to_numpy() for share in (0.25, 0.5, 0.75))
    quiet = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
    figure = go.Figure(
        [
            go.Scatter(x=epochs, y=high, **quiet),
            go.Scatter(x=epochs, y=low, fill="tonexty", fillcolor=_faded(theme.accent, 0.18), **quiet),
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


def robustness_cost_figure(
    points: pd.DataFrame, theme: Theme, *, baseline: str | None = None, score_name: str = "accuracy"
) -> go.Figure:
    """Out-of-distribution score against cost, one point a method, with the Pareto front drawn.

    :param points: columns method, score (in [0, 1]), cost_share (of plain fine-tuning's), on_front (bool).
    """
    figure = go.Figure()
    front = points[points["on_front"]].sort_values("cost_share")
    figure.add_trace(
        go.Scatter(
            x=front["cost_share"],
            y=front["score"],
            mode="lines",
            line={"color": theme.accent, "width": 1.5, "shape": "hv"},
            hoverinfo="skip",
        )
    )
    for on_front in (False, True):
        some = points[points["on_front"] == on_front]
        figure.add_trace(
            go.Scatter(
                x=some["cost_share"],
                y=some["score"],
                mode="markers+text",
                text=[plain(method, limit=18) for method in some["method"]],
                textposition=_text_places(some, points),
                textfont={"size": 12, "color": theme.text if on_front else theme.muted},
                marker={
                    "size": 10,
                    "color": theme.accent if on_front else theme.background,
                    "symbol": ["diamond" if method == baseline else "circle" for method in some["method"]],
                    "line": {"width": 1.5, "color": theme.accent if on_front else theme.muted},
                },
                hovertemplate="%{text}: %{y:.1%} at %{x:.0%} of the cost<extra></extra>",
                cliponaxis=False,
            )
        )
    layout = base_layout(theme, height=340)
    layout["margin"] = {"l": 52, "r": 16, "t": 12, "b": 44}
    largest = float(points["cost_share"].max()) if len(points) else 1.0
    layout["xaxis"] |= {"tickformat": ".0%", "range": [0, largest * 1.12], "fixedrange": True}
    layout["xaxis"]["title"] = {**layout["xaxis"]["title"], "text": "cost, share of plain fine-tuning"}
    layout["yaxis"] |= {"tickformat": ".0%", "fixedrange": True, "nticks": 6}
    layout["yaxis"]["title"] = {**layout["yaxis"]["title"], "text": f"out of distribution, {plain(score_name).lower()}"}
    figure.update_layout(layout)
    return figure


def _text_places(some: pd.DataFrame, points: pd.DataFrame) -> Sequence[str]:
    """Names stand above their points, left of those near the right edge, and apart where two cost the same.

    Matched plain fine-tuning costs what FTFT does by its definition, so those two always stand above each other.
    """
    largest = float(points["cost_share"].max()) if len(points) else 1.0
    places = []
    for share, score in zip(some["cost_share"], some["score"], strict=True):
        level = points[(points["cost_share"] - share).abs() < 0.06 * largest]
        if share > 0.8 * largest:
            places.append("middle left")
        elif len(level) > 1:
            places.append("middle right" if score >= level["score"].max() else "middle left")
        else:
            places.append("top center")
    return places


def _faded(colour: str, opacity: float) -> str:
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
