"""Miniatures of a data map: all examples faint, those of a subset in the accent colour, as a small PNG.

Owns a raster that costs the same for a hundred examples and for a million: what is drawn is counts per pixel, softened
by a small disc. The background is transparent; a palette of 16 by 16 levels keeps a picture at a few kilobytes.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ftft_core.figures.map_places import axis_range, numbers
from ftft_core.figures.themes import Theme

WIDTH, HEIGHT = 176, 128
"""Size on the page, in CSS pixels."""

SCALE = 2
"""Pixels of the picture for each CSS pixel."""

RADII = ((600, 3.0), (6_000, 2.0), (60_000, 1.3))
"""(examples, radius in pixels): up to this many examples are drawn this large; more get `SMALLEST_RADIUS`."""

SMALLEST_RADIUS = 0.9
LEVELS = 16
FEW = 0.1
"""A subset with less than this share of the map is drawn in dots of its own size, so that a handful is seen."""

FAINTEST = 0.3
"""Opacity of the background where one example lies; the densest place has 1."""

LEAST_ACCENT = 0.5
"""Opacity of the accent where few of the examples are the subset's; where all are, it has 1."""

Plane = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class ThumbnailMap:
    """A map in pixels, for the miniatures of all its subsets."""

    pixels: npt.NDArray[np.int32] = field(repr=False)
    """(rows of the map,) pixel of each example, row by row from the top; -1 where it has no place."""
    positions: npt.NDArray[np.int64] = field(repr=False)
    """(rows of the map,) ascending rows of the training split."""
    density: Plane = field(repr=False)
    """(pixels down, pixels across) how many examples lie there, softened."""
    radius: float


def thumbnail_map(data_map: pd.DataFrame, *, x: str = "variability", y: str = "confidence") -> ThumbnailMap:
    """Place the examples of a map frame on the pixels of a miniature.

    :param data_map: one row an example in file order, with `position` and both scores.
    """
    positions = data_map["position"].to_numpy(dtype=np.int64)
    radius = _radius(len(data_map))
    across, down = WIDTH * SCALE, HEIGHT * SCALE
    columns = _pixels(x, numbers(data_map[x]), across, radius)
    rows = _pixels(y, numbers(data_map[y]), down, radius)
    known = (columns >= 0) & (rows >= 0)
    pixels = np.where(known, (down - 1 - rows) * across + columns, -1).astype(np.int32)
    return ThumbnailMap(pixels, positions, _density(pixels, radius), radius)


def thumbnail(places: ThumbnailMap, members: npt.NDArray[np.int64], theme: Theme) -> bytes:
    """Return the miniature of a subset as a PNG, with a transparent background.

    :param members: ascending rows of the training split; those that the map lacks are not drawn.
    """
    inside = places.pixels[np.isin(places.positions, members, assume_unique=True)]
    is_small = len(inside) < FEW * len(places.positions)
    radius = _radius(len(inside)) if is_small else places.radius
    subset = _density(inside, radius)
    faint = np.minimum(places.density, 1.0) * (FAINTEST + (1 - FAINTEST) * _shade(places.density))
    share = np.ones_like(subset)  # few examples are drawn larger than the rest, in full colour
    if radius == places.radius:
        share = np.divide(subset, places.density, out=np.zeros_like(subset), where=places.density > 0)
    accent = np.minimum(subset, 1.0) * (LEAST_ACCENT + (1 - LEAST_ACCENT) * share * (1 + _shade(subset)) / 2)
    indices = _levels(faint) * LEVELS + _levels(accent)
    return _png(indices.astype(np.uint8), _palette(theme))


def _radius(count: int) -> float:
    return next((size for most, size in RADII if count <= most), SMALLEST_RADIUS)


def _shade(density: Plane) -> Plane:
    """Return how dense each place is beside the densest, in [0, 1], by the logarithm of its count."""
    return np.log1p(density) / np.float32(np.log1p(max(float(density.max()), 1.0)))


def _pixels(score: str, values: npt.NDArray[np.float64], count: int, radius: float) -> npt.NDArray[np.int64]:
    """Return the pixel of each value on an axis of `count` pixels, with room for a dot at its ends; -1 for NaN."""
    low, high = axis_range(score, values)
    room = int(np.ceil(radius)) + 1
    known = np.isfinite(values)
    place = (np.where(known, values, low) - low) / ((high - low) or 1.0)
    return np.where(known, room + np.rint(np.clip(place, 0, 1) * (count - 1 - 2 * room)), -1).astype(np.int64)


def _density(pixels: npt.NDArray[np.int32], radius: float) -> Plane:
    """Count the examples on each pixel, each a disc with a soft edge."""
    across, down = WIDTH * SCALE, HEIGHT * SCALE
    counts = np.bincount(pixels[pixels >= 0], minlength=across * down).reshape(down, across).astype(np.float32)
    reach = int(np.ceil(radius))
    padded = np.pad(counts, reach)
    drawn = np.zeros_like(counts)
    for up in range(2 * reach + 1):
        for left in range(2 * reach + 1):
            weight = radius + 0.5 - np.hypot(up - reach, left - reach)
            if weight > 0:
                drawn += np.float32(min(weight, 1.0)) * padded[up : up + down, left : left + across]
    return drawn


def _levels(opacity: Plane) -> npt.NDArray[np.integer[Any]]:
    return np.rint(np.clip(opacity, 0, 1) * (LEVELS - 1)).astype(np.int64)


def _palette(theme: Theme) -> npt.NDArray[np.uint8]:
    """(levels of the background * levels of the accent, 4) red, green, blue and opacity: the accent lies above."""
    below, above = (np.repeat(np.arange(LEVELS), LEVELS), np.tile(np.arange(LEVELS), LEVELS))
    behind, front = below / (LEVELS - 1), above / (LEVELS - 1)
    opacity = front + behind * (1 - front)
    parts = front[:, None] * _rgb(theme.accent) + (behind * (1 - front))[:, None] * _rgb(theme.density[1])
    colours = np.divide(parts, opacity[:, None], out=np.zeros_like(parts), where=opacity[:, None] > 0)
    return np.rint(np.column_stack([colours, 255 * opacity])).astype(np.uint8)


def _rgb(colour: str) -> npt.NDArray[np.float64]:
    return np.array([int(colour[start : start + 2], 16) for start in (1, 3, 5)], dtype=float)


def _png(indices: npt.NDArray[np.uint8], palette: npt.NDArray[np.uint8]) -> bytes:
    """Write a picture of palette indices (ISO/IEC 15948); each row begins with the number of its filter, none."""
    down, across = indices.shape
    rows = np.column_stack([np.zeros(down, dtype=np.uint8), indices])
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", across, down, 8, 3, 0, 0, 0)),
        (b"PLTE", palette[:, :3].tobytes()),
        (b"tRNS", palette[:, 3].tobytes()),
        (b"IDAT", zlib.compress(rows.tobytes(), 6)),
        (b"IEND", b""),
    )
    written = (
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(written)
