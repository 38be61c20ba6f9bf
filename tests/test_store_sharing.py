"""One database, several threads and processes."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import filelock
import pytest

from ftft_core import store
from ftft_core.errors import WorkspaceBusyError, WorkspaceError
from ftft_core.store import connection as connection_module
from tests.conftest import environment

HOLD = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.readline()"
WRITE = """
import sys
from pathlib import Path
from ftft_core.store import open_database
for number in range(30):
    with open_database(Path(sys.argv[1])).writing() as connection:
        connection.execute("INSERT INTO base.marks VALUES (?, ?)", [sys.argv[2], number])
"""


@pytest.fixture(autouse=True, scope="module")
def databases_linger() -> None:
    """No database lingers here unless its test says so."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "ftft.duckdb"
    with store.open_database(path).writing() as connection:
        connection.execute("CREATE TABLE base.marks (writer VARCHAR, number INTEGER)")
    return path


@contextmanager
def held(path: Path) -> Iterator[tuple[int, Callable[[], None]]]:
    """Another process that has the file open; gives its PID and what makes it let go."""
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        stdin = process.stdin

        def let_go() -> None:
            stdin.write("\n")
            stdin.flush()

        try:
            yield process.pid, let_go
        finally:
            process.kill()


def test_opening_waits_until_the_other_process_lets_go(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits = []

    def let_go_after_some_waits(_: float) -> None:
        waits.append(1)
        if len(waits) == 3:
            let_go()
        threading.Event().wait(0.01)

    with held(path) as (_, let_go):
        monkeypatch.setattr(connection_module.time, "sleep", let_go_after_some_waits)
        with store.open_database(path).reading() as connection:
            assert connection.execute("SELECT count(*) FROM base.marks").fetchall() == [(0,)]
    assert len(waits) >= 3


def test_after_the_wait_the_error_names_the_process(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "WAIT_SECONDS", 0.2)
    with held(path) as (pid, _):
        said = re.escape(f"has had the database {path} open for 0 seconds: process {pid} (")
        with pytest.raises(WorkspaceBusyError, match=said), store.open_database(path).reading():
            pass
    # Once it is gone, the same object opens.
    with store.open_database(path).reading() as connection:
        assert connection.execute("SELECT 1").fetchall() == [(1,)]


def test_threads_share_one_connection(path: Path) -> None:
    database = store.open_database(path)
    assert store.open_database(path.parent / "." / path.name) is database
    meet = threading.Barrier(4, timeout=60)
    failures: list[BaseException] = []

    def work(writer: int) -> None:
        try:
            for number in range(10):
                with database.reading() as reader:
                    meet.wait()  # All four have the file open at once.
                    reader.execute("SELECT count(*) FROM base.marks").fetchall()
                with database.writing() as connection:
                    connection.execute("INSERT INTO base.marks VALUES (?, ?)", [str(writer), number])
        except BaseException as failure:
            meet.abort()
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert failures == []
    with database.reading() as connection:
        assert connection.execute("SELECT count(DISTINCT (writer, number)) FROM base.marks").fetchall() == [(40,)]


def test_threads_that_never_all_rest_make_way_for_another_process(path: Path) -> None:
    database = store.open_database(path)
    is_over = threading.Event()
    ready = threading.Barrier(4, timeout=60)
    failures: list[BaseException] = []

    def read_on() -> None:
        try:
            for number in range(10_000):
                with database.reading() as connection, database.reading() as inner:
                    inner.execute("SELECT 1")
                    if number == 0:
                        ready.wait()
                    connection.execute("SELECT count(*) FROM base.marks").fetchall()
                    is_over.wait(0.2)  # Longer than between two of its turns, so that one of three is always there.
                if is_over.is_set():
                    return
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=read_on) for _ in range(3)]
    for thread in threads:
        thread.start()
    ready.wait()
    writer = subprocess.run(
        [sys.executable, "-c", WRITE, str(path), "other"], env=environment(path.parent), capture_output=True, text=True
    )
    is_over.set()
    for thread in threads:
        thread.join(60)
    assert (writer.returncode, failures) == (0, []), writer.stderr
    with database.reading() as connection:
        assert connection.execute("SELECT count(*) FROM base.marks").fetchall() == [(30,)]


def test_the_file_is_free_as_soon_as_nobody_uses_it(path: Path) -> None:
    with ExitStack() as stack:
        stack.enter_context(store.open_database(path).reading())
        stack.enter_context(store.open_database(path).reading())
    with held(path) as (pid, _):
        assert pid


