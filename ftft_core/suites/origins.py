"""Where a suite came from: its spec and the local files that it names, so that what changed since can be told.

A workspace keeps a copy of every suite, so that changed files change no result; but who goes on with an experiment
after editing the data expects the new data in it. Files of the same size and time of change are not read again;
whether those of another content still make the same suite is asked of the suite itself.
"""

from __future__ import annotations

import glob
import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ftft_core.errors import SuiteError
from ftft_core.suites.loading import load_suite, sources_of
from ftft_core.suites.reading import HUB_PREFIX
from ftft_core.suites.spec import read_spec


def write_origin(path: Path, spec: Path, *, drop_leaked: bool) -> None:
    """Keep in a file which spec a suite was read from, how, and how its files look now."""
    where = spec.expanduser().resolve()
    files = {file: [*look, _digest(file)] for file, look in _looks(where).items()}
    values = {"spec": str(where), "drop_leaked": drop_leaked, "files": files}
    path.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def changed_files(path: Path, name: str, fingerprint: str) -> list[str]:
    """Give the files of a suite that are not as they were when `write_origin` was told, if they make another suite now.

    Nothing is said where the spec is gone or nobody kept where the suite came from; a file that is gone counts.

    :param fingerprint: of the suite as it was added.
    """
    with suppress(FileNotFoundError):
        kept = json.loads(path.read_text(encoding="utf-8"))
        spec = Path(kept["spec"])
        if spec.is_file():
            before, now = kept["files"], _looks(spec)
            touched = [file for file in dict.fromkeys([*before, *now]) if before.get(file, [])[:2] != now.get(file)]
            changed = [file for file in touched if file not in before or not _is_still(file, before[file][2])]
            if changed and not _makes(spec, name, fingerprint, drop_leaked=kept["drop_leaked"]):
                return changed
    return []


def _makes(spec: Path, name: str, fingerprint: str, *, drop_leaked: bool) -> bool:
    try:
        return load_suite(name, spec, drop_leaked=drop_leaked).fingerprint == fingerprint
    except SuiteError:
        return False


def _looks(spec: Path) -> dict[str, list[int]]:
    """Give size and time of change, in nanoseconds, of a spec and of the files that it names."""
    looks = {}
    for file in (spec, *_files_of(spec)):
        with suppress(OSError):
            found = file.stat()
            looks[str(file)] = [found.st_size, found.st_mtime_ns]
    return looks


def _is_still(file: str, digest: str | None) -> bool:
    """Whether a file has the bytes that it had; of a folder nobody knows."""
    return digest is not None and _digest(file) == digest


def _digest(file: str) -> str | None:
    """Give the sha256 (hex) of a file's bytes; None of a folder, or of what can't be read."""
    with suppress(OSError), open(file, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
    return None


def _files_of(spec: Path) -> Iterator[Path]:
    try:
        sources = sources_of(read_spec(spec))
    except SuiteError:
        return
    for source in sources:
        if not source.startswith(HUB_PREFIX):
            path = spec.parent / Path(source).expanduser()
            yield from [path] if path.is_file() else map(Path, sorted(glob.glob(str(path), recursive=True)))
