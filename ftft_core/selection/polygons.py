"""Which points lie in a polygon that may cross itself: even-odd, edges included, and exact.

Libraries either answer for polygons that do not cross themselves, or repair them first (GEOS `make_valid`), which is
not even-odd where a line is drawn twice and takes a quarter of a minute for a scribble of 300 corners. Here the plane
is cut into bands between the heights of the corners. In a band every edge runs through from bottom to top, so a point
is compared with the few edges of its band, and all points of a band at once. Where a band has many edges, its points
are sorted first, and compared only with the edges that are near.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd

from ftft_core.dynamics import BoolArray, IntArray

FloatArray = npt.NDArray[np.float64]

PAIRS_AT_ONCE = 65_536
"""Pairs of a point and an edge that are compared together: their arrays stay in the processor's cache."""

SAMPLE = 1000
"""Points that are looked at to see whether many lie on one place."""

FEW_EDGES = 8
"""Up to this many edges of a band are compared with each of its points."""

_ROUNDING = (3 + 16 * 2.0**-53) * 2.0**-53
"""Largest relative error of a side's determinant in double precision (Shewchuk 1997, `ccwerrboundA`)."""

_SURE = 1e-12
"""Relative error that an edge's place at a level is far from having."""

_TINY = 1e-300
"""Determinants below this may have lost digits to underflow."""


