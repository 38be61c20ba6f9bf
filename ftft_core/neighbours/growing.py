"""A NumPy file that grows chunk by chunk, so that a killed process goes on where it was.

It has its final header from the start, under another name: `embeddings.npy.part` until the last row stands in it.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ftft_core.run_folder import sync_folder


class GrowingArray:
    """An array of N rows, those of which that are on disk."""

    def __init__(self, path: Path, shape: tuple[int, int], dtype: str, *, chunk_rows: int) -> None:
        self.path = path
        self.part = path.with_name(f"{path.name}.part")
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self._header = _header(shape, self.dtype)
        self._row_bytes = shape[1] * self.dtype.itemsize
        self.num_rows = shape[0] if path.exists() else self._rows_kept(chunk_rows)
        """Rows that are there; the caller goes on with the next one."""

    def _rows_kept(self, chunk_rows: int) -> int:
        # The last chunk was perhaps not synced when the machine lost power, so it is made again.
        try:
            with self.part.open("rb") as file:
                is_ours = file.read(len(self._header)) == self._header
        except FileNotFoundError:
            return 0
        if not is_ours or self._row_bytes == 0:
            return 0
        num_rows = (self.part.stat().st_size - len(self._header)) // self._row_bytes
        return max(0, num_rows // chunk_rows - 1) * chunk_rows

    def go_back(self, num_rows: int) -> None:
        """Forget the rows from `num_rows` on."""
        if self.path.exists():
            os.replace(self.path, self.part)
        self.num_rows = num_rows

    def append(self, rows: NDArray[Any]) -> None:
        """Add a chunk; it outlives a power loss.

        :raises OSError: when the disk is full.
        """
        assert rows.shape[1] == self.shape[1], rows.shape
        with self.part.open("r+b" if self.num_rows else "wb") as file:
            if not self.num_rows:
                file.write(self._header)
            file.truncate(len(self._header) + self.num_rows * self._row_bytes)
            file.seek(0, os.SEEK_END)
            file.write(np.ascontiguousarray(rows, dtype=self.dtype).tobytes())
            file.flush()
            os.fsync(file.fileno())
        self.num_rows += len(rows)

    def finish(self) -> NDArray[Any]:
        """Give the whole array its name, and map it into memory."""
        assert self.num_rows == self.shape[0], (self.num_rows, self.shape)
        if not self.path.exists():
            os.replace(self.part, self.path)
            sync_folder(self.path.parent)
        return np.load(self.path, mmap_mode="r") if self._row_bytes else np.load(self.path)


def _header(shape: tuple[int, int], dtype: np.dtype[Any]) -> bytes:
    buffer = io.BytesIO()
    facts = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, facts)
    return buffer.getvalue()
