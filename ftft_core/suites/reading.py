"""A source of a spec to a table of raw cells: a file, a glob, a folder of `datasets`, or a data set on the hub.

Owns how a source is named and found. What a file's bytes mean is `formats`, what a cell must be is `columns`.
"""

from __future__ import annotations

import glob
import gzip
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pandas

from ftft_core.errors import one_of, unknown
from ftft_core.suites.formats import READERS, Cells, FileRows, class_names
from ftft_core.suites.problems import FilePart, Problems

HUB_PREFIX = "hf://"
_HUB_KEYS = ("split", "config", "revision")
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")


@dataclass(frozen=True)
class Table:
    """Raw cells of one source: the wanted columns, all of one length."""

    parts: tuple[FilePart, ...]
    """The files that the rows come from, for messages."""

    cells: dict[str, Cells]
    num_rows: int

    @property
    def name(self) -> str:
        """The source as messages call it."""
        return self.parts[0].name if len(self.parts) == 1 else f"{self.parts[0].name} and {len(self.parts) - 1} more"


def read_source(source: str, folder: Path, wanted: Sequence[str], problems: Problems) -> Table | None:
    """Read the wanted columns of a source.

    :param folder: paths are relative to it.
    :returns: None if there was a problem, which then stands in `problems`.
    """
    location, options, fault = _split_options(source)
    if fault is not None:
        problems.add(f"{source}: {fault}")
        return None
    if "\0" in location:
        problems.add(f"{source!r}: a path holds no NUL character.")
        return None
    try:
        path = folder / Path(location).expanduser()
        path.exists()  # a name may be longer than any file's, or in a folder that others may not look into
    except RuntimeError as failure:  # `~nobody`
        problems.add(f"{source}: {_first_line(failure)}")
        return None
    except OSError as failure:
        problems.add(f"{source}: the file cannot be read: {failure.strerror or failure}.")
        return None
    if location.startswith(HUB_PREFIX) and not _HUB_NAME.fullmatch(location.removeprefix(HUB_PREFIX)):
        problems.add(f"{source}: a data set on the hub is written {HUB_PREFIX}owner/name?split=train.")
        return None
    if location.startswith(HUB_PREFIX) or path.is_dir():
        rows = _read_datasets(source, location, path, options, wanted, problems)
        return _joined([(source, rows)], wanted, problems) if rows is not None else None
    if options:
        problems.add(
            f"{source}: there is no folder '{location}'; only folders and {HUB_PREFIX} sources have '?' options."
        )
        return None
    if path.exists() or not any(sign in location for sign in "*?["):
        found = [(location, path)]
    else:
        matches = sorted(glob.glob(str(path), recursive=True))
        found = [(_relative(Path(match), folder), Path(match)) for match in matches if Path(match).is_file()]
        if not found:
            problems.add(f"{source}: no file matches this pattern in '{folder.resolve()}'.")
            return None
    read = [(name, _read_file(name, file, wanted, problems)) for name, file in found]
    usable = [(name, rows) for name, rows in read if rows is not None]
    # Columns of the usable files are still checked, so that their problems are told together with the others'.
    table = _joined(usable, wanted, problems) if usable else None
    return table if len(usable) == len(read) else None


def table_of_frame(name: str, frame: pandas.DataFrame, wanted: Sequence[str], problems: Problems) -> Table | None:
    """Take the wanted columns of a data frame; its missing values become None."""
    columns = [str(column) for column in frame.columns]
    if len(set(columns)) < len(columns):
        problems.add(f"{name}: column names stand once each; received: {one_of(columns, limit=30)}.")
        return None
    cells: dict[str, Cells] = {}
    for column in dict.fromkeys(wanted):
        if column in columns:
            values = frame[frame.columns[columns.index(column)]]
            cells[column] = values.astype(object).where(values.notna(), None).tolist()
    return _joined([(name, FileRows(tuple(columns), cells, len(frame), None))], wanted, problems)


def location_of(source: str) -> str:
    """Give a source without its options."""
    return _split_options(source)[0]


