"""What the points of a data map are coloured by, and the legend that goes with it.

Owns colour numbers and legends, in no theme: the browser has the colours of the page and of paper. A score gets a
scale with a fixed range and a histogram of all examples, anything else gets one chip a value.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ftft_core.figures.map_places import FIXED_RANGES, MapPlaces, Range, numbers, words
from ftft_core.figures.packing import pack
from ftft_core.figures.sampling import NO_BIN, bins_of
from ftft_core.figures.themes import MAX_LABEL_COLOURS, OTHER

LABEL_COLUMNS = ("label", "predicted_label")

DIVERGING = ("correctness", "label_quality")
"""Scores with a wrong and a right end."""

NUM_BARS = 24
"""Bars of a score's legend."""

SAMPLED_FOR_VALUES = 5_000


@dataclass(frozen=True)
class Chip:
    """One entry of a legend."""

    name: str
    values: tuple[str, ...]
    """What it stands for: one value, several for "other", none for missing ones."""
    count: int
    """Examples of the whole map."""
    colour: int | None
    """Number among the label colours; None for the quiet one."""


@dataclass(frozen=True)
class MapColours:
    """Colours of a map's drawn points, ready to be sent."""

    name: str
    """Of the score or column; it comes back with a click in the legend."""
    chips: tuple[Chip, ...]
    """Empty for a score."""
    limits: Range | None
    """Ends of a score's scale; None for chips."""
    bars: tuple[tuple[float, float], ...]
    """Lowest and highest value of each bar of a score's legend."""
    content: bytes = field(repr=False)
    """What the browser gets."""


def map_colours(
    data_map: pd.DataFrame,
    places: MapPlaces,
    colour: str | pd.Series = "correctness",
    *,
    labels: Sequence[str] = (),
    quiet: Collection[str] = (),
    title: str | None = None,
    first: Collection[str] = (),
    like: MapColours | None = None,
) -> MapColours:
    """Colour the drawn points of a map.

    :param colour: a column of the map, or a column of one's own in the map's row order, with a name.
    :param labels: the values' order, for columns that are no categoricals; sorted when left out.
    :param quiet: values that stay grey, such as "not in the subset".
    :param title: what stands above the legend; the column's name in words when left out.
    :param first: of more values than there are colours, those that get one before any other; then the most frequent.
    :param like: colours of the final map of the same run: a score keeps its range, and the same values have colours.
    """
    column = data_map[colour] if isinstance(colour, str) else colour
    if len(column) != len(data_map):
        raise ValueError(f"{len(column)} values to colour {len(data_map)} examples")
    name = str(column.name)
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype):
        return _score_colours(name, numbers(column), places.rows, like)
    if like is not None:
        first = [*first, *(chip.name for chip in like.chips if chip.colour is not None)]
    return _class_colours(name, column, places.rows, labels, quiet, words(name) if title is None else title, first)


def _class_colours(
    name: str,
    column: pd.Series,
    rows: npt.NDArray[np.int64],
    labels: Sequence[str],
    quiet: Collection[str],
    title: str,
    first: Collection[str],
) -> MapColours:
    if pd.api.types.is_bool_dtype(column.dtype):
        column = column.map({False: "no", True: "yes"})
    if not isinstance(column.dtype, pd.CategoricalDtype):
        known = list(labels) or sorted(str(value) for value in column.dropna().unique())
        column = pd.Series(pd.Categorical(column, categories=known), name=name)
    values = [str(value) for value in column.cat.categories]
    codes = column.cat.codes.to_numpy()
    counts = np.bincount(codes + 1, minlength=len(values) + 1)
    chips: list[Chip] = []
    lookup = np.full(len(values) + 1, NO_BIN, dtype=np.uint8)  # code + 1 -> chip
    rest: list[int] = []
    loud = 0
    coloured = _coloured(values, counts[1:], quiet, first)
    for code, value in enumerate(values):
        if value in quiet or code in coloured:
            lookup[code + 1] = len(chips)
            chips.append(Chip(value, (value,), int(counts[code + 1]), None if value in quiet else loud))
            loud += value not in quiet
        else:
            rest.append(code)
    if rest:
        lookup[np.array(rest) + 1] = len(chips)
        chips.append(Chip(OTHER, tuple(values[code] for code in rest), int(counts[np.array(rest) + 1].sum()), None))
    if counts[0]:
        lookup[0] = len(chips)
        chips.append(Chip(f"no {title}", (), int(counts[0]), None))
    legend = [
        {"name": chip.name, "values": list(chip.values), "count": chip.count, "colour": chip.colour} for chip in chips
    ]
    header = {"name": name, "title": title, "kind": "classes", "chips": legend}
    return MapColours(
        name=name,
        chips=tuple(chips),
        limits=None,
        bars=(),
        content=pack(header, {"values": lookup[codes[rows] + 1]}),
    )


