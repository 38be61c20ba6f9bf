"""Data frame to figure: Plotly's for charts, our own for the data map.

Owns how data are drawn, in a light and a dark theme; not where they come from and not the page around them. Imports
neither streamlit nor anything that trains.
"""

from ftft_core.figures.charts import (
    class_probability_figure,
    empty_figure,
    loss_figure,
    quartile_figure,
    slider_histogram_figure,
)
from ftft_core.figures.map_colours import LABEL_COLUMNS, MapColours, map_colours
from ftft_core.figures.map_figure import DrawnMap, data_map_figure
from ftft_core.figures.map_places import MapPlaces, axis_range, map_places, words
from ftft_core.figures.profile_charts import lengths_figure, scores_figure, shares_figure, words_figure
from ftft_core.figures.sampling import MAX_DRAWN_POINTS, Density, Window, density, drawn_rows
from ftft_core.figures.themes import DARK, LIGHT, THEMES, Theme, label_colours, plain, theme_named

__all__ = [
    "DARK",
    "LABEL_COLUMNS",
    "LIGHT",
    "MAX_DRAWN_POINTS",
    "THEMES",
    "Density",
    "DrawnMap",
    "MapColours",
    "MapPlaces",
    "Theme",
    "Window",
    "axis_range",
    "class_probability_figure",
    "data_map_figure",
    "density",
    "drawn_rows",
    "empty_figure",
    "label_colours",
    "lengths_figure",
    "loss_figure",
    "map_colours",
    "map_places",
    "plain",
    "quartile_figure",
    "scores_figure",
    "shares_figure",
    "slider_histogram_figure",
    "theme_named",
    "words",
    "words_figure",
]
