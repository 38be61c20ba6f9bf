"""The charts of a comparison: robustness against cost, and scores over what was spent so far.

Owns how they are drawn; every number in them comes from `comparison`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from ftft_core.figures.charts import faded
from ftft_core.figures.themes import Theme, chart_layout, plain, side_colours

NAME_LETTERS = 26
LINE_GAP = 0.062
"""Least distance between two names at the ends of lines, as a share of the chart's height."""

CHART_WIDTH = 340
"""Of the inner chart of robustness against cost beside the table, in pixels, about."""

FRONT_PLACES = ("top right", "top left", "middle left", "bottom right", "bottom left")
USUAL_PLACES = (
    *("middle right", "middle left", "bottom right", "bottom left", "top right", "top left"),
    *("bottom center", "top center"),
)
"""Places of a name by its point, the best first."""

TITLE_LETTERS = 40
"""Of an axis's title in one line; longer ones would be cut at the chart's edge."""

NAME_PIXELS = 6.3
"""Width of a letter of a name at the end of a line, about."""


def cost_front_figure(
    points: pd.DataFrame,
    theme: Theme,
    *,
    score_name: str,
    baseline: str,
    focus: Sequence[str] = (),
    higher_is_better: bool = True,
    height: int = 330,
) -> go.Figure:
    """Out-of-distribution score against cost, one point a method, with its spread and the Pareto front.

    :param points: name, column, score, std (NaN of one seed), cost_share, on_front, is_baseline, num_seeds; where there
        are several main models main_model, for a front of each.
    :param baseline: the method whose cost is 100 %.
    :param focus: columns of the methods that are looked at; their names are bold.
    """
    figure = go.Figure()
    on_fronts = points[points["on_front"]].sort_values("cost_share")
    models = on_fronts["main_model"] if "main_model" in points else [0] * len(on_fronts)
    for _, front in on_fronts.groupby(models, sort=False) if len(on_fronts) else ():
        figure.add_trace(
            go.Scatter(
                x=[*front["cost_share"], float(points["cost_share"].max())],
                y=[*front["score"], front["score"].iloc[-1]],
                mode="lines",
                line={"color": theme.accent, "width": 1.5, "shape": "hv"},
                opacity=0.7,
                hoverinfo="skip",
                name="Pareto front",
            )
        )
    places = _text_places(
        points, height, focus
    )  # of annotations: behind them, bars and the front don't strike a name out
    for on_front in (False, True):
        some = points[points["on_front"] == on_front]
        colour = theme.accent if on_front else theme.muted
        figure.add_trace(
            go.Scatter(
                x=some["cost_share"],
                y=some["score"],
                error_y={"type": "data", "array": some["std"].fillna(0), "color": colour, "thickness": 1, "width": 3},
                mode="markers",
                marker={
                    "size": 10,
                    "color": theme.accent if on_front else theme.background,
                    "symbol": ["diamond" if known else "circle" for known in some["is_baseline"]],
                    "line": {"width": 1.5, "color": colour},
                },
                customdata=[
                    [plain(row.name, limit=80), _seeds_words(row.num_seeds, row.std)]
                    for row in some.itertuples(index=False)
                ],
                hovertemplate=(
                    "<b>%{customdata[0]}</b><br>%{y:.1%}%{customdata[1]}<br>"
                    f"%{{x:.0%}} of {plain(baseline, limit=20)}’s FLOPs<extra></extra>"
                ),
                cliponaxis=False,
            )
        )
    layout = chart_layout(theme, height=height)
    title = _axis_words(score_name, "out of distribution", higher_is_better)
    layout["margin"] = {"l": 66 if "<br>" in title else 54, "r": 18, "t": 22, "b": 44}
    largest = float(points["cost_share"].max()) if len(points) else 1.0
    layout["xaxis"] |= {"tickformat": ".0%", "range": [0, largest * 1.14], "fixedrange": True, "nticks": 7}
    layout["xaxis"]["title"] = {
        **layout["xaxis"]["title"], "text": f"cost with the reference’s, share of {plain(baseline, limit=20)}’s FLOPs",
    }  # fmt: skip
    layout["yaxis"] |= {"tickformat": ".0%", "fixedrange": True, "nticks": 6, "range": _padded(points)}
    layout["yaxis"]["title"] = {**layout["yaxis"]["title"], "text": title}
    layout["annotations"] = [
        {
            "x": row.cost_share, "y": row.score, "text": _name(row.name, row.column in focus), "showarrow": False,
            "font": {"size": 12, "color": theme.text if row.on_front else theme.muted}, "borderpad": 0,
            "bgcolor": faded(theme.background, 0.8), **_beside(places[row.column]),
        }
        for row in points.itertuples(index=False)
        if row.column in places
    ]  # fmt: skip
    figure.update_layout(layout)
    return figure


