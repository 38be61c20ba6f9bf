"""How a run went, drawn: a sparkline for a line of the queue, and curves by step for the run's own view.

Owns scales and colours: in distribution and out of distribution have each their one colour, dev that of the text.
An axis of steps ends where the run's budget ends, so that a growing curve moves nothing else.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from ftft_core.figures.themes import Theme, base_layout, plain

SPARK_WIDTH, SPARK_HEIGHT = 92, 26
"""Pixels of a sparkline."""

MAX_SPARK_POINTS = 36
CURVE_HEIGHT = 216
SMOOTHING = 16
"""The running mean of the loss takes this part of the points."""

DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
"""Tell apart the splits that share a colour."""

LINE_GAP = 0.085
"""Least distance between two names beside a chart, as a share of its height."""

CURVES_SHOWN = 7
"""Most lines of scores in one chart: those of dev and of the suite's first test splits."""


def sparkline(values: Sequence[float], theme: Theme, *, share: float = 1.0) -> str:
    """Return a line without axes as the address of a picture; an empty string for fewer than two values.

    :param values: from first to last, evenly spaced.
    :param share: of the width that the line takes, as far as a run has come; in (0, 1].
    """
    known = np.asarray([value for value in values if math.isfinite(value)], dtype=float)
    if len(known) < 2:
        return ""
    if len(known) > MAX_SPARK_POINTS:
        known = np.array([part.mean() for part in np.array_split(known, MAX_SPARK_POINTS)])
    low, high = float(known.min()), float(known.max())
    across = np.linspace(2, 2 + (SPARK_WIDTH - 5) * min(1.0, max(share, 0.05)), len(known))
    up = 3 + (SPARK_HEIGHT - 6) * (1 - (known - low) / ((high - low) or 1.0))
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, up, strict=True))
    picture = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{SPARK_WIDTH}" height="{SPARK_HEIGHT}">'
        f'<polyline points="{points}" fill="none" stroke="{theme.accent}" stroke-width="1.4" '
        f'stroke-linejoin="round"/><circle cx="{across[-1]:.1f}" cy="{up[-1]:.1f}" r="2" fill="{theme.accent}"/></svg>'
    )
    return "data:image/svg+xml;base64," + base64.b64encode(picture.encode()).decode()


