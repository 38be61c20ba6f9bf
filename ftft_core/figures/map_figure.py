"""The data map as a Plotly figure of bounded size.

Owns axes, colours, region names and marginal histograms of the map; not which examples are selected (the page sends
that beside the figure, so that a new selection does not make a new figure) and no text of an example.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go

from ftft_core.figures.sampling import MAX_DRAWN_POINTS, Window, density, drawn_rows
from ftft_core.figures.themes import (
    MAX_LABEL_COLOURS,
    OTHER,
    Theme,
    base_layout,
    colour_scale,
    label_colours,
    plain,
    stepped_scale,
)

FIXED_RANGES = {
    "confidence": (0.0, 1.0),
    "correctness": (0.0, 1.0),
    "label_quality": (-1.0, 1.0),
}
"""Scores whose whole range is always shown, so that two maps can be compared by eye."""

LABEL_COLUMNS = ("label", "predicted_label")

NUM_BINS = 40
"""Bars of a marginal histogram."""

MAP_SHARE = 0.9
"""Share of the figure's width and height that the map takes; the marginal histograms have the rest."""

REGIONS = (("easy to learn", 0.02, 0.985, "left", "top"), ("hard to learn", 0.02, 0.015, "left", "bottom"))
"""Region names on variability against confidence: words, place as shares of the map, anchors."""


@dataclass(frozen=True)
class MapFigure:
    """A figure and which row of the data map each drawn point is."""

    figure: go.Figure
    rows: npt.NDArray[np.int64]
    """(drawn points,), ascending row numbers of the data map."""
    x_edges: npt.NDArray[np.float64]
    y_edges: npt.NDArray[np.float64]
    """(NUM_BINS + 1,), edges of the marginal histograms."""


def data_map_figure(
    data_map: pd.DataFrame,
    *,
    x: str = "variability",
    y: str = "confidence",
    colour: str = "correctness",
    theme: Theme,
    labels: Sequence[str] = (),
    window: Window | None = None,
) -> MapFigure:
    """Draw a data map.

    At most 30,000 points are drawn, over a density picture of all examples when there are more.

    :param data_map: one row an example, with the columns `x`, `y` and `colour`; row order is the points' order.
    :param colour: a score, `label` or `predicted_label`.
    :param labels: the suite's labels in order; the sorted labels of the map when left out.
    :param window: what is in view (lowest x, highest x, lowest y, highest y); the whole map when left out.
    """
    x_values, y_values = _numbers(data_map[x]), _numbers(data_map[y])
    x_range, y_range = axis_range(x, x_values), axis_range(y, y_values)
    rows = drawn_rows(x_values, y_values, window=window)
    figure = go.Figure()
    if len(data_map) > MAX_DRAWN_POINTS:
        figure.add_trace(_density_trace(x_values, y_values, window or (*x_range, *y_range), theme))
    marker, legend = _marker(data_map, rows, colour, labels, theme)
    figure.add_trace(
        go.Scattergl(
            x=x_values[rows].astype(np.float32),
            y=y_values[rows].astype(np.float32),
            customdata=rows.astype(np.int32),
            mode="markers",
            marker={**marker, "size": _point_size(rows.size), "opacity": 0.8, "line": {"width": 0}},
            selected={"marker": {"opacity": 0.95}},
            unselected={"marker": {"opacity": 0.1}},
            hovertemplate=f"{words(x)} %{{x:.3f}}<br>{words(y)} %{{y:.3f}}<extra></extra>",
            meta="points",
            showlegend=False,
        )
    )
    x_edges, y_edges = np.linspace(*x_range, NUM_BINS + 1), np.linspace(*y_range, NUM_BINS + 1)
    for part, fill in (("all", theme.fill), ("selected", theme.accent)):
        x_counts = np.histogram(x_values, x_edges)[0] if part == "all" else np.zeros(NUM_BINS, dtype=np.int64)
        y_counts = np.histogram(y_values, y_edges)[0] if part == "all" else np.zeros(NUM_BINS, dtype=np.int64)
        figure.add_traces(_marginals(x_edges, y_edges, x_counts, y_counts, fill, part))
    figure.add_traces(legend)
    figure.update_layout(_layout(x, y, x_range, y_range, theme, has_legend=bool(legend)))
    return MapFigure(figure=figure, rows=rows, x_edges=x_edges, y_edges=y_edges)