def test_a_block_that_raises_is_undone(path: Path) -> None:
    def write_and_raise() -> None:
        with store.open_database(path).writing() as connection:
            connection.execute("INSERT INTO base.marks VALUES ('a', 1)")
            raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        write_and_raise()
    with store.open_database(path).reading() as connection:
        assert connection.execute("SELECT count(*) FROM base.marks").fetchall() == [(0,)]


def test_two_processes_that_write_lose_nothing(path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITE, str(path), name], env=environment(path.parent)) for name in "ab"
    ]
    assert [writer.wait(timeout=180) for writer in writers] == [0, 0]
    with store.open_database(path).reading() as connection:
        rows = connection.execute("SELECT writer, count(DISTINCT number) FROM base.marks GROUP BY 1 ORDER BY 1")
        assert rows.fetchall() == [("a", 30), ("b", 30)]


def opens(path: Path, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Every opening of the file from now on."""
    made: list[object] = []
    connect = connection_module._connect

    def counted(file: Path, lock: filelock.BaseFileLock) -> connection_module.Connection:
        made.append(connect(file, lock))
        return made[-1]  # type: ignore[return-value]

    monkeypatch.setattr(connection_module, "_connect", counted)
    return made


def is_free(path: Path) -> bool:
    """Whether another process can open the file just now."""
    command = [sys.executable, "-c", "import duckdb, sys; duckdb.connect(sys.argv[1])", str(path)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_a_connection_that_lingers_serves_the_next_readings_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = opens(path, monkeypatch)
    database = store.open_database(path)
    database.linger(600)
    for _ in range(3):
        with database.reading() as connection:
            assert connection.execute("SELECT count(*) FROM base.marks").fetchall() == [(0,)]
    assert len(made) == 1
    assert not is_free(path)
    with database.writing() as connection:
        connection.execute("INSERT INTO base.marks VALUES ('app', 0)")
    assert len(made) == 1
    assert is_free(path), "after writing the file is let go of at once"


def test_a_connection_that_lingers_is_closed_when_its_time_is_over(path: Path) -> None:
    database = store.open_database(path)
    database.linger(0.01)
    with database.reading():
        pass
    assert any(is_free(path) for _ in range(20))


def test_a_connection_that_lingers_makes_way_for_a_process_that_waits(path: Path) -> None:
    database = store.open_database(path)
    database.linger(600)
    with database.reading():
        pass
    subprocess.run(
        [sys.executable, "-c", WRITE, str(path), "other"], check=True, timeout=120, env=environment(path.parent)
    )
    with database.reading() as connection:
        assert connection.execute("SELECT count(*) FROM base.marks").fetchall() == [(30,)]


def test_a_lock_is_held_from_before_a_connection_is_opened_until_after_it_is_closed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DuckDB reads the headers before it locks the file, and would overwrite what is committed in between."""
    database, lock = store.open_database(path), filelock.FileLock(path.with_name(f".{path.name}.lock"), timeout=0)
    connect = connection_module.duckdb.connect

    def connecting(*given: object, **more: object) -> object:
        with pytest.raises(filelock.Timeout):
            lock.acquire()
        return connect(*given, **more)

    monkeypatch.setattr(connection_module.duckdb, "connect", connecting)
    with database.writing() as connection:
        connection.execute("INSERT INTO base.marks VALUES ('a', 1)")
        with pytest.raises(filelock.Timeout):
            lock.acquire()
    with lock:  # It is free again, and who has it shuts others out.
        monkeypatch.setattr(connection_module, "WAIT_SECONDS", 0.2)
        monkeypatch.setattr(connection_module.duckdb, "connect", connect)
        with pytest.raises(WorkspaceBusyError, match="a process that can't be named"), database.reading():
            pass
    with database.reading() as connection:
        assert connection.execute("SELECT number FROM base.marks").fetchall() == [(1,)]


@pytest.mark.parametrize("damage", ["not a database", None])
def test_a_connection_that_failed_leaves_the_lock_free(tmp_path: Path, damage: str | None) -> None:
    path = tmp_path / "ftft.duckdb"
    if damage is None:
        path.mkdir()
    else:
        path.write_text(damage * 1000, encoding="utf-8")
    with pytest.raises(WorkspaceError, match="can't be read"), store.open_database(path).reading():
        pass
    with filelock.FileLock(path.with_name(f".{path.name}.lock"), timeout=0):
        pass
