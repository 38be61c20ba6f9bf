"""The matrix of agreement between maps, and averages of maps against their cost.

Owns how agreement is coloured: from chance to the ceiling, both named on the scale; not where the numbers come from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from ftft_core.figures.themes import Theme, base_layout, colour_scale, plain

ROW_HEIGHT = 34
NAME_CHARACTERS = 30
ROOMY_MATRIX = 10
"""Rows up to which the cells of a matrix hold words."""

TITLES = {"overlap": "overlap of the sets (Jaccard)", "correlation": "rank correlation (Spearman)"}

KINDS = {
    "run": ("circle", "one run"),
    "seeds": ("square", "seeds"),
    "references": ("triangle-up", "two references"),
    "epochs": ("cross", "epochs"),
    "main": ("diamond", "main model"),
}
"""Kind of an average -> its mark, and what it is called."""


def agreement_figure(
    grid: pd.DataFrame,
    names: Sequence[str],
    what: str,
    theme: Theme,
    *,
    chance: float,
    ceiling: float | None,
    main: Sequence[str] = (),
    sizes: Mapping[str, int] | None = None,
    with_names: bool = True,
) -> go.Figure:
    """Symmetric matrix of groups or runs; columns are numbered as the rows are.

    :param grid: group_a, group_b, each pair once, with num_pairs, same_seed and the column `what`; see
        `comparison.grid`.
    :param names: the order of rows and columns.
    :param what: `overlap` or `correlation`.
    :param chance: low end of the colours.
    :param ceiling: high end, what two seeds of the main model reach; the largest value where it is not known.
    :param main: those that are the main model, framed.
    :param sizes: runs behind a name, where it is a group.
    """
    places = {name: index for index, name in enumerate(names)}
    values = np.full((len(names), len(names)), np.nan)
    hover = np.full(values.shape, "", dtype=object)
    same_seed = np.zeros(values.shape, dtype=bool)
    for row in grid.to_dict("records"):
        for a, b in ((row["group_a"], row["group_b"]), (row["group_b"], row["group_a"])):
            values[places[a], places[b]] = row[what]
            same_seed[places[a], places[b]] = row["same_seed"]
            hover[places[a], places[b]] = _hover(row, a, b, what)
    known = values[np.isfinite(values)]
    high = ceiling if ceiling is not None and ceiling > chance else float(known.max(initial=chance + 0.01))
    high = max(high, chance + 0.01)
    numbers = [str(index + 1) for index in range(len(names))]
    figure = go.Figure(
        go.Heatmap(
            z=values,
            zmin=chance,
            zmax=high,
            colorscale=colour_scale(theme.scores),
            customdata=hover,
            hovertemplate="%{customdata}<extra></extra>",
            hoverongaps=False,
            xgap=2,
            ygap=2,
            colorbar={
                "orientation": "h",
                "thickness": 8,
                "x": 0.5,
                "y": 0,
                "yanchor": "top",
                "len": 1,
                "xpad": 0,
                "ypad": 8,
                "outlinewidth": 0,
                "showticklabels": False,
            },
        )
    )
    is_small = len(names) > ROOMY_MATRIX
    cells = []
    for i, j in np.ndindex(*values.shape):
        if np.isfinite(values[i, j]):
            share = (values[i, j] - chance) / (high - chance)
            words, colour = f"{values[i, j]:.2f}{'*' * bool(same_seed[i, j])}", _on(theme, float(share))
        else:
            words, colour = ("one run" if i == j and not is_small else "–"), theme.muted
        cells.append({"x": j, "y": i, "text": words.replace("-0.00", "0.00").replace("-", "−"), "showarrow": False,
                     "font": {"size": 10 if is_small else 12, "color": colour}})  # fmt: skip
    figure.layout.annotations = cells  # At once: Plotly looks at all that are there for each that is added.
    framed = [places[name] for name in main if name in places]
    if framed:
        first, last = min(framed) - 0.5, max(framed) + 0.5
        figure.add_shape(type="rect", x0=first, x1=last, y0=first, y1=last,
                         line={"color": theme.accent, "width": 2})  # fmt: skip
    for end, said in ((0, f"chance {chance:.2f}"), (1, _end_words(high, ceiling, known))):
        side = "right" if end else "left"
        figure.add_annotation(
            {"x": end, "y": 0, "xref": "paper", "yref": "paper", "xanchor": side, "yanchor": "top", "yshift": -20},
            text=said,
            showarrow=False,
            font={"color": theme.muted, "size": 12},
        )
    figure.update_layout(_matrix_layout(names, numbers, what, theme, sizes, with_names))
    return figure


def averages_figure(averages: pd.DataFrame, theme: Theme, *, chance: float, ceiling: float | None) -> go.Figure:
    """Overlap of averaged maps with the main model's, against what their runs cost.

    Hollow marks are those of the main model itself, and of averages that share a seed with what they are held against.

    :param averages: average, kind, overlap, cost_share, num_runs, same_seed; see `comparison.compare_averages`.
    """
    shown = averages.dropna(subset=["cost_share"])
    figure = go.Figure()
    for kind, (symbol, words) in KINDS.items():
        some = shown[shown["kind"] == kind]
        if some.empty:
            continue
        is_main = kind == "main"
        figure.add_trace(
            go.Scatter(
                x=some["cost_share"],
                y=some["overlap"],
                mode="markers",
                name=words,
                marker={
                    "symbol": symbol,
                    "size": 10,
                    "color": [theme.background if is_main or same else theme.accent for same in some["same_seed"]],
                    "line": {"width": 1.5, "color": theme.muted if is_main else theme.accent},
                },
                customdata=[plain(name, limit=80) for name in some["average"]],
                hovertemplate="%{customdata}: overlap %{y:.2f} at %{x:.0%} of a main run<extra></extra>",
                cliponaxis=False,
            )
        )
    for value, words in ((chance, "chance"), (ceiling, "two seeds of the main model")):
        if value is not None:
            figure.add_hline(y=value, line={"color": theme.muted, "width": 1, "dash": "dot"}, annotation_text=words,
                             annotation_position="top right",
                             annotation_font={"color": theme.muted, "size": 12})  # fmt: skip
    layout = base_layout(theme, height=300)
    layout["margin"] = {"l": 52, "r": 16, "t": 52, "b": 44}
    layout["showlegend"] = True
    layout["legend"] = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "itemclick": False,
                        "itemdoubleclick": False, "font": {"size": 12, "color": theme.muted}}  # fmt: skip
    largest = float(shown["cost_share"].max()) if len(shown) else 1.0
    layout["xaxis"] |= {"tickformat": ".0%", "range": [0, largest * 1.08], "fixedrange": True}
    layout["xaxis"]["title"] = {**layout["xaxis"]["title"], "text": "cost, share of a main run"}
    layout["yaxis"] |= {"fixedrange": True, "nticks": 6, "tickformat": ".2f"}
    layout["yaxis"]["title"] = {**layout["yaxis"]["title"], "text": "overlap"}
    figure.update_layout(layout)
    return figure


def _hover(row: Mapping[str, Any], a: str, b: str, what: str) -> str:
    pair = plain(a, limit=60) if a == b else f"{plain(a, limit=60)}<br>{plain(b, limit=60)}"
    if not row["num_pairs"]:
        return f"{pair}<br>one run: nothing to compare"
    of = "same seed, same order of examples" if row["same_seed"] else "different seeds"
    return f"{pair}<br>{TITLES[what]} {row[what]:.3f}<br>{row['num_pairs']} pair{'s' * (row['num_pairs'] != 1)}, {of}"


def _end_words(high: float, ceiling: float | None, known: np.ndarray[Any, Any]) -> str:
    """Say what the high end of the colours is."""
    if ceiling is None:
        return f"{high:.2f}, no ceiling known"
    more = "≥ " * bool(known.max(initial=high) > high + 0.005)
    return f"{more}ceiling {high:.2f}" if ceiling == high else f"ceiling {ceiling:.2f}, no more than chance"


def _matrix_layout(
    names: Sequence[str],
    numbers: Sequence[str],
    what: str,
    theme: Theme,
    sizes: Mapping[str, int] | None,
    with_names: bool,
) -> dict[str, Any]:
    counts = {name: f" ×{sizes[name]}" if sizes and sizes[name] > 1 else "" for name in names}
    rows = [
        f"{plain(_shortened(name))}{counts[name]}  <b>{number}</b>" if with_names else f"<b>{number}</b>"
        for name, number in zip(names, numbers, strict=True)
    ]
    row_height = ROW_HEIGHT if len(names) <= 10 else 26
    layout = base_layout(theme, height=84 + row_height * max(len(names), 3))
    longest = max(len(_shortened(name)) + len(counts[name]) for name in names)
    layout["margin"] = {"l": 34 + 6.4 * longest if with_names else 28, "r": 8, "t": 48, "b": 36}
    quiet = {"showgrid": False, "fixedrange": True, "ticks": "", "showline": False}
    quiet["tickvals"] = list(range(len(names)))
    layout["xaxis"] |= {
        **quiet,
        "side": "top",
        "range": [-0.5, len(names) - 0.5],
        "ticktext": [f"<b>{each}</b>" for each in numbers],
    }
    layout["yaxis"] |= {**quiet, "range": [len(names) - 0.5, -0.5], "ticktext": rows}
    layout["title"] = {
        "text": TITLES[what], "x": 0, "xref": "container", "y": 0.985, "yanchor": "top",
        "font": {"size": 13, "color": theme.text},
    }  # fmt: skip
    return layout


def _shortened(name: str) -> str:
    """Leave out the middle of a long name: what tells two models or runs apart mostly stands at its end."""
    if len(name) <= NAME_CHARACTERS:
        return name
    end = NAME_CHARACTERS * 3 // 5
    return f"{name[: NAME_CHARACTERS - end - 1]}…{name[-end:]}"


def _on(theme: Theme, share: float) -> str:
    """Colour of a number on the colour scale: dark on light, light on dark."""
    place = min(max(share, 0.0), 1.0) * (len(theme.scores) - 1)
    low, high = theme.scores[int(place)], theme.scores[min(int(place) + 1, len(theme.scores) - 1)]
    mixed = [
        (1 - place % 1) * int(low[start : start + 2], 16) + (place % 1) * int(high[start : start + 2], 16)
        for start in (1, 3, 5)
    ]
    linear = [(each / 255 / 12.92) if each <= 10 else ((each / 255 + 0.055) / 1.055) ** 2.4 for each in mixed]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#111418" if luminance > 0.18 else "#ffffff"