def _beside(place: str) -> dict[str, Any]:
    """Return how an annotation stands at such a place by its point, as `_text_box` has it."""
    vertical, horizontal = place.split()
    across = {"right": ("left", 8), "left": ("right", -8), "center": ("center", 0)}[horizontal]
    up = {"top": ("bottom", 6), "middle": ("middle", 0), "bottom": ("top", -6)}[vertical]
    return {"xanchor": across[0], "xshift": across[1], "yanchor": up[0], "yshift": up[1]}


def _seeds_words(num_seeds: int, std: float) -> str:
    """Word over how many seeds a mean is, and their spread: one seed has none."""
    return " of 1 seed" if num_seeds == 1 else f" ± {100 * std:.1f} over {num_seeds} seeds"


def cost_curves_figure(
    curves: pd.DataFrame,
    points: pd.DataFrame,
    names: Mapping[str, str],
    theme: Theme,
    *,
    whole: float,
    baseline: str,
    target: float | None,
    reached: Mapping[str, float],
    score_name: str,
    where: str = "out of distribution",
    focus: Sequence[str] = (),
    higher_is_better: bool = True,
    height: int = 300,
) -> go.Figure:
    """Score against what was spent so far: a line a method, a faint one a seed, and the baseline's best.

    :param curves: column, cost, mean, is_end; :param points: the same of each run, with run_id and value.
    :param names: column -> name, of those to draw, in their order.
    :param whole: cost that is 100 %.
    :param where: which splits the scores are of, in words.
    :param focus: columns that are looked at; they have the colours that they have everywhere on the page.
    :param target: the baseline's best mean; :param reached: column -> share of the cost at which it is first reached.
    """
    figure = go.Figure()
    colours = line_colours(names, focus, theme)
    for column in names:
        of_method = points[points["column"] == column]
        if of_method["run_id"].nunique() > 1:
            for _, of_run in of_method.groupby("run_id"):
                figure.add_trace(
                    go.Scatter(
                        x=of_run["cost"] / whole, y=of_run["value"], mode="lines", opacity=0.22, hoverinfo="skip",
                        line={"color": colours[column], "width": 1},
                    )
                )  # fmt: skip
    for column, name in names.items():
        curve = curves[curves["column"] == column]
        figure.add_trace(
            go.Scatter(
                x=curve["cost"] / whole,
                y=curve["mean"],
                mode="lines+markers",
                line={"color": colours[column], "width": 2.5 if column in focus else 1.75},
                marker={"size": [8 if end else 4 for end in curve["is_end"]], "color": colours[column]},
                hovertemplate=f"<b>{plain(name, limit=60)}</b><br>%{{y:.1%}} at %{{x:.0%}} of the cost<extra></extra>",
                cliponaxis=False,
            )
        )
    largest = float((curves["cost"] / whole).max()) if len(curves) else 1.0
    if target is not None:
        figure.add_hline(y=target, line={"color": theme.muted, "width": 1, "dash": "dot"})
        figure.add_annotation(
            x=0, xref="paper", y=target, text=f"{plain(baseline, limit=20)}’s best", showarrow=False, yshift=9,
            xanchor="left", font={"size": 11, "color": theme.muted},
        )  # fmt: skip
        for column, share in reached.items():
            if column in names and np.isfinite(share):
                figure.add_trace(
                    go.Scatter(
                        x=[share, share], y=[target, target], mode="markers", hoverinfo="skip",
                        marker={"symbol": "line-ns", "size": 14, "line": {"width": 2, "color": colours[column]}},
                    )
                )  # fmt: skip
    layout = chart_layout(theme, height=height)
    title = _axis_words(score_name, where, higher_is_better)
    layout["margin"] = {"l": 66 if "<br>" in title else 54, "r": _names_width(names), "t": 22, "b": 44}
    layout["xaxis"] |= {"tickformat": ".0%", "range": [0, largest * 1.02], "fixedrange": True, "nticks": 7}
    layout["xaxis"]["title"] = {
        **layout["xaxis"]["title"], "text": f"spent so far, share of {plain(baseline, limit=20)}’s FLOPs",
    }  # fmt: skip
    layout["yaxis"] |= {"tickformat": ".0%", "fixedrange": True, "nticks": 6}
    layout["yaxis"]["title"] = {**layout["yaxis"]["title"], "text": title}
    layout["annotations"] = [*figure.layout.annotations, *_line_names(curves, points, names, colours)]
    figure.update_layout(layout)
    return figure