def training_loss_figure(curves: pd.DataFrame, theme: Theme, *, num_steps: int | None) -> go.Figure:
    """Training loss by optimizer step, faint, and its running mean.

    :param curves: as `Workspace.curves`; its rows of what "loss" and role "train" are drawn.
    :param num_steps: the run's budget, where the axis ends.
    """
    losses = curves[(curves["what"] == "loss") & (curves["role"] == "train")]
    smooth = losses["value"].rolling(max(1, len(losses) // SMOOTHING), min_periods=1, center=True).mean()
    figure = go.Figure(
        [
            go.Scatter(
                x=losses["step"],
                y=losses["value"],
                mode="lines" if len(losses) > 1 else "markers",
                line={"color": theme.fill, "width": 1},
                marker={"color": theme.accent, "size": 5},
                hovertemplate="step %{x:,}: loss %{y:.3f}<extra></extra>",
            ),
            go.Scatter(
                x=losses["step"],
                y=smooth,
                mode="lines",
                line={"color": theme.accent, "width": 2},
                hoverinfo="skip",
            ),
        ]
    )
    top = float(losses["value"].max()) if len(losses) else 1.0
    layout = _layout(theme, num_steps or _last_step(curves))
    layout["yaxis"] |= {"range": [0, _round_up(top * 1.04)], "nticks": 5}
    figure.update_layout(layout)
    return figure


def scores_by_step_figure(curves: pd.DataFrame, theme: Theme, *, metric: str, num_steps: int | None) -> go.Figure:
    """Score by optimizer step of dev, and of the test splits where snapshots were taken; names at the lines' ends.

    :param curves: as `Workspace.curves`; rows of other metrics are left out.
    :param metric: such as accuracy; in [0, 1].
    """
    scores = curves[(curves["what"] == metric) & (curves["role"] != "train")]
    figure, ends = go.Figure(), []
    for split, role, dash in _lines(scores):
        some = scores[scores["split"] == split].sort_values("step")
        colour = _colour(role, theme)
        figure.add_trace(
            go.Scatter(
                x=some["step"],
                y=some["value"],
                mode="lines+markers",
                line={"color": colour, "width": 2.25 if role == "dev" else 1.75, "dash": dash},
                marker={"size": 5, "color": colour},
                hovertemplate=f"{plain(split, limit=40)}, step %{{x:,}}: %{{y:.1%}}<extra></extra>",
            )
        )
        ends.append((float(some["value"].iloc[-1]), plain(split, limit=13), colour))
    low, high = (float(scores["value"].min()), float(scores["value"].max())) if len(scores) else (0.0, 1.0)
    low, high = max(0.0, math.floor(low * 20 - 0.2) / 20), min(1.0, math.ceil(high * 20 + 0.2) / 20)
    layout = _layout(theme, num_steps or _last_step(curves))
    layout["margin"]["r"] = 88
    layout["yaxis"] |= {"range": [low - 0.01, high + 0.01], "tickformat": ".0%", "nticks": 5}
    layout["annotations"] = _names(ends, low, high)
    figure.update_layout(layout)
    return figure


def _lines(scores: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Split, role and dash of the lines that are drawn: dev, then in distribution, then out of distribution."""
    lines, order = [], {"dev": 0, "in_distribution": 1, "out_of_distribution": 2}
    listed = scores.drop_duplicates("split")[["split", "role"]]
    counts: dict[str, int] = {}
    ranked = sorted(zip(listed["split"], listed["role"], strict=True), key=lambda pair: order.get(pair[1], 3))
    for split, role in ranked[:CURVES_SHOWN]:
        number = counts.get(role, 0)
        counts[role] = number + 1
        lines.append((str(split), str(role), DASHES[number % len(DASHES)]))
    return lines


def _colour(role: str, theme: Theme) -> str:
    known = {"in_distribution": theme.in_distribution, "out_of_distribution": theme.out_of_distribution}
    return known.get(role, theme.text)


def _names(ends: Sequence[tuple[float, str, str]], low: float, high: float) -> list[dict[str, object]]:
    """Names right of the chart, each at its line's end, moved apart where they would touch."""
    span = (high - low) or 1.0
    ranked = sorted(ends, key=lambda end: end[0])
    places: list[float] = []
    for value, _, _ in ranked:
        wanted = (value - low) / span
        places.append(wanted if not places else max(wanted, places[-1] + LINE_GAP))
    excess = max(0.0, places[-1] - 1.0) if places else 0.0
    for index in range(len(places) - 1, -1, -1):
        limit = 1.0 if index == len(places) - 1 else places[index + 1] - LINE_GAP
        places[index] = min(places[index], limit) if excess else places[index]
    return [
        {
            "x": 1.015, "xref": "paper", "xanchor": "left", "y": place, "yref": "paper", "yanchor": "middle",
            "text": name, "showarrow": False, "font": {"color": colour, "size": 12},
        }
        for place, (_, name, colour) in zip(places, ranked, strict=True)
    ]  # fmt: skip


def _layout(theme: Theme, last_step: int) -> dict[str, Any]:
    layout = base_layout(theme, height=CURVE_HEIGHT)
    layout["margin"] = {"l": 40, "r": 10, "t": 6, "b": 36}
    layout["xaxis"] |= {"range": [0, max(1, last_step) * 1.01], "fixedrange": True, "nticks": 5, "showgrid": False}
    layout["xaxis"]["title"] = {**layout["xaxis"]["title"], "text": "optimizer step", "standoff": 4}
    layout["yaxis"] |= {"fixedrange": True}
    layout["uirevision"] = "same"
    return layout


def _last_step(curves: pd.DataFrame) -> int:
    return int(curves["step"].max()) if len(curves) else 1


def _round_up(value: float) -> float:
    """The next of 1, 1.5, 2, 3, 4, 5, 6, 8 times a power of ten, so that the axis seldom changes."""
    if not math.isfinite(value) or value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if step * power >= value * 0.999)
