"""The nearest rows of a matrix of unit vectors, by cosine: exact where that is affordable, else within probed cells.

Exact: blocks of rows times all rows. Beyond `EXACT_ROWS` rows on a CPU the rows are cut into cells by spherical
k-means, and each row is compared with the rows of the cells whose centres are nearest to it (an inverted file). All
rows ask at once, so those that probe the same cell are answered by one matrix product. What that gives up beside a
graph index is told at `Cells`; it needs no library, and goes on after a kill to the same result.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

EXACT_ROWS = 200_000
"""Up to so many rows a CPU compares all with all; at 384 dimensions that took one core 86 seconds for 100,000 rows, and
four times as long for twice as many, which is still less than embedding as many texts. A GPU always does."""

ROWS_PER_CELL = 128
PROBES = 128
"""Cells that each row looks into, its own among them."""

_ROUNDS = 5
_SAMPLE_PER_CELL = 32
_SCORES_AT_ONCE = {"cpu": 2**25, "cuda": 2**28}


@dataclass(frozen=True, eq=False)
class Cells:
    """Rows cut into cells of similar direction.

    Recall of the 10 nearest with 128 probes, for rows of 384 dimensions that were drawn in clusters of 50 in a subspace
    of 48 and had noise added: 0.994 of 100,000 rows, 0.969 of 400,000. Planted near-duplicates (cosine 0.955 to 0.96)
    were all found: what is missed is far neighbours that are hardly nearer than others. On one core 100,000 rows took
    faiss IVF 40 to 74 seconds for 0.983 to 0.991, and HNSW (faiss, voyager, usearch) 70 to 120 seconds for 0.999;
    comparing all with all took 86.
    """

    centres: Tensor
    """(cells, d) float32, unit length."""

    order: Tensor
    """(N,) int64: the rows, those of the first cell first, in each cell in their own order."""

    starts: Tensor
    """(cells + 1,) int64: cell c holds `order[starts[c]:starts[c + 1]]`; no cell is empty."""


class Neighbours:
    """Finds the nearest rows of some rows at a time.

    :param vectors: (N, d), float16 or float32, unit length.
    :param keep_cells: a file to keep the cells in, so that whoever goes on has the same; made when it is not there.
    """

    def __init__(self, vectors: NDArray[np.floating], device: torch.device, *, keep_cells: Path | None = None) -> None:
        self._vectors = torch.from_numpy(np.array(vectors)).to(device)
        self.is_exact = device.type != "cpu" or len(vectors) <= EXACT_ROWS
        """Whether all rows are compared with all."""
        self._cells = None if self.is_exact else _kept_cells(self._vectors, keep_cells)
        if self.is_exact:
            self._vectors = self._vectors.float()

    def nearest(self, rows: range, k: int) -> tuple[NDArray[np.int32], NDArray[np.float16]]:
        """Give the k nearest other rows of some rows, nearest first, and their cosines.

        Rows that are equally near by float16 stand in their own order.

        :param k: at most N - 1.
        :returns: two arrays of shape (len(rows), k). Higher cosines are nearer.
        """
        queries = self._vectors[rows.start : rows.stop].float()
        own = torch.arange(rows.start, rows.stop, device=queries.device)
        scores, ids = self._find(queries, min(k + 1, len(self._vectors)))  # a row may find itself
        scores, places = scores.masked_fill(ids == own[:, None], -torch.inf).topk(k, dim=1)
        return _in_order(ids.gather(1, places), scores)

    def nearest_to(self, vectors: NDArray[np.floating], k: int) -> tuple[NDArray[np.int32], NDArray[np.float16]]:
        """Give the k rows that are nearest to other vectors, nearest first, and their cosines.

        :param vectors: (M, d), float16 or float32, unit length; :param k: at most N.
        :returns: two arrays of shape (M, k), as `nearest` gives them.
        """
        scores, ids = self._find(torch.from_numpy(np.array(vectors)).to(self._vectors.device).float(), k)
        return _in_order(ids, scores)

    def _find(self, queries: Tensor, wanted: int) -> tuple[Tensor, Tensor]:
        if self._cells is None:
            return _among_all(self._vectors, queries, wanted)
        return _in_cells(self._vectors, queries, wanted, self._cells)


def make_cells(vectors: Tensor) -> Cells:
    """Cut unit vectors, shape (N, d), into about N / `ROWS_PER_CELL` cells."""
    num_rows = len(vectors)
    num_cells = max(1, num_rows // ROWS_PER_CELL)
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randperm(num_rows, generator=generator)[: _SAMPLE_PER_CELL * num_cells].to(vectors.device)
    sample = vectors[chosen].float()
    centres = sample[:num_cells].clone()
    for _ in range(_ROUNDS):
        sums = torch.zeros_like(centres).index_add_(0, _nearest_centre(sample, centres), sample)
        lengths = sums.norm(dim=1, keepdim=True)
        # A centre that nothing is nearest to stays where it is.
        centres = torch.where(lengths > 0, sums / lengths.clamp_min(1e-12), centres)
    # Empty cells are left out, so that whoever looks into k + 1 cells finds k others.
    present, cell_of, counts = torch.unique(_nearest_centre(vectors, centres), return_inverse=True, return_counts=True)
    starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    return Cells(centres[present], torch.argsort(cell_of, stable=True), starts)


def _kept_cells(vectors: Tensor, path: Path | None) -> Cells:
    if path is not None and path.exists():
        with np.load(path) as kept:
            return Cells(*(torch.from_numpy(kept[name]) for name in ("centres", "order", "starts")))
    cells = make_cells(vectors)
    if path is not None:
        temporary = path.with_name(f".{path.name}.{os.getpid()}.new.npz")
        np.savez(temporary, centres=cells.centres.numpy(), order=cells.order.numpy(), starts=cells.starts.numpy())
        os.replace(temporary, path)
    return cells


def _among_all(vectors: Tensor, queries: Tensor, wanted: int) -> tuple[Tensor, Tensor]:
    blocks = queries.split(_rows_at_once(vectors, len(vectors)))
    found = [(block @ vectors.T).topk(wanted, dim=1) for block in blocks]
    return torch.cat([best.values for best in found]), torch.cat([best.indices for best in found])


def _in_cells(vectors: Tensor, queries: Tensor, wanted: int, cells: Cells) -> tuple[Tensor, Tensor]:
    num_cells = len(cells.centres)
    num_probes = min(max(PROBES, wanted), num_cells)
    probed = torch.cat([(block @ cells.centres.T).topk(num_probes, dim=1).indices for block in queries.split(4096)])
    probed = probed.flatten()  # (queries x probes,)
    scores = queries.new_full((len(queries), num_probes, wanted), -torch.inf)
    ids = torch.full(scores.shape, -1, dtype=torch.int32)
    by_cell = torch.argsort(probed, stable=True)
    bounds = [0, *torch.bincount(probed, minlength=num_cells).cumsum(0).tolist()]
    starts = cells.starts.tolist()
    for cell in range(num_cells):
        asking = by_cell[bounds[cell] : bounds[cell + 1]]
        if len(asking) == 0:
            continue
        members = cells.order[starts[cell] : starts[cell + 1]]
        theirs = vectors[members].float()
        count = min(wanted, len(members))
        for part in asking.split(_rows_at_once(vectors, len(members))):
            query, probe = part // num_probes, part % num_probes
            best = (queries[query] @ theirs.T).topk(count, dim=1, sorted=False)
            scores[query, probe, :count] = best.values
            ids[query, probe, :count] = members[best.indices].int()
    best = scores.flatten(1).topk(wanted, dim=1)
    return best.values, ids.flatten(1).gather(1, best.indices)


def _rows_at_once(vectors: Tensor, num_others: int) -> int:
    return max(1, _SCORES_AT_ONCE.get(vectors.device.type, 2**25) // num_others)


def _nearest_centre(vectors: Tensor, centres: Tensor) -> Tensor:
    return torch.cat([(block.float() @ centres.T).argmax(dim=1) for block in vectors.split(8192)])


def _in_order(ids: Tensor, scores: Tensor) -> tuple[NDArray[np.int32], NDArray[np.float16]]:
    neighbours = ids.cpu().numpy().astype(np.int32)
    cosines = scores.clamp(-1, 1).cpu().numpy().astype(np.float16)
    order = np.lexsort((neighbours, -cosines), axis=1)
    return np.take_along_axis(neighbours, order, axis=1), np.take_along_axis(cosines, order, axis=1)
