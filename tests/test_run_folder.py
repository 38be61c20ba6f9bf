"""The folder of a run: whole files, true states, and a history that survives a kill."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ftft_core.run_folder import LOST_MESSAGE, RunFolder, read_json, run_folders, write_json, write_parquet


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    (tmp_path / "runs").mkdir()
    run = RunFolder(tmp_path / "runs" / "r1")
    run.create({"run_id": "r1"})
    return run


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    process.wait()
    return process.pid


def test_a_new_run_is_queued_and_whole(folder: RunFolder) -> None:
    assert folder.run_id == "r1"
    assert folder.read_run() == {"run_id": "r1"}
    assert folder.read_state()["status"] == "queued"
    assert {path.name for path in folder.path.iterdir()} == {"run.json", "state.json", "outbox"}
    assert [path.name for path in folder.path.parent.iterdir()] == ["r1"]
    assert (folder.read_progress(), folder.read_history(), folder.outbox_files()) == ({}, [], [])


def test_what_a_killed_creator_left_is_replaced(tmp_path: Path) -> None:
    (tmp_path / ".r2.new").mkdir()
    (tmp_path / ".r2.new" / "old").touch()
    assert list(run_folders(tmp_path)) == []
    RunFolder(tmp_path / "r2").create({}, subset=pa.table({"position": [1]}))
    assert {path.name for path in (tmp_path / "r2").iterdir()} == {"run.json", "state.json", "outbox", "subset.parquet"}
    assert [run.run_id for run in run_folders(tmp_path)] == ["r2"]
    assert list(run_folders(tmp_path / "nowhere")) == []


def test_a_claimed_run_is_running_as_long_as_its_process_lives(folder: RunFolder) -> None:
    folder.claim("training")
    state = folder.true_state()
    assert (state["status"], state["message"], state["pid"]) == ("running", "training", os.getpid())
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    folder.claim(pid=process.pid)
    assert folder.true_state()["status"] == "running"
    process.kill()
    # Dead, but not yet waited for by its parent.
    while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert folder.true_state()["status"] == "lost"
    process.communicate()
    state = folder.true_state()
    assert (state["status"], state["message"]) == ("lost", LOST_MESSAGE)
    assert folder.read_state()["status"] == "running"


def test_another_process_with_the_same_number_is_not_the_run(folder: RunFolder) -> None:
    folder.claim()
    write_json(folder.path / "state.json", {**folder.read_state(), "pid_started": 1.0})
    assert folder.true_state()["status"] == "lost"


def test_a_run_elsewhere_is_lost_when_it_falls_silent(folder: RunFolder) -> None:
    folder.claim()
    state = {**folder.read_state(), "host": "elsewhere", "pid": dead_pid(), "since": time.time() - 1000}
    write_json(folder.path / "state.json", state)
    os.utime(folder.path / "state.json", (state["since"], state["since"]))
    assert folder.true_state()["status"] == "lost"
    folder.write_progress({"step": 1})
    assert folder.true_state()["status"] == "running"


def test_history_is_in_order_and_keeps_the_last_of_repeats(folder: RunFolder) -> None:
    for step, loss in ((1, 0.9), (2, 0.8), (3, 0.7), (2, 0.6)):
        folder.append_history({"kind": "step", "step": step, "loss": loss})
    assert [(record["step"], record["loss"]) for record in folder.read_history()] == [(1, 0.9), (2, 0.6), (3, 0.7)]


def test_half_a_line_does_not_swallow_the_next(folder: RunFolder) -> None:
    folder.append_history({"kind": "step", "step": 1})
    with (folder.path / "history.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"kind": "st')
    assert [record["step"] for record in folder.read_history()] == [1]
    folder.append_history({"kind": "step", "step": 2})
    assert [record["step"] for record in folder.read_history()] == [1, 2]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(folder: RunFolder) -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_json(folder.path / "run.json", {"set": {1}})
    assert read_json(folder.path / "run.json") == {"run_id": "r1"}
    assert not list(folder.path.glob(".*"))


def test_parquet_files_appear_whole(folder: RunFolder) -> None:
    write_parquet(folder.outbox / "b.parquet", pa.table({"x": [1]}))
    write_parquet(folder.outbox / "a.parquet", pa.table({"x": [2]}))
    (folder.outbox / ".c.parquet.7.new").touch()
    assert [path.name for path in folder.outbox_files()] == ["a.parquet", "b.parquet"]
    assert pq.read_table(folder.outbox / "a.parquet").to_pydict() == {"x": [2]}
    assert folder.size_mib() > 0


def test_half_written_files_of_dead_processes_are_removed(folder: RunFolder) -> None:
    pid = dead_pid()
    left = [folder.path / f".progress.json.{pid}.new", folder.outbox / f".dynamics-00000.parquet.{pid}.new"]
    kept = [folder.path / f".state.json.{os.getpid()}.new", folder.path / ".model.new", folder.outbox / "a.parquet"]
    for path in [*left, *kept]:
        path.touch()
    folder.remove_leftovers()
    assert [path.exists() for path in left] == [False, False]
    assert all(path.exists() for path in kept)


def test_a_stop_is_asked_for_and_withdrawn(folder: RunFolder) -> None:
    assert not folder.cancel_requested
    folder.request_cancel()
    assert folder.cancel_requested
    folder.clear_cancel()
    folder.clear_cancel()
    assert not folder.cancel_requested