def _split_options(source: str) -> tuple[str, dict[str, str], str | None]:
    """Location, options after the question mark, and what is wrong with them."""
    location, mark, query = source.partition("?")
    is_hub = source.startswith(HUB_PREFIX)
    if not mark or not (is_hub or "=" in query):  # without "=" the question mark belongs to a glob
        return source, {}, None
    options = dict(parse_qsl(query, keep_blank_values=True))
    for key in options:
        if key not in _HUB_KEYS:
            return location, {}, f"unknown option '{key}'; known options: {one_of(_HUB_KEYS)}."
    return location, options, None


def _relative(path: Path, folder: Path) -> str:
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


def _read_file(name: str, path: Path, wanted: Sequence[str], problems: Problems) -> FileRows | None:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    is_compressed = suffixes[-1:] == [".gz"]
    ending = (suffixes[:-1] if is_compressed else suffixes)[-1:]
    reader = READERS.get(ending[0]) if ending else None
    if reader is None:
        problems.add(f"{name}: unknown kind of file; known endings: {one_of(READERS)}, each also with .gz.")
        return None
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if is_compressed else content
    except FileNotFoundError:
        siblings = [file.name for file in path.parent.glob("*")] if path.parent.is_dir() else []
        hint = f" {unknown('file', path.name, sorted(siblings))}" if siblings else ""
        problems.add(f"{name}: the file does not exist in '{path.parent.resolve()}'.{hint}")
        return None
    except (OSError, EOFError, zlib.error) as failure:
        said = getattr(failure, "strerror", None) or failure
        problems.add(f"{name}: the file cannot be read: {said}.")
        return None
    return reader(content, name, wanted, problems)


def _joined(read: list[tuple[str, FileRows]], wanted: Sequence[str], problems: Problems) -> Table | None:
    """Put the rows of the files one after the other; a wanted column that a file lacks is a problem."""
    parts: list[FilePart] = []
    cells: dict[str, Cells] = {column: [] for column in dict.fromkeys(wanted)}
    start, is_whole = 0, True
    for name, rows in read:
        for column in cells:
            if column in rows.cells:
                cells[column] += rows.cells[column]
            else:
                is_whole = False
                problems.add(f"{name}: {unknown('column', column, rows.columns)}")
        if rows.num_rows == 0:
            is_whole = False
            problems.add(f"{name}: has a header but no rows.")
        parts.append(FilePart(name, start, rows.lines))
        start += rows.num_rows
    return Table(tuple(parts), cells, start) if is_whole else None


def _read_datasets(
    source: str, location: str, path: Path, options: dict[str, str], wanted: Sequence[str], problems: Problems
) -> FileRows | None:
    """Read a folder that `datasets` saved, a folder laid out as on the hub, or a data set on the hub."""
    import datasets  # heavy, and needed by few suites
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # whichever HTTP library it uses

    is_hub = location.startswith(HUB_PREFIX)
    split = options.get("split")
    try:
        if not is_hub and ((path / "dataset_dict.json").exists() or (path / "state.json").exists()):
            loaded: Any = datasets.load_from_disk(str(path))
        else:
            loaded = datasets.load_dataset(
                location.removeprefix(HUB_PREFIX) if is_hub else str(path),
                name=options.get("config"),
                split=split,
                revision=options.get("revision"),
            )
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError, HTTPError) as failure:
        where = "from the hub" if is_hub else "as a data set"
        problems.add(f"{source}: cannot be loaded {where}: {_first_line(failure)}")
        return None
    if isinstance(loaded, dict):
        chosen = split if split is not None else next(iter(loaded)) if len(loaded) == 1 else None
        if chosen is None:
            problems.add(f"{source}: has several splits ({one_of(loaded)}); add ?split=NAME.")
            return None
        if chosen not in loaded:
            problems.add(f"{source}: {unknown('split', chosen, loaded)}")
            return None
        loaded = loaded[chosen]
    present = [column for column in dict.fromkeys(wanted) if column in loaded.column_names]
    cells: dict[str, Cells] = {}
    for column in present:
        values = loaded.with_format("arrow").select_columns([column])[:].column(column).to_pylist()
        feature = loaded.features[column]
        cells[column] = class_names(values, feature.names) if isinstance(feature, datasets.ClassLabel) else values
    return FileRows(tuple(loaded.column_names), cells, len(loaded), None)


def _first_line(failure: Exception) -> str:
    said = (str(failure).strip() or type(failure).__name__).splitlines()[0]
    return said if said.endswith(".") else said + "."
