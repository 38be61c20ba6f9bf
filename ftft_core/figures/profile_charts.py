"""The small charts of what sets a selection apart: shares, words, lengths, scores.

Owns how the tables of `profile` become quiet figures; not how they are worked out. Rows stand at numbers, not at
names: two names that look alike once they are cut stay two rows. Colours: the accent is the selection, grey the rest.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from ftft_core.figures.themes import Theme, base_layout, label_colours, plain
from ftft_core.profile import LEAST_Z, score_words

ROW_HEIGHT = 24
"""Pixels of one row."""

_NAME_LIMIT = 22
_NAME_WIDTH = 132


def shares_figure(shares: pd.DataFrame, theme: Theme, *, limit: int = 8, in_colours: bool = True) -> go.Figure:
    """Share of each label or group in the selection, with a tick where it stands in the rest.

    :param shares: as `profile.shares` gives them.
    :param limit: of more values those of the largest shares are drawn, and the others added up in a last row.
    :param in_colours: each value in its colour of the map (labels), or all in the accent (groups).
    """
    rows = _largest(shares, limit)
    colours = label_colours(list(shares["value"]), theme)
    places = np.arange(len(rows))
    figure = go.Figure(
        [
            go.Bar(
                y=places,
                x=rows["share_selected"],
                orientation="h",
                width=0.46,
                marker={
                    "color": [
                        colours.get(value, theme.other) if in_colours else theme.accent for value in rows["value"]
                    ],
                    "line": {"width": 0},
                },
                customdata=_hover(rows, ["value", "num_selected"]),
                hovertemplate="%{customdata[0]}: %{x:.1%} of the selection (%{customdata[1]})<extra></extra>",
            ),
            go.Scatter(
                y=places,
                x=rows["share_rest"],
                mode="markers",
                marker={"symbol": "line-ns", "size": 14, "line": {"width": 2, "color": theme.text}},
                customdata=_hover(rows, ["value", "num_rest"]),
                hovertemplate="%{customdata[0]}: %{x:.1%} of the rest (%{customdata[1]})<extra></extra>",
            ),
        ]
    )
    layout = _rows_layout(theme, list(rows["value"]), right=44)
    layout["xaxis"] |= {"visible": False, "range": [0, max(1e-9, _top(rows[["share_selected", "share_rest"]]))]}
    layout["annotations"] = [
        _at_right(theme, int(place), "–" if np.isnan(share) else f"{share:.0%}".replace("%", " %"))
        for place, share in zip(places, rows["share_selected"], strict=True)
    ]
    figure.update_layout(layout)
    return figure


def words_figure(words: pd.DataFrame, theme: Theme, *, limit: int = 8) -> go.Figure:
    """Distinctive words as bars: to the right those of the selection, to the left those that it lacks.

    :param words: as `profile.distinctive_words` gives them, by falling z.
    :param limit: at most this many in each direction. Those that chance may have made are faint.
    """
    rows = pd.concat([words[words["z"] > 0].head(limit), words[words["z"] < 0].tail(limit)])
    figure = go.Figure(
        go.Bar(
            y=np.arange(len(rows)),
            x=rows["z"],
            orientation="h",
            width=0.62,
            marker={
                "color": [theme.accent if z > 0 else theme.other for z in rows["z"]],
                "opacity": np.where(rows["z"].abs() < LEAST_Z, 0.4, 1.0),
                "line": {"width": 0},
            },
            customdata=np.column_stack(
                [_hover(rows, ["word", "num_selected", "num_rest"]), rows[["share_selected", "share_rest"]]]
            )
            if len(rows)
            else None,
            hovertemplate="%{customdata[0]}: in %{customdata[3]:.1%} of the selection (%{customdata[1]}), "
            "%{customdata[4]:.1%} of the rest (%{customdata[2]}), z %{x:.1f}<extra></extra>",
        )
    )
    layout = _rows_layout(theme, list(rows["word"]), right=8)
    layout["xaxis"] |= {"visible": False, "zeroline": True, "zerolinecolor": theme.grid}
    figure.update_layout(layout)
    return figure


def scores_figure(scores: pd.DataFrame, theme: Theme, *, limit: int = 6) -> go.Figure:
    """How probable it is that a selected example has the higher score: the further from the middle, the more apart.

    :param scores: as `profile.contrast` gives them, most different first.
    """
    rows = scores[scores["probability_higher"].notna()].head(limit)
    places = np.arange(len(rows))
    higher = rows["probability_higher"].to_numpy(dtype=np.float64)
    medians = rows[["median_selected", "median_rest"]].to_numpy(dtype=np.float64)
    names = [score_words(name) for name in rows["score"]]
    figure = go.Figure(
        [
            go.Bar(
                y=places,
                x=higher - 0.5,
                base=0.5,
                orientation="h",
                width=0.1,
                marker={"color": theme.fill, "line": {"width": 0}},
                hoverinfo="skip",
            ),
            go.Scatter(
                y=places,
                x=higher,
                mode="markers",
                marker={"size": 9, "color": theme.accent},
                customdata=np.column_stack([np.array(names, dtype=object), medians]) if names else None,
                hovertemplate="%{customdata[0]}: higher with probability %{x:.2f}<br>median %{customdata[1]:.3g} "
                "against %{customdata[2]:.3g}<extra></extra>",
                cliponaxis=False,
            ),
        ]
    )
    layout = _rows_layout(theme, names, right=28)
    layout["margin"]["b"] = 22
    layout["height"] += 20
    layout["xaxis"] |= {
        "range": [0, 1],
        "tickvals": [0, 0.5, 1],
        "ticktext": ["lower", "same", "higher"],
        "showgrid": True,
    }
    figure.update_layout(layout)
    return figure


def lengths_figure(lengths: pd.DataFrame, theme: Theme) -> go.Figure:
    """Text lengths of selection and rest: 5 to 95 % as a line, the middle half as a bar, the median as a tick.

    :param lengths: as `profile.length_quantiles` gives them.
    """
    rows = lengths[lengths["num_examples"] > 0]
    places = np.arange(len(rows))
    colours = [theme.accent if name == "selected" else theme.other for name in rows.index]
    spans = [("p05", "p95", 0.08), ("p25", "p75", 0.42)]
    figure = go.Figure(
        [
            go.Bar(
                y=places,
                x=rows[high] - rows[low],
                base=rows[low],
                orientation="h",
                width=width,
                marker={"color": colours, "line": {"width": 0}},
                hoverinfo="skip",
            )
            for low, high, width in spans
        ]
    )
    figure.add_trace(
        go.Scatter(
            y=places,
            x=rows["median"],
            mode="markers",
            marker={"symbol": "line-ns", "size": 14, "line": {"width": 2, "color": theme.text}},
            customdata=rows[["p25", "p75", "p05", "p95"]],
            hovertemplate="median %{x:,.0f} words, half of them %{customdata[0]:,.0f} to %{customdata[1]:,.0f}, "
            "nine in ten %{customdata[2]:,.0f} to %{customdata[3]:,.0f}<extra></extra>",
        )
    )
    layout = _rows_layout(
        theme, [{"selected": "Selection", "rest": "Rest"}[str(name)] for name in rows.index], right=14
    )
    layout["barmode"] = "overlay"
    layout["margin"]["b"] = 22
    layout["height"] += 20
    top = float(rows["p95"].max()) if len(rows) else 1.0
    layout["xaxis"] |= {"range": [0, 1.04 * max(top, 1.0)], "nticks": 5, "showgrid": True, "tickformat": ",d"}
    figure.update_layout(layout)
    return figure


def _largest(shares: pd.DataFrame, limit: int) -> pd.DataFrame:
    """Give the rows of the largest shares in their order, and the others added up."""
    if len(shares) <= limit:
        return shares
    size = shares[["share_selected", "share_rest"]].max(axis=1).fillna(0).to_numpy(dtype=np.float64)
    chosen = np.sort(np.argsort(-size, kind="stable")[: limit - 1])
    is_other = np.ones(len(shares), dtype=bool)
    is_other[chosen] = False
    others = shares.loc[is_other].sum(numeric_only=True, min_count=1)
    row = {**others.to_dict(), "value": f"{int(is_other.sum())} others"}
    return pd.concat([shares.iloc[chosen], pd.DataFrame([row])], ignore_index=True)


def _hover(rows: pd.DataFrame, columns: list[str]) -> np.ndarray[Any, Any]:
    """Give a name as plain text, and counts with thousands separators."""
    name, *counts = columns
    cells = [[plain(value) for value in rows[name]]]
    cells += [[f"{int(count):,}" for count in rows[column]] for column in counts]
    return np.array(cells, dtype=object).T


def _rows_layout(theme: Theme, names: list[str], *, right: int) -> dict[str, Any]:
    """Give a layout of one row a name, top down, the names in a column of fixed width so that nothing jumps."""
    layout = base_layout(theme, height=ROW_HEIGHT * max(len(names), 1) + 6)
    layout["margin"] = {"l": _NAME_WIDTH, "r": right, "t": 2, "b": 2}
    layout["xaxis"] |= {"fixedrange": True, "showgrid": False}
    layout["yaxis"] |= {
        "range": [max(len(names), 1) - 0.5, -0.5],
        "tickvals": list(range(len(names))),
        "ticktext": [plain(name, limit=_NAME_LIMIT) for name in names],
        "tickfont": {"color": theme.text, "size": 13},
        "showgrid": False,
        "fixedrange": True,
        "ticks": "",
    }
    return layout


def _at_right(theme: Theme, place: int, text: str) -> dict[str, Any]:
    return {
        "text": text,
        "x": 1,
        "xref": "paper",
        "xanchor": "right",
        "xshift": 42,
        "y": place,
        "showarrow": False,
        "font": {"color": theme.text, "size": 13},
    }


def _top(shares: pd.DataFrame) -> float:
    found = float(np.nanmax(shares.to_numpy(dtype=np.float64), initial=0.0))
    return 1.02 * found
