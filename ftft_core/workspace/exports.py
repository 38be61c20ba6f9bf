"""Writing examples to files batch by batch: CSV, JSON lines, Parquet, or a folder of Hugging Face `datasets`.

Owns formats, and that a file or folder appears whole or not at all. Texts are written as they are: a spreadsheet that
opens a CSV file takes a text that begins with =, +, - or @ for a formula, so open such a file as data there, or use
another format.
"""

from __future__ import annotations

import itertools
import os
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from ftft_core.errors import InputError, one_of, unknown

FORMATS = ("csv", "jsonl", "parquet", "datasets")
_FORMAT_OF_ENDING = {".csv": "csv", ".jsonl": "jsonl", ".parquet": "parquet", ".zip": "datasets", "": "datasets"}

Batches = Iterable[pa.Table]
"""Tables of one schema, at least one; with the single column `line` for JSON lines."""


def format_of(path: Path, given: str | None) -> str:
    """Give the format to write: the one that was given, or that of the path's ending.

    :raises InputError: for an unknown one.
    """
    if given is not None:
        if given not in FORMATS:
            raise InputError(unknown("format", given, FORMATS))
        return given
    ending = path.suffix.lower()
    if ending not in _FORMAT_OF_ENDING:
        allowed = one_of(filter(None, _FORMAT_OF_ENDING))
        raise InputError(
            f"The file {path}: received the ending '{path.suffix}'; allowed are {allowed}, or none for a folder of "
            "datasets. Or name the format."
        )
    return _FORMAT_OF_ENDING[ending]


def write_batches(path: Path, kind: str, batches: Batches, *, labels: tuple[str, ...]) -> None:
    """Write batches to a file, or to a folder of `datasets` (zipped where the path ends in .zip).

    A file that is there is replaced; a folder that is there and not empty is not.

    :param labels: the suite's, in their order; the class labels of `datasets`.
    :raises InputError: when the path can't be written.
    """
    is_folder = kind == "datasets" and path.suffix.lower() != ".zip"
    if is_folder and path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise InputError(f"The folder {path} is there already and not empty; choose another, or remove it first.")
    if not is_folder and path.is_dir():
        raise InputError(f"The file {path} can't be written (it is a folder); give a file's name.")
    with _temporary(path) as temporary:
        if kind == "datasets":
            _write_datasets(temporary, batches, labels, zip_as=None if is_folder else path.stem)
        else:
            _FILE_WRITERS[kind](temporary, iter(batches))
        if is_folder and path.exists():
            path.rmdir()
        os.replace(temporary, path)


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """Give a name beside `path` that is gone afterwards, whatever was written there."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        yield temporary
    except OSError as failure:
        # pyarrow puts the temporary name and more into strerror; the system's words for the number are enough.
        said = os.strerror(failure.errno) if failure.errno else str(failure)
        raise InputError(f"The file {path} can't be written ({said}).") from failure
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


def _write_csv(path: Path, batches: Iterator[pa.Table]) -> None:
    first = next(batches)
    with pyarrow.csv.CSVWriter(path, first.schema) as writer:
        writer.write_table(first)
        for batch in batches:
            writer.write_table(batch)


def _write_parquet(path: Path, batches: Iterator[pa.Table]) -> None:
    first = next(batches)
    with pq.ParquetWriter(path, first.schema) as writer:
        writer.write_table(first)
        for batch in batches:
            writer.write_table(batch)


def _write_json_lines(path: Path, batches: Iterator[pa.Table]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for batch in batches:
            file.writelines(f"{line}\n" for line in batch["line"].to_pylist())


_FILE_WRITERS: dict[str, Callable[[Path, Iterator[pa.Table]], None]] = {
    "csv": _write_csv,
    "parquet": _write_parquet,
    "jsonl": _write_json_lines,
}


def _write_datasets(path: Path, batches: Batches, labels: tuple[str, ...], *, zip_as: str | None) -> None:
    import datasets

    staging = path.with_name(f"{path.name}.rows")
    staging.mkdir()
    try:
        _write_stream(staging / "rows.arrow", iter(batches), labels, datasets)
        was_quiet = datasets.are_progress_bars_disabled()
        datasets.disable_progress_bars()
        try:
            folder = path if zip_as is None else staging / "folder"
            rows = datasets.Dataset.from_file(str(staging / "rows.arrow"))
            # Without a row it would write no file at all, and refuse to load what it wrote.
            rows.save_to_disk(str(folder), num_shards=None if len(rows) else 1)
        finally:
            if not was_quiet:
                datasets.enable_progress_bars()
        if zip_as is not None:
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
                for file in sorted(folder.iterdir()):
                    archive.write(file, f"{zip_as}/{file.name}")
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _write_stream(path: Path, batches: Iterator[pa.Table], labels: tuple[str, ...], datasets: Any) -> None:
    """Write batches as an Arrow stream whose schema says which columns are class labels."""
    first = next(batches)
    features = datasets.Features.from_arrow_schema(first.schema)
    named = [name for name in ("label", "predicted_label") if name in first.column_names]
    for name in named:
        features[name] = datasets.ClassLabel(names=list(labels))
    schema = features.arrow_schema
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        for batch in itertools.chain([first], batches):
            for name in named:
                place = batch.schema.get_field_index(name)
                indices = pc.index_in(batch[name], value_set=pa.array(list(labels), pa.string()))
                batch = batch.set_column(place, name, indices.cast(pa.int64()))
            writer.write_table(batch.cast(schema))
