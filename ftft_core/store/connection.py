"""Opening the database: briefly, and with patience.

DuckDB lets one process write to a file, and shuts out every other process meanwhile, readers too. So a connection is
opened for one piece of work and closed after it. Threads of one process share one connection (DuckDB refuses to open
a file twice with different settings); if another process holds the file, opening waits with growing pauses, and the
error after the wait names that process. A process that does many small pieces of work in a row, as the app does for
every page and a command in all that it says, may let the connection linger: opening takes longer than most queries.

DuckDB's own lock is not enough. It reads the file's headers before it takes that lock and not again after it, so that
what another process commits in between would be overwritten. A lock file is therefore held from before a connection is
opened until after it is closed.

Whoever waits says so by touching a file. A process whose threads follow one another so closely that it would never let
go, as an app with several tabs does, then makes way: its next thread waits until the file was free for a moment.
"""

from __future__ import annotations

import atexit
import random
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb
import filelock
import psutil

from ftft_core.errors import InputError, WorkspaceBusyError, WorkspaceError
from ftft_core.run_folder import free_space_words
from ftft_core.run_folder.trouble import is_disk_full
from ftft_core.store.migrations import migrate

Connection = duckdb.DuckDBPyConnection

WAIT_SECONDS = 30.0
"""How long opening waits for another process."""

_FIRST_PAUSE_SECONDS = 0.01
_LONGEST_PAUSE_SECONDS = 0.1

_TURN_SECONDS = 0.5
"""How long a process may go on taking up new work while another waits."""

_AWAY_SECONDS = 0.2
"""How long it then keeps away: longer than the longest pause of those who wait."""

_PATIENCE_SECONDS = 5.0
"""A thread waits no longer than this for the others of its process: they may be waiting for it."""

_LINGER_SECONDS = 0.25
"""About until the next piece of the same page, or command, reads too."""

_LOOK_SECONDS = 0.05
"""How often a connection that lingers looks whether another process waits for it."""

_DAMAGE = (duckdb.Error, duckdb.IOException, duckdb.FatalException, duckdb.SerializationException)
"""What DuckDB raises on a damaged or unreachable file; a mistake of ours is one of its other kinds."""

_registry: dict[Path, Database] = {}
_registry_lock = threading.Lock()


def open_database(path: Path) -> Database:
    """Give the one `Database` of this process for a file."""
    path = path.resolve()
    with _registry_lock:
        return _registry.setdefault(path, Database(path))