def axis_range(name: str, values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Range of an axis: fixed for scores with a natural one, else the data's, each with a little air."""
    known = values[np.isfinite(values)]
    low, high = FIXED_RANGES.get(name, (float(known.min()), float(known.max())) if known.size else (0.0, 1.0))
    if name == "variability":  # starts at 0 and ends at a round number, so that close maps look alike
        low, high = 0.0, max(0.1, float(np.ceil(high * 20) / 20))
    air = 0.025 * ((high - low) or 1.0)
    return low - air, high + air


def words(name: str) -> str:
    """Name of a column as words on an axis: `threshold_closeness` is "threshold closeness", `aum` is "AUM"."""
    return {"aum": "AUM", "el2n": "EL2N"}.get(name, name.replace("_", " "))


def _numbers(column: pd.Series) -> npt.NDArray[np.float64]:
    numbers: npt.NDArray[np.float64] = pd.to_numeric(column).to_numpy(dtype=np.float64, na_value=np.nan)
    return numbers


def _point_size(num_points: int) -> float:
    return 7.0 if num_points <= 1_500 else 5.0 if num_points <= 8_000 else 4.0 if num_points <= 15_000 else 3.0


def _density_trace(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], window: Window, theme: Theme) -> go.Heatmap:
    picture = density(x, y, window)
    shown = np.where(picture.counts > 0, np.log1p(picture.counts), np.nan).astype(np.float32)
    return go.Heatmap(
        x=picture.x_edges.astype(np.float32),
        y=picture.y_edges.astype(np.float32),
        z=shown,
        colorscale=colour_scale(theme.density),
        showscale=False,
        hoverinfo="skip",
        meta="density",
    )


def _marker(
    data_map: pd.DataFrame, rows: npt.NDArray[np.int64], colour: str, labels: Sequence[str], theme: Theme
) -> tuple[dict[str, Any], list[go.Scattergl]]:
    """Colours of the drawn points (fixed range, whatever is in view) and the legend's entries, if it has any."""
    if colour in LABEL_COLUMNS:
        return _label_marker(data_map[colour].iloc[rows], labels or sorted(set(data_map[colour])), theme)
    everything = _numbers(data_map[colour])
    known = everything[np.isfinite(everything)]
    low, high = FIXED_RANGES.get(colour) or (
        (float(np.percentile(known, 1)), float(np.percentile(known, 99))) if known.size else (0.0, 1.0)
    )
    scale = theme.correctness if colour in ("correctness", "label_quality") else theme.scores
    bar = {
        "orientation": "h",
        "x": MAP_SHARE - 0.015,
        "xanchor": "right",
        "y": MAP_SHARE - 0.01,
        "yanchor": "top",
        "len": 0.26,
        "thickness": 7,
        "outlinewidth": 0,
        "ticks": "",
        "nticks": 4,
        "tickfont": {"color": theme.muted, "size": 11},
        "title": {"text": words(colour), "side": "top", "font": {"color": theme.muted, "size": 12}},
    }
    marker = {
        "color": everything[rows].astype(np.float32),
        "cmin": low,
        "cmax": high if high > low else low + 1.0,
        "colorscale": colour_scale(scale),
        "colorbar": bar,
    }
    return marker, []


def _label_marker(drawn: pd.Series, labels: Sequence[str], theme: Theme) -> tuple[dict[str, Any], list[go.Scattergl]]:
    colours = label_colours(labels, theme)
    named = list(labels[:MAX_LABEL_COLOURS])
    steps = [*(colours[label] for label in named), theme.other]
    number = {label: index for index, label in enumerate(named)}
    classes = drawn.map(lambda label: number.get(label, len(named))).to_numpy(dtype=np.float32)
    marker = {
        "color": classes,
        "cmin": -0.5,
        "cmax": len(steps) - 0.5,
        "colorscale": stepped_scale(steps),
        "showscale": False,
    }
    entries = [*named, OTHER] if len(labels) > len(named) else named
    legend = [
        go.Scatter(
            x=[None],
            y=[None],
            mode="markers",
            marker={"color": colours.get(label, theme.other), "size": 9},
            name=plain(label, limit=24),
            meta=f"legend:{label}",
            hoverinfo="skip",
        )
        for label in entries
    ]
    return marker, legend