def inside_polygon(x: FloatArray, y: FloatArray, corners: FloatArray) -> BoolArray:
    """(N,) true for the points on the polygon's line, or round which it winds an odd number of times.

    :param x: (N,) finite.
    :param y: (N,) finite.
    :param corners: (corners, 2) finite; the last is joined to the first.
    """
    (low_x, low_y), (high_x, high_y) = corners.min(axis=0), corners.max(axis=0)
    mask: BoolArray = (x >= low_x) & (x <= high_x) & (y >= low_y) & (y <= high_y)
    near = np.flatnonzero(mask)
    some = near[:: max(1, len(near) // SAMPLE)]
    if len(np.unique(x[some] + 1j * y[some])) < len(some) // 2:
        # Scores that count, such as correctness, put many points on few places: each place is looked at once.
        place_of, places = pd.factorize(x[near] + 1j * y[near])
        mask[near] = _inside(places.real, places.imag, corners)[place_of]
    else:
        mask[near] = _inside(x[near], y[near], corners)
    return mask


def is_flat(corners: FloatArray) -> bool:
    """Whether all corners lie on one line."""
    first = corners[0]
    other = corners[(corners != first).any(axis=1)]
    if len(other) == 0:
        return True
    return bool((_side(corners[:, 0], corners[:, 1], *first, *other[0]) == 0).all())


def _inside(x: FloatArray, y: FloatArray, corners: FloatArray) -> BoolArray:
    """As `inside_polygon`, for points at heights that the polygon has."""
    levels = np.unique(corners[:, 1])
    band = np.searchsorted(levels, y, side="right") - 1
    # A stable sort of 16-bit numbers is a radix sort, and there are at most 10,000 corners.
    order = np.argsort(band.astype(np.uint16), kind="stable")
    counts = np.bincount(band, minlength=len(levels))
    ends = np.cumsum(counts)
    edges = _upward(corners)
    bottom, top = np.searchsorted(levels, edges[:, 1]), np.searchsorted(levels, edges[:, 3])
    flat = edges[bottom == top]
    found = np.empty(len(x), dtype=bool)
    for number in np.flatnonzero(counts).tolist():
        rows = order[ends[number] - counts[number] : ends[number]]
        through = edges[(bottom <= number) & (number < top)]
        found[rows] = (_few if len(through) <= FEW_EDGES else _many)(x[rows], y[rows], through, levels, number)
        on_level = rows[y[rows] == levels[number]]
        if len(on_level):
            # Corners stand for the edges that end here from below; those that lie flat run through no band.
            here = corners[corners[:, 1] == levels[number], 0]
            lying = flat[flat[:, 1] == levels[number]]
            found[on_level] |= np.isin(x[on_level], here)
            for left, right in zip(lying[:, [0, 2]].min(axis=1), lying[:, [0, 2]].max(axis=1), strict=True):
                found[on_level] |= (x[on_level] >= left) & (x[on_level] <= right)
    return found


def _upward(corners: FloatArray) -> FloatArray:
    """(corners, 4) x and y of the lower and of the upper end of each edge."""
    ends = np.roll(corners, -1, axis=0)
    falls = (corners[:, 1] > ends[:, 1])[:, None]
    return np.hstack([np.where(falls, ends, corners), np.where(falls, corners, ends)])


def _few(x: FloatArray, y: FloatArray, edges: FloatArray, _: FloatArray, __: int) -> BoolArray:
    """(points,) whether each is on an edge, or left of an odd number of edges; every edge passes every height."""
    found = np.empty(len(x), dtype=bool)
    for start in range(0, len(x), PAIRS_AT_ONCE):
        some = slice(start, start + PAIRS_AT_ONCE)
        odd, on_edge = np.zeros(len(x[some]), dtype=bool), np.zeros(len(x[some]), dtype=bool)
        for edge in edges:
            side = _side(x[some], y[some], *edge)
            odd ^= side > 0
            on_edge |= side == 0
        found[some] = odd | on_edge
    return found


def _many(x: FloatArray, y: FloatArray, edges: FloatArray, levels: FloatArray, number: int) -> BoolArray:
    """As `_few`, for the band between two levels: only points near an edge are compared with it."""
    x1, y1, x2, y2 = edges.T
    with np.errstate(over="ignore", invalid="ignore"):
        share = (levels[number : number + 2, None] - y1) / (y2 - y1)  # (2, edges)
        at = x1 + share * (x2 - x1)
        margin = _SURE * (np.abs(x1) + np.abs(x2)) + _TINY
        low, high = at.min(axis=0) - margin, at.max(axis=0) + margin
    low, high = np.where(np.isfinite(low), low, -np.inf), np.where(np.isfinite(high), high, np.inf)
    order = np.argsort(x)
    first, last = np.searchsorted(x[order], low), np.searchsorted(x[order], high, side="right")
    # A point left of all that an edge covers in this band is left of the edge: count the edges that begin after it.
    begins = np.bincount(first, minlength=len(x) + 1)
    odd = (len(edges) - np.cumsum(begins)[:-1]) % 2 == 1  # in the order of x
    on_edge = np.zeros(len(x), dtype=bool)
    counts = last - first
    for some in _runs(counts):
        edge = np.repeat(np.arange(some.start, some.stop), counts[some])
        starts = np.cumsum(counts[some]) - counts[some]
        near = np.arange(len(edge)) - np.repeat(starts, counts[some]) + first[edge]
        side = _side(x[order][near], y[order][near], x1[edge], y1[edge], x2[edge], y2[edge])
        odd ^= np.bincount(near[side > 0], minlength=len(x)) % 2 == 1
        on_edge[near[side == 0]] = True
    found = np.empty(len(x), dtype=bool)
    found[order] = odd | on_edge
    return found


def _runs(counts: IntArray) -> list[slice]:
    """Slices of edges that have together at most `PAIRS_AT_ONCE` points, or are one edge."""
    parts = np.cumsum(counts) // PAIRS_AT_ONCE
    bounds = [0, *(np.flatnonzero(np.diff(parts)) + 1).tolist(), len(counts)]
    return [slice(start, stop) for start, stop in pairwise(bounds) if stop > start]


def _side(
    x: FloatArray,
    y: FloatArray,
    x1: FloatArray | float,
    y1: FloatArray | float,
    x2: FloatArray | float,
    y2: FloatArray | float,
) -> FloatArray:
    """(points,) above 0 where a point is left of the upward edge, 0 exactly where it is on its line."""
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        left, right = (x2 - x1) * (y - y1), (x - x1) * (y2 - y1)
        side: FloatArray = left - right
        doubtful = np.flatnonzero(~(np.abs(side) > _ROUNDING * (np.abs(left) + np.abs(right)) + _TINY))
    if len(doubtful):
        six = np.stack(np.broadcast_arrays(x, y, x1, y1, x2, y2))[:, doubtful]
        side[doubtful] = _exact_side(six)
    return side


def _exact_side(six: FloatArray) -> FloatArray:
    """(points,) sign of the determinant of (6, points) coordinates, in whole numbers of any size."""
    mantissa, exponent = np.frexp(six)
    whole = (mantissa * 2.0**53).astype(np.int64).astype(object)
    x, y, x1, y1, x2, y2 = np.left_shift(whole, (exponent - exponent.min()).astype(object))
    left, right = (x2 - x1) * (y - y1), (x - x1) * (y2 - y1)
    return np.asarray(left > right, dtype=np.float64) - np.asarray(left < right, dtype=np.float64)
