"""Where the examples of a data map lie: which points are drawn, the density beneath them, and the histograms beside.

Owns everything of a drawn map that depends on its axes and epochs and not on its colour or on what is selected. The
arrays over all examples are kept, so that the histograms of a selection are counts over bytes and no new figure.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from ftft_core.dynamics import BoolArray
from ftft_core.figures.packing import pack
from ftft_core.figures.sampling import MAX_DRAWN_POINTS, Window, bins_of, density, drawn_rows

FIXED_RANGES = {
    "confidence": (0.0, 1.0),
    "correctness": (0.0, 1.0),
    "label_quality": (-1.0, 1.0),
}
"""Scores whose whole range is always shown, so that two maps can be compared by eye."""

NUM_BINS = 40
"""Bars of a marginal histogram."""

MOST_CORRECTNESS_BARS = 13
"""With more counted epochs than bars, neighbouring shares of correct epochs are counted together."""

Range = tuple[float, float]


@dataclass(frozen=True)
class MapPlaces:
    """Places of a map's points on two scores, ready to be sent."""

    axes: tuple[str, str]
    ranges: tuple[Range, Range]
    """What the axes show of the whole map."""
    window: Window | None
    """The part that the drawn points were chosen for; None for the whole map."""
    rows: npt.NDArray[np.int64]
    """(drawn points,), ascending row numbers of the data map."""
    x: npt.NDArray[np.float64] = field(repr=False)
    y: npt.NDArray[np.float64] = field(repr=False)
    """(examples,), NaN where an example has no such score."""
    bins: tuple[npt.NDArray[np.uint8], ...] = field(repr=False)
    """Three of (examples,): bar of each example in the histograms of x, of y and of correctness."""
    num_bars: tuple[int, int, int]
    content: bytes = field(repr=False)
    """What the browser gets: x, y and row of every drawn point, density and histograms of all examples."""

    def bar_counts(self, selected: BoolArray) -> list[list[int]]:
        """Count the selected examples in the histograms of x, of y and of correctness."""
        return [
            np.bincount(bins[selected], minlength=256)[:number].tolist()
            for bins, number in zip(self.bins, self.num_bars, strict=True)
        ]


def map_places(
    data_map: pd.DataFrame,
    *,
    x: str = "variability",
    y: str = "confidence",
    num_epochs: int | None = None,
    window: Window | None = None,
    like: MapPlaces | None = None,
) -> MapPlaces:
    """Place a map's points: at most 30,000, over a density picture of all examples when there are more.

    :param data_map: one row an example, with the columns `x`, `y` and `correctness`.
    :param num_epochs: counted epochs behind the map; read from `data_map.attrs` when left out.
    :param window: what is in view (lowest x, highest x, lowest y, highest y); the whole map when left out.
    :param like: places of the final map of the same run: the same rows are drawn in the same ranges, so that the
        points can be followed from epoch to epoch.
    """
    x_values, y_values = numbers(data_map[x]), numbers(data_map[y])
    ranges = like.ranges if like is not None else (axis_range(x, x_values), axis_range(y, y_values))
    rows = like.rows if like is not None else drawn_rows(x_values, y_values, window=window)
    correctness, correctness_names = _correctness_bars(data_map, num_epochs)
    bins = (bins_of(x_values, ranges[0], NUM_BINS), bins_of(y_values, ranges[1], NUM_BINS), correctness)
    num_bars = (NUM_BINS, NUM_BINS, len(correctness_names))
    counts = [np.bincount(some, minlength=256)[:number] for some, number in zip(bins, num_bars, strict=True)]
    arrays = {
        "x": x_values[rows].astype(np.float32),
        "y": y_values[rows].astype(np.float32),
        "rows": rows.astype(np.int32),
        "x_counts": counts[0].astype(np.int32),
        "y_counts": counts[1].astype(np.int32),
        "correctness_counts": counts[2].astype(np.int32),
    }
    header = {
        "axes": [x, y],
        "titles": [words(x), words(y)],
        "ranges": ranges,
        "window": window,
        "regions": (x, y) == ("variability", "confidence"),
        "correctness_names": correctness_names,
        "num_examples": len(data_map),
        "remarks": _remarks(x, y, x_values, y_values, rows.size),
    }
    if len(data_map) > MAX_DRAWN_POINTS:
        shown = window or (*ranges[0], *ranges[1])
        picture = np.log1p(density(x_values, y_values, shown).counts)
        arrays["density"] = np.ceil(picture * (255 / max(float(picture.max()), 1e-9))).astype(np.uint8)
        header |= {"density_window": shown, "density_cells": picture.shape[0]}
    return MapPlaces(
        axes=(x, y),
        ranges=ranges,
        window=window,
        rows=rows,
        x=x_values,
        y=y_values,
        bins=bins,
        num_bars=num_bars,
        content=pack(header, arrays),
    )


def axis_range(name: str, values: npt.NDArray[np.float64]) -> Range:
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


def numbers(column: pd.Series) -> npt.NDArray[np.float64]:
    """Return a score as float64, NaN where it is null; no copy where the column is float64 already."""
    values: npt.NDArray[np.float64] = pd.to_numeric(column).to_numpy(dtype=np.float64, na_value=np.nan)
    return values


def _correctness_bars(data_map: pd.DataFrame, num_epochs: int | None) -> tuple[npt.NDArray[np.uint8], list[str]]:
    """Bar of each example by its share of correct epochs, and the bars' names from none to all of the epochs."""
    counted = data_map.attrs.get("counted_epochs")
    total = num_epochs or (len(counted) if isinstance(counted, list | tuple) else counted) or 1
    last = min(int(total), MOST_CORRECTNESS_BARS - 1)
    shares = np.clip(numbers(data_map["correctness"]), 0.0, 1.0)
    bins = bins_of(np.round(shares * last), (-0.5, last + 0.5), last + 1)
    if last == total:
        return bins, [f"{correct}/{total}" for correct in range(last + 1)]
    return bins, [f"{100 * correct / last:.0f} %" for correct in range(last + 1)]


def _remarks(
    x: str, y: str, x_values: npt.NDArray[np.float64], y_values: npt.NDArray[np.float64], num_drawn: int
) -> list[str]:
    """Sentences on examples that the map does not show."""
    said = []
    if x_values.size > MAX_DRAWN_POINTS:
        said.append(f"{num_drawn:,} of {x_values.size:,} points drawn, selections take all")
    for name, values in dict([(x, x_values), (y, y_values)]).items():
        missing = int(values.size - np.isfinite(values).sum())
        if missing:
            said.append(f"{missing:,} {'example has' if missing == 1 else 'examples have'} no {words(name)}")
    return said
