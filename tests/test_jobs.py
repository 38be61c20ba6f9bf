"""The queue and its worker: order, stopping, resuming, and processes that are killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
import psutil
import pytest

from ftft_core.errors import NotFoundError, RunError
from ftft_core.jobs import queue as queue_module
from ftft_core.run_folder import starting
from ftft_core.workspace import Workspace
from tests.conftest import CommandLine
from tests.queued_runs import DEADLINE_SECONDS, Training, wait_until
from tests.ui_workspace import make_workspace, queue

READ = """
import duckdb, sys
for _ in range(20):
    duckdb.connect(sys.argv[1], read_only=True).execute("FROM runs").fetchall()
    print("reads", flush=True)
"""


@pytest.fixture
def training(tmp_path: Path, tiny_model: Path) -> Iterator[Training]:
    made = Training(tmp_path, tiny_model)
    yield made
    made.stop()


def test_runs_are_worked_off_in_order_and_can_be_stopped_resumed_and_removed(
    training: Training, ftft: CommandLine, bare: CommandLine
) -> None:
    workspace = training.workspace
    for name, steps in (("first", 600), ("second", 100_000), ("never", 2)):
        training.submit(name, steps)
    training.wait_for("first", "running")
    assert len(training.workers()) == 1
    assert workspace.queue()["name"].tolist() == ["first", "second", "never"]
    assert workspace.queue()["position"].tolist() == [0, 1, 2]

    # A run that waits is cancelled at once, and starts no more.
    workspace.cancel("never")
    assert workspace.run("never")["status"] == "cancelled"
    with pytest.raises(RunError, match=r"is cancelled already; there is nothing to cancel"):
        workspace.cancel("never")

    # The list can be had while a run trains and another process reads.
    command = [sys.executable, "-c", READ, str(workspace.database.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "reads\n"
        listed = bare("runs", "list", "--json")
        reader.wait(timeout=DEADLINE_SECONDS)
    assert listed.exit_code == 0, listed.stdout
    statuses = {row["name"]: row["status"] for row in listed.json}
    assert statuses == {"first": "running", "second": "queued", "never": "cancelled"}

    wait_until(lambda: (workspace.progress("first").step or 0) > 0, "the first run takes steps")
    workspace.cancel("first")
    training.wait_for("first", "cancelled")
    assert list(workspace.run_folder("first").path.glob("checkpoint-*"))
    assert "resume goes on from here" in workspace.progress("first").message

    # What is resumed waits for its turn, and whoever asked for it may go away.
    training.wait_for("second", "running")
    answer = ftft("runs", "resume", "first", "--json", "--detach")
    assert answer.json == {"run_id": workspace.run("first")["run_id"], "name": "first", "status": "queued"}

    # Removing a run that trains stops it first; the worker goes on with the next one.
    trainer, folder = psutil.Process(training.trainer("second")), workspace.run_folder("second").path
    workspace.remove_run("second")
    assert not folder.exists()
    with pytest.raises(NotFoundError, match="The run 'second' was removed"):
        workspace.run("second")
    wait_until(lambda: not trainer.is_running() or trainer.status() == psutil.STATUS_ZOMBIE, "its process has ended")

    # Resuming what waits or runs already only waits for its end.
    answer = bare("runs", "resume", "first", "--json")
    assert answer.json == {"run_id": workspace.run("first")["run_id"], "name": "first", "status": "finished"}
    row = workspace.run("first")
    assert row["status"] == "finished"
    assert 0 < row["resumed_from_step"] < 600
    assert (row["num_optimizer_steps"], row["counted_epochs"]) == (600, 6)

    # What has finished is left as it is.
    answer = bare("runs", "resume", "first", "--json")
    assert (answer.exit_code, answer.json["status"]) == (0, "finished")
    wait_until(lambda: not training.workers(), "the worker has nothing more to do and ends")


@pytest.mark.slow
def test_killed_processes_lose_at_most_what_was_under_way(training: Training) -> None:
    workspace = training.workspace
    training.submit("long", 800)
    training.wait_for("long", "running")
    training.wait_for_checkpoint("long")

    os.kill(training.trainer("long"), signal.SIGKILL)
    training.wait_for("long", "lost")
    wait_until(lambda: "resume" in workspace.progress("long").message, "the message says what to do")
    workspace.sync()
    assert workspace.run("long")["status"] == "lost"

    workspace.resume("long")
    training.wait_for("long", "running")
    training.submit("after", 2)
    for worker in training.workers():
        worker.kill()
    wait_until(lambda: not training.workers(), "the worker is dead")
    assert training.status("long") == "running"  # It never knew the worker.

    # Looking is enough for another worker to start; one run trains at a time.
    wait_until(lambda: (workspace.sync(), training.workers())[1], "a new worker is there")
    training.wait_for("after", "finished")
    workspace.sync()
    assert training.status("long") == "finished"
    row = workspace.run("long")
    assert row["status"] == "finished"
    assert row["resumed_from_step"] > 0
    assert (row["num_optimizer_steps"], row["counted_epochs"]) == (800, 8)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make_workspace(tmp_path_factory.mktemp("jobs"), with_comparison=False)


@pytest.fixture
def workspace(toy: Workspace, tmp_path: Path) -> Workspace:
    shutil.copytree(toy.folder, tmp_path / "toy")
    return Workspace(tmp_path / "toy")


def queued(workspace: Workspace, name: str) -> str:
    return queue(workspace, Path(workspace.run("map-run")["model"]), name=name, method="erm")


def test_a_process_that_vanished_is_told_within_a_look(workspace: Workspace) -> None:
    run = queued(workspace, "gone")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        workspace.run_folder(run).claim("training", pid=process.pid)
        workspace.sync()
        assert workspace.run(run)["status"] == "running"
        workspace.run_folder(run).request_cancel()
        with pytest.raises(RunError, match="is stopping just now; resume it in a moment"):
            workspace.resume(run)
        process.kill()
    workspace.sync()
    row = workspace.run(run)
    assert row["status"] == "lost"
    assert "ended without a word" in row["message"]
    assert "resume the run" in row["message"]


def test_a_process_id_that_was_given_anew_is_not_taken_for_the_trainer(workspace: Workspace) -> None:
    run = queued(workspace, "reused")
    folder = workspace.run_folder(run)
    folder.claim("training")
    state = folder.read_state()
    folder.set_status(
        "running", "training", pid=state["pid"], pid_started=state["pid_started"] - 60, host=state["host"]
    )
    assert workspace.progress(run).status == "lost"


def started_processes(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Have workers be processes that only wait; give the list of those that were started."""
    started: list[Any] = []
    real = subprocess.Popen

    def popen(command: list[str], **settings: object) -> Any:
        process = real([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        started.append(process)
        return process

    monkeypatch.setattr(starting.subprocess, "Popen", popen)
    return started


def test_a_worker_is_started_once_and_again_when_it_died(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    started = started_processes(monkeypatch)
    run = queued(workspace, "waits")
    for _ in range(3):
        workspace._queue.ensure_worker()
    assert len(started) == 1
    folder = workspace.run_folder(run)
    try:
        with workspace._queue.working():
            workspace._queue.ensure_worker()
        started[0].communicate(b"\n")  # type: ignore[attr-defined]
        workspace.sync()
        assert len(started) == 1  # Whoever queued it is believed to start one.
        monkeypatch.setattr(queue_module, "_PATIENCE_SECONDS", 0.0)
        workspace.sync()
        assert len(started) == 1  # One that died before it could work is not followed by another at once.
        monkeypatch.setattr(queue_module, "_RESTART_SECONDS", 0.0)
        workspace.sync()
        assert len(started) == 2
    finally:
        for process in started[1:]:
            process.communicate(b"\n")
    assert folder.read_state()["status"] == "queued"


def test_there_is_one_worker_at_a_time(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    run = queued(workspace, "waits")
    monkeypatch.setattr("ftft_core.jobs.worker._LOCK_SECONDS", 0.05)
    with workspace._queue.working():
        from ftft_core.jobs import work_off

        work_off(workspace._queue)
    assert workspace.run_folder(run).read_state()["status"] == "queued"


def test_the_lock_of_the_queue_is_given_back(workspace: Workspace) -> None:
    workspace.cancel(queued(workspace, "short"))
    with filelock.FileLock(workspace.folder / ".queue.lock", timeout=0):
        pass


def test_a_run_without_its_folder_says_so(workspace: Workspace) -> None:
    run = queued(workspace, "lost-folder")
    shutil.rmtree(workspace.run_folder(run).path)
    workspace.sync()
    for act in (workspace.cancel, workspace.resume):
        with pytest.raises(RunError, match="it was imported, or its folder was deleted"):
            act(run)
    assert any("run lost-folder has no folder" in problem for problem in workspace.health()["problems"])
    workspace.remove_run(run)
