"""Colours and the common layout of every figure, in light and in dark.

Owns which colour means what; not which data a figure shows. Scores run over cividis with the high end standing out
from the background, correctness runs from red (wrong) over grey to blue (right), labels take the colour-blind safe
palette of Okabe and Ito, and in distribution and out of distribution have each one colour everywhere.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

FONT = '"Source Sans", "Source Sans Pro", "Source Sans 3", sans-serif'

MAX_LABEL_COLOURS = 8
"""Labels beyond this many share the colour of "other"."""

OTHER = "other"


@dataclass(frozen=True)
class Theme:
    """What a figure needs to know of the page that it stands on; colours are CSS hexadecimal."""

    name: str
    background: str
    text: str
    muted: str
    """Axis titles, tick labels, region names: at least 4.5:1 against the background."""
    grid: str
    accent: str
    fill: str
    """Bars of everything, behind the accent of what is selected."""
    scores: tuple[str, ...]
    """Colour scale from a low to a high score."""
    correctness: tuple[str, str, str]
    """Wrong, half right, right."""
    labels: tuple[str, ...]
    other: str
    density: tuple[str, str]
    """From few to many examples."""
    in_distribution: str
    out_of_distribution: str


LIGHT = Theme(
    name="light",
    background="#ffffff",
    text="#1f2328",
    muted="#656c76",
    grid="#eceef1",
    accent="#1f5fbf",
    fill="#ccd2da",
    scores=("#e3d24a", "#bcae6c", "#958f78", "#7c7b78", "#5a6570", "#35456c", "#00224e"),
    correctness=("#c23b22", "#b4b8bf", "#1f6fb5"),
    labels=("#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7", "#b8a800", "#000000"),
    other="#9aa1ab",
    density=("#f1f3f6", "#9aa6b6"),
    in_distribution="#5b6470",
    out_of_distribution="#1f5fbf",
)

DARK = Theme(
    name="dark",
    background="#111418",
    text="#e6e8eb",
    muted="#9aa3ae",
    grid="#23282f",
    accent="#6ea8fe",
    fill="#3a424d",
    scores=("#3d5280", "#575d6d", "#707173", "#8a8779", "#a69d75", "#c4b56c", "#fee838"),
    correctness=("#f0735a", "#757c86", "#5aa9f0"),
    labels=("#4aa3df", "#e69f00", "#1fbf92", "#f0804a", "#8fd0f5", "#e09bc2", "#f0e442", "#f2f2f2"),
    other="#6b7480",
    density=("#191d23", "#4a5666"),
    in_distribution="#aab3be",
    out_of_distribution="#6ea8fe",
)

THEMES = {theme.name: theme for theme in (LIGHT, DARK)}


def theme_named(name: str | None) -> Theme:
    """Return the theme of that name; the light one where the page does not say which it is."""
    return THEMES.get(name or "light", LIGHT)


def colour_scale(colours: Sequence[str]) -> list[list[Any]]:
    """Evenly spaced stops, as Plotly wants them: pairs of a place in [0, 1] and a colour."""
    steps = max(len(colours) - 1, 1)
    return [[index / steps, colour] for index, colour in enumerate(colours)]


def label_colours(labels: Sequence[str], theme: Theme) -> dict[str, str]:
    """Return the colour of each label, in the suite's order; the ninth and further labels get that of "other"."""
    return {
        label: theme.labels[index] if index < min(MAX_LABEL_COLOURS, len(theme.labels)) else theme.other
        for index, label in enumerate(labels)
    }


def side_colours(theme: Theme) -> tuple[str, str]:
    """Return the colours of the first and of the second of two methods that are compared."""
    return theme.labels[0], theme.labels[3]


def plain(text: object, *, limit: int = 40) -> str:
    """Text from data as Plotly shows it literally: no tags, no entities, no LaTeX, cut to `limit` characters."""
    words = str(text)
    words = words if len(words) <= limit else words[: limit - 1] + "…"
    return html.escape(words, quote=False).replace("$", "&#36;")


def base_layout(theme: Theme, *, height: int | None = None) -> dict[str, Any]:
    """Layout that all figures share: transparent paper, small legible type, faint grid, no mode bar clutter."""
    axis = {
        "gridcolor": theme.grid,
        "zeroline": False,
        "linecolor": theme.grid,
        "tickfont": {"color": theme.muted, "size": 12},
        "title": {"font": {"color": theme.muted, "size": 13}, "standoff": 8},
        "automargin": False,
    }
    return {
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": FONT, "color": theme.text, "size": 13},
        "margin": {"l": 52, "r": 12, "t": 8, "b": 44},
        "hoverlabel": {
            "bgcolor": theme.background,
            "bordercolor": theme.grid,
            "font": {"color": theme.text, "family": FONT, "size": 13},
        },
        "xaxis": dict(axis),
        "yaxis": dict(axis),
        "showlegend": False,
        "height": height,
    }


def chart_layout(theme: Theme, *, height: int | None = None) -> dict[str, Any]:
    """Return the shared layout for a chart with a button that saves it: the button is as quiet as the axes."""
    quiet = {"bgcolor": "rgba(0,0,0,0)", "color": theme.muted, "activecolor": theme.accent}
    return {**base_layout(theme, height=height), "modebar": quiet}
