"""Where a suite came from: its spec and the local files that it names, so that what changed since can be told.

A workspace keeps a copy of every suite, so that changed files change no result; but who goes on with an experiment
after editing the data expects the new data in it. Files of the same size and time of change are not read again;
whether those of another content still make the same suite is asked of the suite itself.
"""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ftft_core.config import Config
from ftft_core.errors import SuiteError
from ftft_core.suites.loading import load_suite, sources_of
from ftft_core.suites.reading import HUB_PREFIX, location_of
from ftft_core.suites.spec import SpecText, read_spec


class Origin(Config):
    """Where a suite was read from, how, and how its local files looked then."""

    spec: str | None = None
    """The spec's file; null where it was given as text."""

    text: str = ""
    """The spec itself, where it stands in no file."""

    folder: str = ""
    """What the paths in the text are relative to."""

    drop_leaked: bool
    """Whether texts of other splits were left out of training."""

    files: dict[str, tuple[int, int, str | None]]
    """Path -> size in bytes, time of change in nanoseconds, and sha256 (hex) of the content."""

    @property
    def source(self) -> Path | SpecText:
        """The spec as `load_suite` takes it."""
        return SpecText(self.text, Path(self.folder)) if self.spec is None else Path(self.spec)


def origin_of(spec: Path | SpecText, *, drop_leaked: bool) -> Origin:
    """Say where a suite is read from.

    :raises OSError: when its files can't be looked at.
    """
    if isinstance(spec, SpecText):
        origin = Origin(text=spec.text, folder=os.path.abspath(spec.folder), drop_leaked=drop_leaked, files={})
    else:
        origin = Origin(spec=os.path.abspath(spec.expanduser()), drop_leaked=drop_leaked, files={})
    files = {file: (*look, _digest(file)) for file, look in _looks(origin.source).items()}
    return origin.model_copy(update={"files": files})


def look_again(origin: Origin, name: str, fingerprint: str) -> tuple[list[str], Origin]:
    """Give the files that are not as they were, if they make another suite now; and the origin with how they look now.

    Nothing is said where the spec, or the folder that its paths are relative to, is gone, or where the hub that a part
    of the suite came from does not answer. A file that is gone has changed.

    :param fingerprint: of the suite as it was added.
    :raises OSError: when the files can't be looked at.
    """
    spec, before = origin.source, origin.files
    if not (spec.folder.is_dir() if isinstance(spec, SpecText) else spec.is_file()):
        return [], origin
    now = _looks(spec)
    touched = [file for file in {**before, **now} if before.get(file, ())[:2] != now.get(file)]
    changed = [file for file in touched if file not in before or file not in now or _digest(file) != before[file][2]]
    if changed and not _makes(spec, name, fingerprint, drop_leaked=origin.drop_leaked):
        return changed, origin
    files = {file: (*look, _digest(file) if file in touched else before[file][2]) for file, look in now.items()}
    return [], origin.model_copy(update={"files": files})


def _makes(spec: Path | SpecText, name: str, fingerprint: str, *, drop_leaked: bool) -> bool:
    try:
        return load_suite(name, spec, drop_leaked=drop_leaked).fingerprint == fingerprint
    except SuiteError:
        return any(source.startswith(HUB_PREFIX) for source in _sources(spec))


def _looks(spec: Path | SpecText) -> dict[str, tuple[int, int]]:
    """Give size and time of change, in nanoseconds, of a spec's file and of the local files that it names."""
    folder = spec.folder if isinstance(spec, SpecText) else spec.parent
    files = [] if isinstance(spec, SpecText) else [spec]
    for source in _sources(spec):
        if not source.startswith(HUB_PREFIX):
            path = folder / os.path.expanduser(location_of(source))  # which leaves `~nobody` as it is
            matches = [path] if path.exists() else map(Path, sorted(glob.glob(str(path), recursive=True)))
            for match in matches:
                files += sorted(match.rglob("*")) if match.is_dir() else [match]
    looks = {}
    for file in filter(Path.is_file, files):
        found = file.stat()
        looks[str(file)] = (found.st_size, found.st_mtime_ns)
    return looks


def _sources(spec: Path | SpecText) -> Sequence[str]:
    try:
        return sources_of(read_spec(spec))
    except SuiteError:
        return ()


def _digest(file: str) -> str | None:
    """Give the sha256 (hex) of a file's bytes; None of what can't be read."""
    with suppress(OSError), open(file, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
    return None