class Database:
    """A DuckDB file; made by `open_database`, so that a process has one for each file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Condition()
        self._file_lock = filelock.FileLock(path.with_name(f".{path.name}.lock"), thread_local=False)
        self._mine = threading.local()
        self._opened_at = 0.0
        self._closed_until = 0.0
        self._writing = threading.RLock()
        self._connection: Connection | None = None
        self._num_users = 0
        self._is_migrated = False
        self._linger_seconds: float | None = None
        self._close_at: float | None = None
        self._watcher: threading.Thread | None = None
        self._was_written = False

    def linger(self, seconds: float = _LINGER_SECONDS) -> None:
        """Keep the connection for so long after its last reading, unless another process waits for the file.

        After writing it is closed at once: that is when DuckDB moves what was written into the file, and whoever
        remembers what the file held by its time and size should have to look again only once.
        """
        if self._linger_seconds is None:
            atexit.register(self._close_at_exit)
        self._linger_seconds = seconds

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection for queries; it is closed afterwards unless another thread still uses it.

        :raises WorkspaceBusyError: when another process holds the file for longer than `WAIT_SECONDS`.
        :raises WorkspaceError: when the file is damaged, or was written by a newer version.
        """
        cursor = self._enter()
        try:
            yield cursor
        except duckdb.Error as failure:
            if "surrogates not allowed" in str(failure):
                raise InputError(
                    "What was asked for holds bytes that are no UTF-8, so no name or id is like it."
                ) from failure
            # What is asked for is right, so the file is not: it is read block by block, when a query needs one.
            if type(failure) in _DAMAGE or is_disk_full(failure):
                raise _unreadable(self.path, failure) from failure
            raise
        finally:
            cursor.close()
            self._leave()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a connection within a transaction, which is undone if the block raises; one thread at a time."""
        with self._writing, self.reading() as connection:
            connection.begin()
            try:
                yield connection
            except BaseException:
                # A write that failed may have ended the transaction already; what it failed of is to be told.
                with suppress(duckdb.Error):
                    connection.rollback()
                raise
            connection.commit()
            self._was_written = True

    def _enter(self) -> Connection:
        with self._lock:
            if not getattr(self._mine, "depth", 0):
                self._make_way()
            if self._connection is None:
                # Somebody may have removed the file since.
                self._is_migrated &= self.path.exists()
                connection = _connect(self.path, self._file_lock)
                if not self._is_migrated:
                    try:
                        migrate(connection)
                    except BaseException as failure:
                        connection.close()
                        self._file_lock.release()
                        if isinstance(failure, duckdb.Error) and is_disk_full(failure):
                            raise _unreadable(self.path, failure) from failure
                        raise
                    self._is_migrated = True
                self._connection = connection
                self._opened_at = time.monotonic()
            cursor = self._connection.cursor()
            self._num_users += 1
            self._mine.depth = getattr(self._mine, "depth", 0) + 1
            return cursor

    def _make_way(self) -> None:
        """Let another process have its turn, if one waits and this one had its own."""
        if self._connection is not None and time.monotonic() - self._opened_at > _TURN_SECONDS and _waits(self.path):
            self._closed_until = time.monotonic() + _PATIENCE_SECONDS
            self._lock.wait_for(lambda: self._connection is None, timeout=_PATIENCE_SECONDS)
        while self._connection is None and (left := self._closed_until - time.monotonic()) > 0:
            self._lock.wait(left)

    def _leave(self) -> None:
        with self._lock:
            self._num_users -= 1
            self._mine.depth -= 1
            if self._num_users == 0:
                is_wanted = self._closed_until > time.monotonic() or _waits(self.path)
                if self._linger_seconds is None or self._was_written or is_wanted:
                    self._close()
                else:
                    is_watched = self._close_at is not None
                    self._close_at = time.monotonic() + self._linger_seconds
                    if not is_watched:
                        self._watcher = threading.Thread(target=self._close_later, name="ftft-database", daemon=True)
                        self._watcher.start()

    def _close_later(self) -> None:
        """Close the connection once it has lingered, or is wanted elsewhere."""
        with self._lock:
            while (self._num_users > 0 or time.monotonic() < (self._close_at or 0.0)) and self._connection is not None:
                self._lock.wait(_LOOK_SECONDS)
                if self._num_users == 0 and _waits(self.path):
                    break
            self._close_at = None
            if self._num_users == 0:
                self._close()

    def _close_at_exit(self) -> None:
        with self._lock:
            self._close()
        if self._watcher is not None:  # A thread that still lives then keeps DuckDB loaded, which complains of it.
            self._watcher.join(1)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._file_lock.release()
            self._connection = None
            self._was_written = False
            if self._closed_until > time.monotonic():
                self._closed_until = time.monotonic() + _AWAY_SECONDS
            self._lock.notify_all()


def _connect(path: Path, lock: filelock.BaseFileLock) -> Connection:
    """Open the file, and leave the lock held with it."""
    # Nothing is ever fetched: what DuckDB needs here is compiled into it.
    config: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
    }
    deadline = time.monotonic() + WAIT_SECONDS
    pause = _FIRST_PAUSE_SECONDS
    while True:
        if _acquire(path, lock):
            try:
                return duckdb.connect(path, config=config)
            except BaseException as failure:
                lock.release()
                if not isinstance(failure, duckdb.Error):
                    raise
                if not _is_held(failure):
                    raise _unreadable(path, failure) from failure
        if time.monotonic() > deadline:
            raise WorkspaceBusyError(
                f"Another process has had the database {path} open for {WAIT_SECONDS:.0f} seconds: {_holder(path)}. "
                "Close it there, then try again."
            )
        with suppress(OSError):
            _waiting(path).touch()
        # Pauses differ from process to process, so that several that wait do not knock all at once.
        time.sleep(pause * random.uniform(0.5, 1.5))
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def _acquire(path: Path, lock: filelock.BaseFileLock) -> bool:
    """Whether the file may be opened: nobody else is at it, or a lock can't be had there, which DuckDB will tell of."""
    if not path.parent.is_dir():
        return True
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        return False
    except OSError:
        return True
    return True


def _waiting(path: Path) -> Path:
    return path.with_name(f".{path.name}.waiting")


def _waits(path: Path) -> bool:
    """Whether another process waits for the file just now."""
    try:
        return time.time() - _waiting(path).stat().st_mtime < 3 * _LONGEST_PAUSE_SECONDS
    except FileNotFoundError:
        return False


def _is_held(failure: duckdb.Error) -> bool:
    return isinstance(failure, duckdb.IOException) and "Could not set lock on file" in str(failure)


def _holder(path: Path) -> str:
    """Name the process that has the file open, as DuckDB does when it is asked for it too."""
    found = None
    try:
        duckdb.connect(path, read_only=True).close()
    except duckdb.Error as failure:
        found = re.search(r"PID (\d+)", str(failure))
    if found is None:
        return "a process that can't be named (on another machine, or of another user)"
    pid = int(found[1])
    try:
        return f"process {pid} ({' '.join(psutil.Process(pid).cmdline())[:200]})"
    except psutil.Error:
        return f"process {pid}"


def _unreadable(path: Path, failure: duckdb.Error) -> WorkspaceError:
    if is_disk_full(failure):
        return WorkspaceError(
            f"The database {path} can't be written to: the disk is full, {free_space_words(path.parent)}. Free some "
            "space there, as with `ftft runs purge`, then try again; nothing is lost, what could not be taken in waits."
        )
    return WorkspaceError(
        f"The database {path} can't be read ({_first_line(failure)}). Check the folder's permissions and free space; "
        "if the file is damaged, put a copy of it back, or move it away to start anew."
    )


def _first_line(failure: Exception) -> str:
    return str(failure).splitlines()[0]