def _marginals(
    x_edges: npt.NDArray[np.float64],
    y_edges: npt.NDArray[np.float64],
    x_counts: npt.NDArray[np.int64],
    y_counts: npt.NDArray[np.int64],
    colour: str,
    part: str,
) -> list[go.Bar]:
    common = {"marker": {"color": colour, "line": {"width": 0}}, "hoverinfo": "skip", "showlegend": False}
    return [
        go.Bar(
            x=(x_edges[:-1] + x_edges[1:]) / 2,
            y=x_counts,
            width=np.diff(x_edges) * 0.9,
            xaxis="x3",
            yaxis="y2",
            meta=f"x:{part}",
            **common,
        ),
        go.Bar(
            x=y_counts,
            y=(y_edges[:-1] + y_edges[1:]) / 2,
            width=np.diff(y_edges) * 0.9,
            xaxis="x2",
            yaxis="y3",
            orientation="h",
            meta=f"y:{part}",
            **common,
        ),
    ]


def _layout(
    x: str, y: str, x_range: tuple[float, float], y_range: tuple[float, float], theme: Theme, *, has_legend: bool
) -> dict[str, Any]:
    layout = base_layout(theme)
    hidden = {"visible": False, "fixedrange": True, "domain": [MAP_SHARE + 0.012, 1.0]}
    frame = {"showline": True, "mirror": True, "linecolor": theme.grid, "domain": [0.0, MAP_SHARE]}
    layout["xaxis"] |= {**frame, "range": list(x_range)}
    layout["xaxis"]["title"] = {**layout["xaxis"]["title"], "text": words(x)}
    layout["yaxis"] |= {**frame, "range": list(y_range)}
    layout["yaxis"]["title"] = {**layout["yaxis"]["title"], "text": words(y)}
    layout |= {
        "xaxis2": {**hidden, "anchor": "y3"},
        "yaxis2": {**hidden, "anchor": "x3"},
        "xaxis3": {"visible": False, "matches": "x", "anchor": "y2", "domain": [0.0, MAP_SHARE]},
        "yaxis3": {"visible": False, "matches": "y", "anchor": "x2", "domain": [0.0, MAP_SHARE]},
        "barmode": "overlay",
        "hovermode": "closest",
        "dragmode": "lasso",
        "newselection": {"line": {"color": theme.accent, "width": 1.5, "dash": "solid"}},
        "activeselection": {"fillcolor": theme.accent, "opacity": 0.04},
        "showlegend": has_legend,
        "legend": {
            "x": MAP_SHARE - 0.012,
            "xanchor": "right",
            "y": MAP_SHARE - 0.012,
            "yanchor": "top",
            "font": {"size": 12, "color": theme.text},
            "bgcolor": "rgba(0,0,0,0)",
            "itemsizing": "constant",
            "itemdoubleclick": False,
        },
        "annotations": _region_names(x, y, theme),
        "uirevision": f"{x}/{y}",
    }
    return layout


def _region_names(x: str, y: str, theme: Theme) -> list[dict[str, Any]]:
    """Faint words in the map; only where the axes are the ones that the regions are defined on."""
    if (x, y) != ("variability", "confidence"):
        return []
    places = [*REGIONS, ("ambiguous", 0.985, 0.5, "right", "middle")]
    return [
        {
            "text": name,
            "x": across * MAP_SHARE,
            "y": up * MAP_SHARE,
            "xref": "paper",
            "yref": "paper",
            "xanchor": x_anchor,
            "yanchor": y_anchor,
            "showarrow": False,
            "font": {"size": 14, "color": theme.muted, "shadow": ", ".join([f"0 0 3px {theme.background}"] * 4)},
            "opacity": 0.85,
        }
        for name, across, up, x_anchor, y_anchor in places
    ]
