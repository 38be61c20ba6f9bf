"""Nearest rows, arrays that grow on disk, and groups of rows that hang together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ftft_core.modeling import nearest as nearest_module
from ftft_core.modeling.nearest import Neighbours
from ftft_core.neighbours import duplicate_groups
from ftft_core.neighbours.growing import GrowingArray


def unit(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def by_hand(vectors: np.ndarray[Any, Any], k: int) -> np.ndarray[Any, Any]:
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -2)
    return np.argsort(-cosines, axis=1, kind="stable")[:, :k]


def test_all_with_all_gives_the_nearest() -> None:
    vectors = unit(np.random.default_rng(0).standard_normal((300, 16)))
    finder = Neighbours(vectors, torch.device("cpu"))
    ids, cosines = finder.nearest(range(100, 300), 10)
    assert finder.is_exact
    assert (ids.dtype, cosines.dtype, ids.shape) == (np.int32, np.float16, (200, 10))
    expected = by_hand(vectors, 10)[100:]
    assert np.mean(ids == expected) > 0.99  # float16 may swap two that are all but equally near
    assert (np.sort(ids, axis=1) == np.sort(expected, axis=1)).all()
    assert (np.diff(cosines.astype(np.float32), axis=1) <= 0).all()


def test_equally_near_rows_stand_in_their_own_order_and_no_row_is_its_own_neighbour() -> None:
    vectors = unit(np.array([[1.0, 0], [1, 0], [0, 1], [1, 0], [-1, 0]]))
    ids, cosines = Neighbours(vectors, torch.device("cpu")).nearest(range(5), 4)
    assert ids.tolist() == [[1, 3, 2, 4], [0, 3, 2, 4], [0, 1, 3, 4], [0, 1, 2, 4], [2, 0, 1, 3]]
    assert cosines[0].tolist() == [1, 1, 0, -1]


def test_other_vectors_find_the_nearest_rows() -> None:
    rows, others = (unit(np.random.default_rng(seed).normal(size=(count, 8))) for seed, count in ((0, 50), (1, 7)))
    neighbours, cosines = Neighbours(rows, torch.device("cpu")).nearest_to(others, 3)
    expected = others @ rows.T
    assert neighbours.tolist() == np.argsort(-expected, axis=1)[:, :3].tolist()
    np.testing.assert_allclose(cosines, -np.sort(-expected, axis=1)[:, :3], atol=1e-3)


def test_cells_find_nearly_all_and_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(nearest_module, "EXACT_ROWS", 100)
    monkeypatch.setattr(nearest_module, "ROWS_PER_CELL", 20)
    monkeypatch.setattr(nearest_module, "PROBES", 25)
    random = np.random.default_rng(0)
    centres = random.standard_normal((60, 16))
    vectors = unit(centres[random.integers(0, 60, 2000)] + 0.5 * random.standard_normal((2000, 16)))
    finder = Neighbours(vectors, torch.device("cpu"), keep_cells=tmp_path / "cells.npz")
    ids, cosines = finder.nearest(range(2000), 10)
    assert not finder.is_exact
    expected = by_hand(vectors, 10)
    assert np.mean([len(set(a) & set(b)) / 10 for a, b in zip(ids, expected, strict=True)]) > 0.97
    assert (ids != np.arange(2000)[:, None]).all()
    true_cosines = np.einsum("nkd,nd->nk", vectors[ids], vectors)
    np.testing.assert_allclose(cosines.astype(np.float32), true_cosines, atol=1e-3)
    again = Neighbours(vectors, torch.device("cpu"), keep_cells=tmp_path / "cells.npz")
    assert (again.nearest(range(500, 600), 10)[0] == ids[500:600]).all()


def test_cells_of_equal_rows_still_give_k_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest_module, "EXACT_ROWS", 10)
    vectors = unit(np.repeat(np.eye(4), [500, 1, 1, 1], axis=0))
    ids, _ = Neighbours(vectors, torch.device("cpu")).nearest(range(503), 10)
    assert all(len(set(row)) == 10 for row in ids)
    assert (ids >= 0).all()


def test_a_growing_array_goes_on_after_a_kill_but_makes_its_last_chunk_again(tmp_path: Path) -> None:
    path, rows = tmp_path / "a.npy", np.arange(20, dtype=np.int32).reshape(10, 2)
    array = GrowingArray(path, (10, 2), "<i4", chunk_rows=3)
    for first in (0, 3, 6):
        array.append(rows[first : first + 3])
    with array.part.open("ab") as file:
        file.write(b"half")
    again = GrowingArray(path, (10, 2), "<i4", chunk_rows=3)
    assert again.num_rows == 6
    again.append(rows[6:9])
    again.append(rows[9:])
    assert (again.finish() == rows).all()
    assert not array.part.exists()
    assert GrowingArray(path, (10, 2), "<i4", chunk_rows=3).num_rows == 10


def test_a_growing_array_of_another_shape_begins_anew(tmp_path: Path) -> None:
    GrowingArray(tmp_path / "a.npy", (10, 2), "<i4", chunk_rows=1).append(np.zeros((4, 2), np.int32))
    assert GrowingArray(tmp_path / "a.npy", (10, 2), "<i4", chunk_rows=1).num_rows == 3
    assert GrowingArray(tmp_path / "a.npy", (11, 2), "<i4", chunk_rows=1).num_rows == 0


def test_groups_hang_together_through_links_and_are_numbered_by_their_first_example(tmp_path: Path) -> None:
    #   0 - 3 - 5 hang together though 0 and 5 do not name each other; 1 - 2 by one side alone; 4 is alone.
    np.save(tmp_path / "neighbours.npy", np.array([[3, 1], [0, 4], [1, 0], [0, 5], [1, 2], [3, 0]], np.int32))
    cosines = [[0.97, 0.1], [0.2, 0.1], [0.96, 0.1], [0.97, 0.96], [0.94, 0.9], [0.96, 0.3]]
    np.save(tmp_path / "cosines.npy", np.array(cosines, np.float16))
    positions, groups = duplicate_groups(tmp_path, 0.95)
    assert positions.tolist() == [0, 1, 2, 3, 5]
    assert groups.tolist() == [0, 1, 1, 0, 0]
    positions, _ = duplicate_groups(tmp_path, 0.99)
    assert positions.tolist() == []