def _coloured(
    values: Sequence[str], counts: npt.NDArray[np.int64], quiet: Collection[str], first: Collection[str]
) -> set[int]:
    """Choose the values that get a colour of their own, by their codes; ties go to the value that stands first."""
    wanted = set(first)
    loud = [code for code, value in enumerate(values) if value not in quiet]
    loud.sort(key=lambda code: (values[code] not in wanted, -int(counts[code])))
    return set(loud[:MAX_LABEL_COLOURS])


def _score_colours(
    name: str, values: npt.NDArray[np.float64], rows: npt.NDArray[np.int64], like: MapColours | None
) -> MapColours:
    known = values[np.isfinite(values)]
    low, high = (like.limits if like is not None else None) or _limits(name, known)
    if like is not None and like.bars:
        bars = like.bars
    elif (few := _few_values(known)) is not None:
        bars = tuple((float(value), float(value)) for value in few)
    else:
        edges = np.linspace(low, high, NUM_BARS + 1)
        bars = tuple((float(start), float(end)) for start, end in itertools.pairwise(edges))
    header: dict[str, Any] = {
        "name": name,
        "title": words(name),
        "kind": "score",
        "scale": "correctness" if name in DIVERGING else "scores",
        "limits": [low, high],
        "ends": [float(known.min()), float(known.max())] if known.size else [low, high],
        "bars": bars,
    }
    arrays = {"values": values[rows].astype(np.float32), "counts": _bar_counts(known, bars).astype(np.int32)}
    return MapColours(name=name, chips=(), limits=(low, high), bars=bars, content=pack(header, arrays))


def _limits(name: str, known: npt.NDArray[np.float64]) -> Range:
    """Ends of a scale: fixed for scores with a natural range, else without the outermost hundredths."""
    if name in FIXED_RANGES:
        return FIXED_RANGES[name]
    low, high = (float(end) for end in np.percentile(known, [1, 99])) if known.size else (0.0, 1.0)
    return (low, high) if high > low else (low, low + 1.0)


def _few_values(known: npt.NDArray[np.float64]) -> npt.NDArray[np.float64] | None:
    """Return all values of a score that takes no more than there are bars; None for any other."""
    if not known.size or np.unique(known[:SAMPLED_FOR_VALUES]).size > NUM_BARS:
        return None
    found = np.unique(known)
    return found if found.size <= NUM_BARS else None


def _bar_counts(known: npt.NDArray[np.float64], bars: Sequence[tuple[float, float]]) -> npt.NDArray[np.int64]:
    """Count the values of each bar; what lies beyond the scale's ends counts in the outermost bars."""
    if bars[0][0] == bars[0][1]:
        starts = np.array([start for start, _ in bars])
        between = (starts[:-1] + starts[1:]) / 2
        return np.bincount(np.searchsorted(between, known), minlength=len(bars))
    ends = (bars[0][0], bars[-1][1])
    return np.bincount(bins_of(np.clip(known, *ends), ends, len(bars)), minlength=len(bars))[: len(bars)]