def _line_names(
    curves: pd.DataFrame, points: pd.DataFrame, names: Mapping[str, str], colours: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Names at the right edge, each near the end of its line and none upon another."""
    ends = curves[curves["is_end"] & curves["column"].isin(names)].sort_values("mean")
    if ends.empty:
        return []
    # Lines of single seeds make the axis longer than the means alone would.
    drawn = pd.concat([curves["mean"], points.loc[points["column"].isin(names), "value"]])
    extent = max(float(drawn.max() - drawn.min()), 1e-6)
    gap = LINE_GAP * extent * 1.1
    wanted = ends["mean"].to_numpy(dtype=float)
    placed = wanted.copy()
    for row in range(1, len(placed)):
        placed[row] = max(placed[row], placed[row - 1] + gap)
    placed -= (placed - wanted).mean()  # pushed up only: moved down again by as much
    return [
        {
            "x": 1.0, "xref": "paper", "xanchor": "left", "xshift": 8, "y": float(place), "showarrow": False,
            "text": plain(names[row.column], limit=NAME_LETTERS), "font": {"size": 12, "color": colours[row.column]},
            "align": "left",
        }
        for place, row in zip(placed, ends.itertuples(), strict=True)
    ]  # fmt: skip


def _names_width(names: Mapping[str, str]) -> float:
    letters = max((min(len(name), NAME_LETTERS) for name in names.values()), default=0)
    return 30 + NAME_PIXELS * letters


def line_colours(names: Iterable[str], focus: Sequence[str], theme: Theme) -> dict[str, str]:
    """Return the colour of each method: the two that are looked at have theirs, the others what is left."""
    own = dict(zip(focus, side_colours(theme), strict=False))
    left = [colour for colour in theme.labels if colour not in own.values()]
    others = [column for column in names if column not in own]
    return {**own, **{column: left[place % len(left)] for place, column in enumerate(others)}}


def _name(name: str, bold: bool) -> str:
    words = plain(name, limit=NAME_LETTERS)
    return f"<b>{words}</b>" if bold else words


def _axis_words(score_name: str, where: str, higher_is_better: bool) -> str:
    score = f"{plain(score_name).lower()}{'' if higher_is_better else ' (lower is better)'}"
    return f"{where},{'<br>' if len(where) + len(score) > TITLE_LETTERS else ' '}{score}"


def _padded(points: pd.DataFrame) -> list[float]:
    """Ends of the axis of scores: all bars fit, with some room."""
    if points.empty:
        return [0.0, 1.0]
    low = float((points["score"] - points["std"].fillna(0)).min())
    high = float((points["score"] + points["std"].fillna(0)).max())
    pad = 0.14 * max(high - low, 0.02)
    return [low - pad, high + pad]


def _text_places(points: pd.DataFrame, height: int, focus: Sequence[str]) -> dict[str, str]:
    """Where each name stands by its point: the first place at which it covers least of other names and points.

    A name that would cover much wherever it stood is left out, for the hover to tell, unless it is the baseline's or in
    focus. Widths are guessed from letters, for a chart as wide as it usually is. Names on the front keep off its line,
    which leaves a point to the right and comes to it from below.
    """
    if points.empty:
        return {}
    x_range = (0.0, 1.14 * float(points["cost_share"].max()))
    y_range = _padded(points)
    across = CHART_WIDTH / max(x_range[1] - x_range[0], 1e-9)
    up = (height - 66) / max(y_range[1] - y_range[0], 1e-9)
    spots = {
        row.column: (across * row.cost_share, up * (row.score - y_range[0])) for row in points.itertuples(index=False)
    }
    taken = [(x - 7, y - 7, x + 7, y + 7) for x, y in spots.values()]
    places: dict[str, str] = {}
    needed = points["column"].isin([*focus]) | points["is_baseline"]
    ranked = points.assign(needed=needed).sort_values(["needed", "on_front"], ascending=False, kind="stable")
    for row in ranked.itertuples(index=False):
        x, y = spots[row.column]
        width = NAME_PIXELS * min(len(row.name), NAME_LETTERS)
        order = FRONT_PLACES if row.on_front else USUAL_PLACES
        boxes = {place: _text_box(place, x, y, width) for place in order}
        inside = [place for place, box in boxes.items() if box[0] > 0 and box[2] < CHART_WIDTH + 14] or list(order)
        covered = {place: sum(_covered(boxes[place], other) for other in taken) for place in inside}
        best = min(inside, key=lambda place: covered[place])
        if row.needed or covered[best] <= MOST_COVERED * width * 16:
            places[row.column] = best
            taken.append(boxes[best])
    return places


MOST_COVERED = 0.3
"""Share of a name that may lie over other names and points."""

_Box: TypeAlias = tuple[float, float, float, float]


def _text_box(place: str, x: float, y: float, width: float) -> _Box:
    """Left, bottom, right and top of a name, in pixels."""
    vertical, horizontal = place.split()
    left = {"right": x + 8, "left": x - 8 - width, "center": x - width / 2}[horizontal]
    bottom = {"top": y + 6, "middle": y - 8, "bottom": y - 22}[vertical]
    return left, bottom, left + width, bottom + 16


def _covered(a: _Box, b: _Box) -> float:
    """Pixels that two boxes share."""
    across, up = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return max(across, 0.0) * max(up, 0.0)
