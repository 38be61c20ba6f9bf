"""The bytes of one file to rows: CSV, TSV, JSON lines and Parquet.

Owns what each format makes of its bytes, and the problems that only the format can see: bytes that are no UTF-8,
quotes that never close, rows with too many cells, lines that are no JSON. What a cell must be is `columns`.
A CSV cell is text exactly as written; in JSON and Parquet null is a missing value.
"""

from __future__ import annotations

import csv
import io
import json
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ftft_core.errors import one_of
from ftft_core.suites.problems import FilePart, Problems, shown

Cells = list[Any]


@dataclass(frozen=True)
class FileRows:
    """What one file holds: the wanted columns that it has, all of one length."""

    columns: tuple[str, ...]
    """Names of all columns of the file."""

    cells: dict[str, Cells]
    """The wanted columns that the file has."""

    num_rows: int

    lines: Sequence[int] | None
    """1-based line at which each row begins, for files of text."""


Reader = Callable[[bytes, str, Sequence[str], Problems], FileRows | None]
"""(content, file name for messages, wanted columns, problems) to rows; None if the file cannot be used at all."""

_BROKEN = re.compile("[\udc80-\udcff]")
_ROW_LOCK = threading.Lock()  # csv.field_size_limit belongs to the whole process


def read_csv(content: bytes, name: str, wanted: Sequence[str], problems: Problems) -> FileRows | None:
    """Read comma-separated values with a header row; empty lines are no rows."""
    text = _decode(content, name, problems)
    if text is None:
        return None
    rows, lines, fault = _split_rows(text, ",", quoted=True)
    return _named_columns(rows, lines, fault, name, wanted, problems)


def read_tsv(content: bytes, name: str, wanted: Sequence[str], problems: Problems) -> FileRows | None:
    """Read tab-separated values with a header row.

    Quotes follow the rules of CSV unless the file is one of the many that know no quoting: if every line, taken
    raw, has the header's number of cells while the rules of CSV are broken or would join lines, quotes are text.
    """
    text = _decode(content, name, problems)
    if text is None:
        return None
    rows, lines, fault = _split_rows(text, "\t", quoted=True)
    if '"' in text:
        raw_rows, raw_lines, _ = _split_rows(text, "\t", quoted=False)
        if len(set(map(len, raw_rows))) == 1 and (fault is not None or len(rows) < len(raw_rows)):
            rows, lines, fault = raw_rows, raw_lines, None
    return _named_columns(rows, lines, fault, name, wanted, problems)


