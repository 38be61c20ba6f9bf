"""Texts to embeddings to neighbours, chunk by chunk; what a kill leaves is gone on from.

The same texts, model and machine give the same files, killed in between or not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ftft_core.modeling.device import describe_device
from ftft_core.modeling.embedding import Embedder, load_embedder
from ftft_core.modeling.nearest import Neighbours
from ftft_core.neighbours.folder import FORMAT_VERSION, NUM_NEIGHBOURS, SPLITS
from ftft_core.neighbours.growing import GrowingArray
from ftft_core.run_folder import write_json
from ftft_core.suites import TRAIN, count_examples, iterate_texts, split_names

CHUNK_ROWS = 2048
"""Texts that are embedded between two writes, and at most twice as many that a kill loses."""
NEIGHBOUR_ROWS = 16_384

_RANDOM_PAIRS = 100_000

Report = Callable[[str, int, int], None]
"""Is called with the stage, and how many of how many examples it has done."""


def build(
    suite_folder: Path,
    folder: Path,
    *,
    model: str,
    location: str,
    max_length: int,
    report: Report,
    chunk_rows: int = CHUNK_ROWS,
    neighbour_rows: int = NEIGHBOUR_ROWS,
) -> None:
    """Embed the training texts of a suite, and find the neighbours of each, and of the texts of the other splits.

    :param suite_folder: the suite as `write_suite` wrote it.
    :param folder: of this embedding, see `folder`.
    :param model: as it is named to people.
    :param location: folder or hub name to load.
    :raises FTFTError: when suite or model can't be used.
    """
    began = time.monotonic()
    folder.mkdir(exist_ok=True)
    num_examples = count_examples(suite_folder, TRAIN)
    embedder = load_embedder(location, max_length=max_length)
    embeddings = _embed(suite_folder, folder, embedder, num_examples, chunk_rows, report)
    cells = folder / "cells.npz"
    finder = _find_neighbours(folder, embedder, embeddings, cells, neighbour_rows, report)
    _match_splits(suite_folder, folder, embedder, finder, num_examples, chunk_rows, report)
    cells.unlink(missing_ok=True)
    about: dict[str, Any] = {
        "format": FORMAT_VERSION,
        "model": model,
        "max_length": max_length,
        "num_examples": num_examples,
        "num_dimensions": int(embeddings.shape[1]),
        "num_neighbours": min(NUM_NEIGHBOURS, num_examples - 1),
        "is_exact": finder.is_exact,
        "random_cosine": _random_cosine(embeddings),
        **describe_device(embedder.accelerator).as_dict(),
        "seconds": time.monotonic() - began,
        "finished_at": time.time(),
    }
    write_json(folder / "about.json", about)


def _embed(
    suite_folder: Path, folder: Path, embedder: Embedder, num_examples: int, chunk_rows: int, report: Report
) -> NDArray[np.float16]:
    shape = (num_examples, embedder.num_dimensions)
    array = GrowingArray(folder / "embeddings.npy", shape, "<f2", chunk_rows=chunk_rows)
    report("embedding", array.num_rows, num_examples)
    if array.num_rows < num_examples:
        for split in iterate_texts(suite_folder, TRAIN, batch_size=chunk_rows, start=array.num_rows):
            done = array.num_rows

            def count(num_texts: int) -> None:
                nonlocal done
                done += num_texts
                report("embedding", done, num_examples)

            array.append(embedder.embed(split, after_batch=count))
    return array.finish()


class _NeighbourFiles:
    """The two files of neighbours and their cosines, which grow together.

    :param k: neighbours of each of `num_rows` texts.
    """

    def __init__(self, folder: Path, num_rows: int, k: int, chunk_rows: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._parts = [
            GrowingArray(folder / f"{name}.npy", (num_rows, k), dtype, chunk_rows=chunk_rows)
            for name, dtype in (("neighbours", "<i4"), ("cosines", "<f2"))
        ]
        self.start = min(part.num_rows for part in self._parts)
        """Rows that are there already."""
        if self.start < num_rows:
            for part in self._parts:
                part.go_back(self.start)

    def append(self, *found: NDArray[Any]) -> None:
        for part, rows in zip(self._parts, found, strict=True):
            part.append(rows)

    def finish(self) -> None:
        for part in self._parts:
            part.finish()


def _find_neighbours(
    folder: Path, embedder: Embedder, embeddings: NDArray[np.float16], cells: Path, chunk_rows: int, report: Report
) -> Neighbours:
    num_examples = len(embeddings)
    k = min(NUM_NEIGHBOURS, num_examples - 1)
    found = _NeighbourFiles(folder, num_examples, k, chunk_rows)
    report("neighbours", found.start, num_examples)
    finder = Neighbours(embeddings, embedder.device, keep_cells=cells)
    for first in range(found.start, num_examples, chunk_rows):
        rows = range(first, min(first + chunk_rows, num_examples))
        found.append(*finder.nearest(rows, k))
        report("neighbours", rows.stop, num_examples)
    found.finish()
    return finder


def _match_splits(
    suite_folder: Path,
    folder: Path,
    embedder: Embedder,
    finder: Neighbours,
    num_examples: int,
    chunk_rows: int,
    report: Report,
) -> None:
    """Find the training texts nearest to those of the other splits; their own vectors are not kept."""
    sizes = {name: count_examples(suite_folder, name) for name in split_names(suite_folder) if name != TRAIN}
    k, total = min(NUM_NEIGHBOURS, num_examples), sum(sizes.values())
    found = {name: _NeighbourFiles(folder / SPLITS / name, size, k, chunk_rows) for name, size in sizes.items()}
    done = sum(each.start for each in found.values())
    report("splits", done, total)

    def count(num_texts: int) -> None:
        nonlocal done
        done += num_texts
        report("splits", done, total)

    for name, files in found.items():
        if files.start < sizes[name]:
            for texts in iterate_texts(suite_folder, name, batch_size=chunk_rows, start=files.start):
                files.append(*finder.nearest_to(embedder.embed(texts, after_batch=count), k))
        files.finish()


def _random_cosine(embeddings: NDArray[np.float16]) -> float | None:
    """Give the cosine that one in a thousand pairs of random examples exceeds; None where there are no pairs."""
    random = np.random.default_rng(0)
    first, second = np.sort(random.integers(0, len(embeddings), (2, min(_RANDOM_PAIRS, 10 * len(embeddings)))), axis=0)
    first, second = first[first != second], second[first != second]
    if len(first) == 0:
        return None
    products = [
        np.einsum("nd,nd->n", embeddings[a].astype(np.float32), embeddings[b].astype(np.float32))
        for a, b in zip(np.array_split(first, 10), np.array_split(second, 10), strict=True)
    ]
    # Unit vectors in half precision: the product of two that are the same may be a little over 1.
    return float(np.quantile(np.concatenate(products).clip(-1, 1), 0.999))
