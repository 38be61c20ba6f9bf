"""Printing: one JSON document, or text for people; progress and remarks go to stderr."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from ftft_core.errors import InputError, one_of


def say(text: str) -> None:
    """Tell a person something beside the result."""
    Console(stderr=True, highlight=False, markup=False, soft_wrap=True).print(text)


def print_json(value: object) -> None:
    """Print one JSON document; what is missing is null."""
    sys.stdout.write(json.dumps(plain(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def print_text(text: str) -> None:
    """Print text as it is."""
    sys.stdout.write(text.rstrip("\n") + "\n")


def print_table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], *, title: str = "") -> None:
    """Print rows as a table; numbers are rounded for display and stand right."""
    rows = list(rows)
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        is_number = any(isinstance(row.get(column), (int, float)) for row in rows)
        table.add_column(column, justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_shown(row.get(column)) for column in columns))
    width = None if sys.stdout.isatty() else 200
    Console(highlight=False, markup=False, width=width).print(table)


def plain(value: Any) -> Any:
    """Turn frames, NumPy values, times and missing values into what JSON has."""
    match value:
        case pd.DataFrame():
            return [plain(row) for row in value.to_dict("records")]
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple() | set() | np.ndarray():
            return [plain(item) for item in value]
        case np.generic():
            return plain(value.item())
        case float() if not math.isfinite(value):
            return None
        case datetime():
            return None if value is pd.NaT else value.isoformat()
        case None | bool() | int() | float() | str():
            return value
        case Path():
            return str(value)
    return None if value is pd.NA or value is pd.NaT else str(value)


def _shown(value: Any) -> str:
    value = plain(value)
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def write_frame(frame: pd.DataFrame, path: str | Path) -> Path:
    """Write a frame as CSV, Parquet or JSON lines, by the ending of the name; the file appears whole or not at all.

    :raises InputError: for another ending, or a folder that can't be written to.
    """
    return write_whole(path, _FRAME_WRITERS, frame)


def write_whole(path: str | Path, writers: Mapping[str, Callable[[Any, Path], None]], value: Any) -> Path:
    """Write `value` by the writer for the path's ending; the file appears whole or not at all."""
    path = Path(path)
    if path.suffix.lower() not in writers:
        raise InputError(f"The file {path}: received the ending '{path.suffix}'; allowed are {one_of(writers)}.")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        writers[path.suffix.lower()](value, temporary)
        os.replace(temporary, path)
    except OSError as failure:
        raise InputError(f"The file {path} can't be written ({failure.strerror or failure}).") from failure
    finally:
        with suppress(OSError):
            temporary.unlink()
    return path


def _write_csv(frame: pd.DataFrame, path: Path) -> None:
    frame.to_csv(path, index=False)


def _write_parquet(frame: pd.DataFrame, path: Path) -> None:
    frame.to_parquet(path, index=False)


def _write_json_lines(frame: pd.DataFrame, path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in plain(frame))


_FRAME_WRITERS = {".csv": _write_csv, ".parquet": _write_parquet, ".jsonl": _write_json_lines}
