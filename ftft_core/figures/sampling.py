"""Which points of a map are drawn, and the density picture beneath them.

Owns the reduction of any number of examples to what a browser can show; not how it is drawn. What is drawn never
decides what is selected: membership is computed over all examples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MAX_DRAWN_POINTS = 30_000
"""Most points that a figure holds."""

SAMPLE_CELLS = 64
"""Cells along each axis of the grid that the sample is stratified by."""

DENSITY_CELLS = 160
"""Cells along each axis of the density picture."""

NO_BIN = 255
"""Bin of a value that is missing or outside."""

Window = tuple[float, float, float, float]
"""What is in view: lowest x, highest x, lowest y, highest y."""


@dataclass(frozen=True)
class Density:
    """Counts of all examples on a grid: edges are (cells + 1,), counts are (y cells, x cells)."""

    x_edges: npt.NDArray[np.float64]
    y_edges: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]


def drawn_rows(
    x: npt.NDArray[np.float64],
    y: npt.NDArray[np.float64],
    *,
    window: Window | None = None,
    limit: int = MAX_DRAWN_POINTS,
    seed: int = 0,
) -> npt.NDArray[np.int64]:
    """Return the row numbers to draw, ascending: all of them, or a fixed sample that keeps rare regions.

    The plane is cut into cells and every cell keeps at most the same number of points, the largest number for which
    the total stays within `limit`: a cell with few examples keeps all of them. The same input gives the same rows.

    :param window: draw only what lies in it. Rows with a missing coordinate are never drawn.
    """
    inside = np.isfinite(x) & np.isfinite(y)
    if window is not None:
        inside &= (x >= window[0]) & (x <= window[1]) & (y >= window[2]) & (y <= window[3])
    rows = np.flatnonzero(inside)
    if rows.size <= limit:
        return rows
    cells = (_cell(x[rows]) * SAMPLE_CELLS + _cell(y[rows])).astype(np.int16)  # 16 bits are sorted in one pass
    counts = np.bincount(cells, minlength=SAMPLE_CELLS * SAMPLE_CELLS)
    cap, spare = _cap_per_cell(counts, limit)
    order = np.random.default_rng(seed).permutation(rows.size)
    by_cell = order[np.argsort(cells[order], kind="stable")]  # shuffled within each cell, cells in order
    starts = np.cumsum(counts) - counts
    rank = np.arange(rows.size) - starts[cells[by_cell]]  # place of a point among those of its cell
    kept = by_cell[rank < cap]
    if spare:  # the rest of the budget, one more point from the first cells that have one
        kept = np.concatenate([kept, by_cell[rank == cap][:spare]])
    return np.sort(rows[kept])


def density(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], window: Window) -> Density:
    """Count all examples on a grid over `window`; those outside it or with a missing coordinate are not counted."""
    across = bins_of(x, (window[0], window[1]), DENSITY_CELLS)
    up = bins_of(y, (window[2], window[3]), DENSITY_CELLS)
    inside = (across != NO_BIN) & (up != NO_BIN)
    cells = up[inside].astype(np.int32) * DENSITY_CELLS + across[inside]
    counts = np.bincount(cells, minlength=DENSITY_CELLS * DENSITY_CELLS).reshape(DENSITY_CELLS, DENSITY_CELLS)
    return Density(
        x_edges=np.linspace(window[0], window[1], DENSITY_CELLS + 1),
        y_edges=np.linspace(window[2], window[3], DENSITY_CELLS + 1),
        counts=counts,
    )


def bins_of(values: npt.NDArray[np.float64], limits: tuple[float, float], number: int) -> npt.NDArray[np.uint8]:
    """(N,) bin of each value among `number` equal ones (at most 255), `NO_BIN` where it is missing or outside.

    A bin holds its lower edge; the last one holds its upper edge too.
    """
    low, high = limits
    places = (values - low) * (number / (high - low))
    bins = np.full(values.shape, NO_BIN, dtype=np.uint8)
    inside = (places >= 0) & (values <= high)
    bins[inside] = np.minimum(places[inside], number - 1).astype(np.uint8)
    return bins


def _cell(values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    low, high = float(values.min()), float(values.max())
    width = (high - low) or 1.0
    places = np.floor((values - low) / width * SAMPLE_CELLS).astype(np.int64)
    return np.minimum(places, SAMPLE_CELLS - 1)


def _cap_per_cell(counts: npt.NDArray[np.int64], limit: int) -> tuple[int, int]:
    """Largest cap with sum(min(count, cap)) <= limit, and how much of the limit it leaves."""
    low, high = 0, int(counts.max())
    while low < high:
        middle = (low + high + 1) // 2
        if int(np.minimum(counts, middle).sum()) <= limit:
            low = middle
        else:
            high = middle - 1
    return low, limit - int(np.minimum(counts, low).sum())
