"""Regions of a data map: which points lie in a polygon, a box, or between two thresholds.

Edges belong to the region. A null or NaN coordinate lies nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ftft_core.dynamics import BoolArray
from ftft_core.errors import InputError
from ftft_core.selection.polygons import inside_polygon, is_flat

MAX_POINTS = 10_000
"""Corners of a polygon; a lasso drawn by hand has some hundreds."""


def polygon_mask(x: npt.ArrayLike, y: npt.ArrayLike, polygon: Sequence[Sequence[float]] | npt.ArrayLike) -> BoolArray:
    """(N,) true for the points that the polygon takes; exact, whatever the coordinates.

    The rule: a point is taken if it lies on the drawn line (an edge or a corner, wherever the line goes, spikes and
    edges between two areas too), or if the line winds round it an odd number of times ("even-odd"). So the middle of
    a star drawn in one stroke is outside, and so is what a lasso goes round twice, in whichever direction.

    :param polygon: (corners, 2) in the units of `x` and `y`; the last corner is joined to the first.
    :raises InputError: unless there are 3 to 10,000 finite corners that do not all lie on one line.
    """
    xs, ys = _coordinates(x, y)
    try:
        corners = np.asarray(polygon, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError("A polygon must be a list of [x, y] numbers; received something else.") from None
    if corners.ndim != 2 or corners.shape[1:] != (2,) or not 3 <= len(corners) <= MAX_POINTS:
        raise InputError(
            f"A polygon needs 3 to {MAX_POINTS} corners [x, y]; received an array of shape {corners.shape}."
        )
    if not np.isfinite(corners).all():
        raise InputError("The corners of a polygon must be finite numbers; received NaN or infinity.")
    if is_flat(corners):
        raise InputError("The polygon encloses no area; draw round the examples that you want.")
    return inside_polygon(xs, ys, corners)


def box_mask(x: npt.ArrayLike, y: npt.ArrayLike, x_range: Sequence[float], y_range: Sequence[float]) -> BoolArray:
    """(N,) true for the points in the box or on its edge; each range is two finite numbers, in either order.

    :raises InputError: if a range is not.
    """
    xs, ys = _coordinates(x, y)
    (low_x, high_x), (low_y, high_y) = _range("x_range", x_range), _range("y_range", y_range)
    return (xs >= low_x) & (xs <= high_x) & (ys >= low_y) & (ys <= high_y)


def threshold_mask(values: npt.ArrayLike, *, low: float | None = None, high: float | None = None) -> BoolArray:
    """(N,) true where `low <= value <= high`; either bound may be left out. Null values are out.

    :raises InputError: if a bound is NaN or the lower one is above the upper one.
    """
    array = np.asarray(values, dtype=np.float64)
    if any(bound is not None and np.isnan(bound) for bound in (low, high)):
        raise InputError("A threshold is NaN; it must be a number, or left out.")
    if low is not None and high is not None and low > high:
        raise InputError(f"The lower threshold {low} is above the upper one {high}; nothing can lie between them.")
    mask = ~np.isnan(array)
    if low is not None:
        mask &= array >= low
    if high is not None:
        mask &= array <= high
    return mask


def _coordinates(x: npt.ArrayLike, y: npt.ArrayLike) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    xs, ys = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if xs.ndim != 1 or xs.shape != ys.shape:
        raise InputError(f"x has shape {xs.shape} and y {ys.shape}; both must be (examples,).")
    return xs, ys


def _range(name: str, bounds: Sequence[float]) -> tuple[float, float]:
    if len(bounds) != 2 or not np.isfinite(np.asarray(bounds, dtype=np.float64)).all():
        raise InputError(f"{name} is {list(bounds)}; it must be two finite numbers.")
    return float(min(bounds)), float(max(bounds))
