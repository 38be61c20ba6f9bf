"""What `ftft doctor` finds, and that mending loses nothing and is done once."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ftft_core.run_folder import RunFolder
from ftft_core.suites import read_suite
from ftft_core.workspace import Workspace
from tests.conftest import CommandLine
from tests.ui_workspace import make_workspace, queue


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    made = make_workspace(tmp_path_factory.mktemp("doctor"))
    with made.database.writing() as connection:
        # Theirs are predictions alone: as if they had taken no step of which dynamics could be missing.
        connection.execute("UPDATE base.all_runs SET num_optimizer_steps = NULL WHERE name <> 'map-run'")
    return made


@pytest.fixture
def workspace(toy: Workspace, tmp_path: Path) -> Workspace:
    shutil.copytree(toy.folder, tmp_path / "workspace")
    return Workspace(tmp_path / "workspace")


def aged(path: Path) -> Path:
    """As if it had been there for an hour."""
    os.utime(path, (time.time() - 3600,) * 2)
    return path


def folder_of(workspace: Workspace, name: str = "erm-0") -> RunFolder:
    return RunFolder(workspace.folder / "runs" / workspace.run(name)["run_id"])


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    process.wait()
    return process.pid


def no_state(workspace: Workspace) -> None:
    (folder_of(workspace).path / "state.json").write_bytes(b"")


def lost_place(workspace: Workspace) -> None:
    (workspace.folder / "trash").mkdir()
    folder = folder_of(workspace).path
    folder.rename(workspace.folder / "trash" / folder.name)


def unfinished_removal(workspace: Workspace) -> None:
    folder = folder_of(workspace).path
    workspace.remove_run("erm-0")
    (workspace.folder / "trash" / folder.name).rename(folder)


def stranger(workspace: Workspace) -> None:
    shutil.copytree(folder_of(workspace).path, workspace.folder / "runs" / "r0000000f")
    aged(workspace.folder / "runs" / "r0000000f")


def unfinished_purge(workspace: Workspace) -> None:
    (workspace.folder / "trash" / ".purging-r1").mkdir(parents=True)


def no_outbox(workspace: Workspace) -> None:
    shutil.rmtree(folder_of(workspace).outbox)


def damaged_outbox(workspace: Workspace) -> None:
    (folder_of(workspace).outbox / "dynamics-00001.parquet").write_bytes(b"PAR1 cut off")


def half_written(workspace: Workspace) -> None:
    folder, pid = folder_of(workspace), dead_pid()
    (folder.path / f".progress.json.{pid}.new").write_text("{")
    (folder.outbox / f".dynamics-00001.parquet.{pid}.new").write_bytes(b"PAR1")
    (folder.path / ".checkpoint-8").mkdir()
    (folder.path / ".checkpoint-8" / "model.safetensors").write_bytes(b"half")


def half_written_workspace(workspace: Workspace) -> None:
    (workspace.folder / f".worker.starting.{dead_pid()}.new").write_text("{")


def half_written_counts(workspace: Workspace) -> None:
    (workspace.folder / "flops").mkdir(exist_ok=True)
    (workspace.folder / "flops" / f".0123.json.{dead_pid()}.new").write_text("{")


def leftovers(workspace: Workspace) -> None:
    folder = folder_of(workspace).path
    (folder / "checkpoint-8").mkdir()
    (folder / ".reserve").write_bytes(b"x")


def stale_request(workspace: Workspace) -> None:
    folder = folder_of(workspace)
    folder.set_status("cancelled", "stopped on request")
    folder.request_cancel()


def stale_worker(workspace: Workspace) -> None:
    aged_path = workspace._queue.starting
    aged_path.write_text('{"pid": 1, "pid_started": 1.0}')
    aged(aged_path)


def orphans(workspace: Workspace) -> None:
    with workspace.database.writing() as connection:
        connection.execute("INSERT INTO base.scores VALUES (999999, 'dev', NULL, 1, 'accuracy', 0.5, true)")


def no_map(workspace: Workspace) -> None:
    with workspace.database.writing() as connection:
        connection.execute("DELETE FROM base.data_map WHERE position < 7")


def no_suite(workspace: Workspace) -> None:
    shutil.rmtree(workspace.folder / "suites" / workspace.suite_facts("toy")["fingerprint"])


def unused_suite(workspace: Workspace) -> None:
    (workspace.folder / "suites" / "0123").mkdir()
    (workspace.folder / "suites" / "0123" / "train.parquet").write_bytes(b"paid for")
    aged(workspace.folder / "suites" / "0123")


@pytest.mark.parametrize(
    ("harm", "problem", "mended"),
    [
        (no_state, "the state of run r.* can't be read", "has a state again, 'lost'; its old one is set-aside/runs-r"),
        (lost_place, r"lies in trash/, but belongs in runs/", "of run erm-0 was moved to runs/"),
        (unfinished_removal, r"lies in runs/, but belongs in trash/", "of run erm-0 was moved to trash/"),
        (stranger, "r0000000f belongs to no run", "was moved to set-aside/runs-r0000000f"),
        (unfinished_purge, "was to be deleted for good, but is still there", "which was to be deleted, is gone"),
        (no_outbox, "run erm-0 has no outbox", "has an outbox again"),
        (damaged_outbox, "run erm-0 lacks what its damaged file", "was moved to set-aside/runs-r.*damaged"),
        (half_written, "has half-written files: .*checkpoint-8", "a process that ended half wrote"),
        (half_written_workspace, "is half written", "a process that ended half wrote"),
        (half_written_counts, "is half written", "a process that ended half wrote"),
        (leftovers, "has finished, but still holds .*checkpoint-8", "needs no more: checkpoint-8, .reserve"),
        (stale_request, "is cancelled, but still asked to stop", "is no longer asked to stop"),
        (stale_worker, "never took up its work", "is gone"),
        (orphans, "1 rows of table scores belong to nothing", "moved to set-aside/scores-"),
        (no_map, "the data map of run map-run does not fit", "data map of run map-run was made anew"),
        (no_suite, "of suite toy is missing: nothing can be trained", "made anew from the database"),
        (unused_suite, "0123 belongs to no suite", "moved to set-aside/suites-0123"),
    ],
)
def test_what_is_found_is_mended_once(
    workspace: Workspace, harm: Callable[[Workspace], None], problem: str, mended: str
) -> None:
    assert workspace.health()["problems"] == []
    assert workspace.repair() == []
    harm(workspace)
    workspace.sync()
    found = workspace.health()["problems"]
    assert matching(problem, found), found
    done = workspace.repair()
    assert matching(mended, done), done
    assert workspace.repair() == []
    # What is left are facts about a run, not something to mend.
    assert not matching(problem, workspace.health()["problems"])


def matching(pattern: str, sentences: list[str]) -> list[str]:
    return [sentence for sentence in sentences if re.search(pattern, sentence)]


def test_a_suite_that_was_made_anew_is_the_same(workspace: Workspace) -> None:
    folder = workspace.folder / "suites" / workspace.suite_facts("toy")["fingerprint"]
    before = read_suite(folder)
    shutil.rmtree(folder)
    workspace.repair()
    after = read_suite(folder)  # It checks every fingerprint.
    assert [split.examples.equals(other.examples) for split, other in zip(before.splits, after.splits, strict=True)]


def test_a_removed_map_comes_back_with_the_same_scores(workspace: Workspace) -> None:
    before = workspace.data_map("map-run")
    no_map(workspace)
    workspace.repair()
    assert workspace.data_map("map-run").equals(before)


def test_missing_epochs_of_a_finished_run_are_said(workspace: Workspace) -> None:
    with workspace.database.writing() as connection:
        connection.execute("UPDATE base.all_runs SET num_optimizer_steps = 32 WHERE name = 'map-run'")
        connection.execute("DELETE FROM base.dynamics WHERE epoch = 2")
        connection.execute("DELETE FROM base.epochs WHERE epoch = 2")
    assert matching("run map-run has finished, but lacks the dynamics of epoch 2", workspace.health()["problems"])


def test_rows_of_an_epoch_that_went_missing_are_said(workspace: Workspace) -> None:
    with workspace.database.writing() as connection:
        connection.execute("DELETE FROM base.dynamics WHERE epoch = 3 AND position = 5")
    assert matching("dynamics of map-run, epoch 3 hold other examples", workspace.health()["problems"])


def test_a_run_without_a_folder_waits_no_more(workspace: Workspace) -> None:
    run = queue(workspace, Path(workspace.run("map-run")["model"]), name="gone", method="erm")
    shutil.rmtree(workspace.run_folder(run).path)
    assert matching("run gone has no folder", workspace.health()["problems"])
    assert matching("Run gone, which was queued without a folder, is now failed", workspace.repair())
    assert workspace.run("gone")["status"] == "failed"
    assert workspace.repair() == []


def test_what_a_living_process_writes_is_left_alone(workspace: Workspace) -> None:
    run = queue(workspace, Path(workspace.run("map-run")["model"]), name="busy", method="erm")
    folder = workspace.run_folder(run)
    folder.claim("training")
    (folder.path / ".checkpoint-3").mkdir()
    (folder.path / f".progress.json.{os.getpid()}.new").touch()
    shutil.copytree(folder.path, workspace.folder / "runs" / "r000000aa")
    held = RunFolder(workspace.folder / "runs" / "r000000aa")
    with held.training():
        aged(held.path)
        assert matching("a process trains in the folder .*r000000aa", workspace.health()["problems"])
        assert workspace.repair() == []
    assert (folder.path / ".checkpoint-3").exists()


def test_a_run_that_lost_its_process_is_lost(workspace: Workspace) -> None:
    run = queue(workspace, Path(workspace.run("map-run")["model"]), name="killed", method="erm")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        workspace.run_folder(run).claim("training", pid=process.pid)
        process.kill()
    workspace.sync()
    assert matching("run killed is lost: .*resume the run", workspace.health()["problems"])
    # As if nobody had looked since a machine died: the file says running.
    assert workspace.run_folder(run).true_state()["status"] == "lost"


def test_the_command_says_and_mends(workspace: Workspace, bare: CommandLine) -> None:
    no_suite(workspace)
    of = ("--workspace", workspace.folder)
    assert "problem: the folder suites/" in bare("doctor", *of).stdout
    answer = bare("doctor", "--repair", "--json", *of)
    assert answer.exit_code == 0, answer.stderr
    assert answer.json["repaired"] == ["The folder of suite toy was made anew from the database."]
    assert answer.json["workspace"]["problems"] == []
    assert "There was nothing to mend" in bare("doctor", "--repair", *of).stdout


def test_a_database_that_can_not_be_read_is_a_problem_and_not_touched(workspace: Workspace, bare: CommandLine) -> None:
    workspace.database.path.write_bytes(b"not a database" * 1000)
    answer = bare("doctor", "--repair", "--json", "--workspace", workspace.folder)
    assert answer.exit_code == 0, answer.stderr
    assert matching("can't be read", answer.json["workspace"]["problems"])
    assert workspace.database.path.read_bytes().startswith(b"not a database")


def test_missing_predictions_of_a_finished_run_are_said(workspace: Workspace) -> None:
    said = "but its predictions of "
    before = matching(said, workspace.health()["problems"])
    with workspace.database.writing() as connection:
        gone = connection.execute(
            "DELETE FROM base.predictions WHERE (run_no, split) IN"
            " (SELECT run_no, split FROM base.predictions ORDER BY ALL LIMIT 1) RETURNING run_no, split"
        ).fetchall()
        (name,) = connection.execute("SELECT name FROM base.runs WHERE run_no = ?", [gone[0][0]]).fetchone()
    after = matching(said, workspace.health()["problems"])
    assert [each for each in after if each not in before] == matching(f"run {name} has finished, but its", after)
    assert len(after) == len(before) + 1