def _decode(content: bytes, name: str, problems: Problems) -> str | None:
    """Decode UTF-8, keeping broken bytes as lone surrogates, which `_named_columns` reports where they stand."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        problems.add(f"{name}: the file is UTF-16; save it as UTF-8.")
        return None
    text = content.decode("utf-8-sig", errors="surrogateescape")
    if not text.strip():
        problems.add(f"{name}: the file is empty; a header row and data rows are needed.")
        return None
    return text


def _split_rows(text: str, delimiter: str, *, quoted: bool) -> tuple[list[list[str]], list[int], str | None]:
    """Rows, the 1-based line at which each begins, and what stopped the reading before the end, if anything."""
    rows: list[list[str]] = []
    lines: list[int] = []
    quoting: Literal[0, 3] = 0 if quoted else 3  # csv.QUOTE_MINIMAL and csv.QUOTE_NONE
    before = 0
    with _ROW_LOCK:
        limit = csv.field_size_limit(max(len(text), 131_072))
        try:
            reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting, strict=True)
            for row in reader:
                if row:
                    rows.append(row)
                    lines.append(before + 1)
                before = reader.line_num
        except csv.Error as failure:
            said = str(failure)
            if "unexpected end" in said:
                said = "a quote is opened here and never closed"
            elif "expected after" in said:
                said = 'a quote ends inside its cell; write " within a quoted cell as ""'
            return rows, lines, f"line {before + 1}: {said}"
        finally:
            csv.field_size_limit(limit)
    return rows, lines, None


def _named_columns(
    rows: list[list[str]],
    lines: list[int],
    fault: str | None,
    name: str,
    wanted: Sequence[str],
    problems: Problems,
) -> FileRows | None:
    if fault is not None:
        problems.add(f"{name}, {fault}.")
        return None
    header, rows, lines = rows[0], rows[1:], lines[1:]
    repeated = sorted({column for column in header if header.count(column) > 1})
    if repeated:
        problems.add(f"{name}: column names stand once each in the header; repeated: {one_of(repeated)}.")
        return None
    parts = [FilePart(name, 0, lines)]
    width = len(header)
    if any(count != width for count in set(map(len, rows))):
        ragged = [row for row, cells in enumerate(rows) if len(cells) != width]
        problems.add_rows(
            parts, ragged, None, lambda row: f"has {len(rows[row])} cells where the header has {width} columns."
        )
        return None
    present = [column for column in dict.fromkeys(wanted) if column in header]
    cells: dict[str, Cells] = {}
    for column in present:
        index = header.index(column)
        cells[column] = _reported_broken_bytes([row[index] for row in rows], parts, column, problems)
    return FileRows(tuple(header), cells, len(rows), lines)


def _reported_broken_bytes(values: Cells, parts: list[FilePart], column: str, problems: Problems) -> Cells:
    """Report cells with bytes that are no UTF-8, and return all cells without such bytes for the checks to come."""
    try:
        "".join(values).encode()
    except UnicodeEncodeError:
        broken = [row for row, value in enumerate(values) if _BROKEN.search(value)]
        problems.add_rows(
            parts,
            broken,
            column,
            lambda row: f"has bytes that are not UTF-8 ({_bytes_of(values[row])}); save as UTF-8.",
        )
        return [_BROKEN.sub("\ufffd", value) for value in values]
    return values


def _bytes_of(value: str) -> str:
    return " ".join(f"0x{ord(character) - 0xDC00:02x}" for character in _BROKEN.findall(value)[:4])


def read_json(content: bytes, name: str, wanted: Sequence[str], problems: Problems) -> FileRows | None:
    """Read one JSON object per line, or one JSON array of objects; a key that a row lacks is a missing value."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as failure:
        line = content.count(b"\n", 0, failure.start) + 1
        problems.add(
            f"{name}, line {line}: has bytes that are not UTF-8 (0x{content[failure.start]:02x}); save as UTF-8."
        )
        return None
    numbers: list[int] = []  # the line of each record
    records: list[Any] = []
    malformed: list[tuple[int, str]] = []
    if text.lstrip().startswith("["):
        try:
            records = json.loads(text)
        except ValueError as failure:
            problems.add(f"{name}: is not valid JSON: {failure}.")
            return None
    else:
        for number, line_text in enumerate(text.split("\n"), start=1):
            if not line_text.strip():
                continue
            try:
                records.append(json.loads(line_text))
                numbers.append(number)
            except ValueError as failure:
                malformed.append((number, f"is not valid JSON: {failure}."))
                records.append({})
                numbers.append(number)
    if not records:
        problems.add(f"{name}: the file is empty; one JSON object a line is needed.")
        return None
    lines = numbers or None
    parts = [FilePart(name, 0, lines)]
    if malformed:
        by_line = dict(malformed)
        at = [row for row, number in enumerate(numbers) if number in by_line]
        problems.add_rows(parts, at, None, lambda row: by_line[numbers[row]])
    wrong = [row for row, record in enumerate(records) if not isinstance(record, dict)]
    problems.add_rows(parts, wrong, None, lambda row: f"is not a JSON object: {shown(records[row])}.")
    if malformed or wrong:
        return None
    columns = tuple(dict.fromkeys(key for record in records for key in record))
    present = [column for column in dict.fromkeys(wanted) if column in columns]
    cells = {column: [record.get(column) for record in records] for column in present}
    return FileRows(columns, cells, len(records), lines)


def read_parquet(content: bytes, name: str, wanted: Sequence[str], problems: Problems) -> FileRows | None:
    """Read Parquet; integers of a column that `datasets` wrote as ClassLabel become the names of the classes."""
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(io.BytesIO(content))
        columns = tuple(file.schema_arrow.names)
        present = [column for column in dict.fromkeys(wanted) if column in columns]
        table = file.read(columns=present)
        cells: dict[str, Cells] = {column: table.column(column).to_pylist() for column in present}
    except (pyarrow.ArrowException, OSError, ValueError) as failure:
        problems.add(f"{name}: is not a readable Parquet file: {' '.join(str(failure).split())}.")
        return None
    metadata = (file.schema_arrow.metadata or {}).get(b"huggingface")
    features = json.loads(metadata).get("info", {}).get("features", {}) if metadata else {}
    for column in present:
        feature = features.get(column)
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel":
            cells[column] = class_names(cells[column], feature.get("names") or [])
    return FileRows(columns, cells, file.metadata.num_rows, None)


def class_names(values: Cells, names: Sequence[str]) -> Cells:
    """Names of the classes in place of their integers; -1, which stands for no label, becomes missing."""
    known: dict[Any, Any] = dict(enumerate(names))
    known[-1] = None
    return [known.get(value, value) for value in values]


READERS: dict[str, Reader] = {
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".jsonl": read_json,
    ".json": read_json,
    ".ndjson": read_json,
    ".parquet": read_parquet,
}
"""Ending of a file name to its reader; any of them may be followed by .gz."""
