"""Files that appear whole or not at all: written under a temporary name, synced, renamed, and the folder synced."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq


def write_json(path: Path, value: dict[str, Any], *, durable: bool = True) -> None:
    """Replace a JSON file whole; `durable` syncs it, so that it outlives a power loss."""
    with _replacing(path, durable=durable) as temporary:
        temporary.write_text(json.dumps(value, indent=1), encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that `write_json` wrote.

    :raises ValueError: when it is damaged.
    """
    value = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise ValueError(f"{path} holds no object")
    return value


def write_parquet(path: Path, table: pa.Table) -> None:
    """Write a Parquet file that appears whole or not at all, and outlives a power loss."""
    with _replacing(path, durable=True) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def sync_folder(folder: Path) -> None:
    """Make renames within a folder outlive a power loss."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make a file's content outlive a power loss."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def stale_files(folders: Iterable[Path]) -> list[Path]:
    """Give the half-written files that processes left which have ended since."""
    stale = []
    for folder in folders:
        for path in folder.glob(".*.new"):
            writer = path.name.split(".")[-2]
            with suppress(FileNotFoundError):
                if path.is_file() and writer.isdigit() and not _may_write(int(writer), path.stat().st_mtime):
                    stale.append(path)
    return stale


def _may_write(pid: int, modified_at: float) -> bool:
    """Whether the process that has this number now may be the one that wrote a file then."""
    try:
        return psutil.Process(pid).create_time() <= modified_at + 1.0
    except psutil.NoSuchProcess:
        return False


@contextmanager
def _replacing(path: Path, *, durable: bool) -> Iterator[Path]:
    # Threads of one process, as those of the app, may write the same file at once.
    temporary = path.with_name(f".{path.name}.{threading.get_native_id()}.{os.getpid()}.new")
    try:
        yield temporary
        if durable:
            sync_file(temporary)
        os.replace(temporary, path)
        if durable:
            sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)
