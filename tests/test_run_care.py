"""Removed runs: in no view, with all that came of them, until they are purged."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from ftft_core.errors import InputError, NotFoundError, RunError
from ftft_core.store import connection as connection_module
from ftft_core.store import migrations
from ftft_core.workspace import Workspace
from tests.conftest import CommandLine
from tests.ui_workspace import finish, leave_dynamics, make_workspace, queue

VIEWS_OF_RUNS = ("runs", "dynamics", "data_map", "predictions", "scores")


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make_workspace(tmp_path_factory.mktemp("care"))


@pytest.fixture
def workspace(toy: Workspace, tmp_path: Path) -> Workspace:
    shutil.copytree(toy.folder, tmp_path / "workspace")
    return Workspace(tmp_path / "workspace")


def rows_by_view(workspace: Workspace, run_id: str) -> dict[str, pd.DataFrame]:
    with workspace.database.reading() as connection:
        return {
            view: connection.execute(f"SELECT * FROM {view} WHERE run_id = ? ORDER BY ALL", [run_id]).df()
            for view in VIEWS_OF_RUNS
        }


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_removed_run_is_in_no_view_and_comes_back_whole(workspace: Workspace) -> None:
    run_id = workspace.run("ftft-1")["run_id"]
    folder = workspace.run_folder(run_id).path
    before, files_before = rows_by_view(workspace, run_id), files(folder)
    assert len(before["predictions"]) == 220
    assert workspace.remove_run("ftft-1") == run_id
    assert {view: len(rows) for view, rows in rows_by_view(workspace, run_id).items()} == dict.fromkeys(before, 0)
    assert not folder.exists()
    assert "ftft-1" not in set(workspace.runs()["name"])
    assert "ftft-1" not in set(workspace.queue()["name"])
    with pytest.raises(NotFoundError, match=f"was removed; `ftft runs restore {run_id}` brings it back"):
        workspace.run("ftft-1")
    removed = workspace.removed_runs()
    assert removed[["run_id", "name", "suite"]].to_dict("records") == [
        {"run_id": run_id, "name": "ftft-1", "suite": "toy"}
    ]
    assert removed["disk_bytes"].item() == sum(map(len, files_before.values())) > 0
    assert not removed["removed_at"].isna().any()

    assert workspace.restore_run(run_id) == "ftft-1"
    after = rows_by_view(workspace, run_id)
    for view, rows in before.items():
        pd.testing.assert_frame_equal(after[view], rows)
    assert files(folder) == files_before
    assert workspace.removed_runs().empty
    assert list(workspace.trash.iterdir()) == []


def test_the_name_of_a_removed_run_is_free_and_it_comes_back_under_another(workspace: Workspace) -> None:
    old = workspace.remove_run("erm-0")
    new = queue(workspace, Path(workspace.run("map-run")["model"]), name="erm-0", method="erm")
    assert workspace.restore_run("erm-0") == "erm-0-2"
    assert workspace.run("erm-0")["run_id"] == new
    assert workspace.run("erm-0-2")["run_id"] == old
    with pytest.raises(NotFoundError, match="removed run"):
        workspace.restore_run(old)


def test_what_others_were_made_from_stays(workspace: Workspace) -> None:
    with pytest.raises(InputError, match="others were made from it") as refused:
        workspace.remove_run("map-run")
    assert {"run ftft-0", "run ftft-1", "subset ambiguous-33"} <= set(refused.value.problems)
    assert workspace.removed_runs().empty


def test_a_run_comes_back_after_what_it_was_made_from(workspace: Workspace) -> None:
    reference = workspace.run("map-run")["run_id"]
    for name in ("ftft-0", "ftft-1"):
        workspace.remove_run(name)
    workspace.remove_subset("ambiguous-33")
    workspace.remove_run("map-run")
    with pytest.raises(InputError, match="made from is removed, too; bring it back first") as refused:
        workspace.restore_run("ftft-0")
    assert refused.value.problems[0] == f"run map-run: `ftft runs restore {reference}`"
    assert refused.value.problems[1].startswith("subset ambiguous-33: `ftft subset restore s")
    with pytest.raises(InputError, match="other removed runs need these"):
        workspace.purge_runs(["map-run"])
    workspace.restore_run("map-run")
    workspace.restore_subset("ambiguous-33")
    workspace.restore_run("ftft-0")
    assert workspace.run("ftft-0")["reference_run"] == reference


def test_purging_leaves_nothing_and_says_what_was_freed(workspace: Workspace) -> None:
    erm, ftft = workspace.remove_run("erm-1"), workspace.remove_run("ftft-1")
    sizes = workspace.removed_runs().set_index("run_id")["disk_bytes"]
    with pytest.raises(NotFoundError, match="removed run"):
        workspace.purge_runs(["erm-0"])
    assert workspace.purge_runs([erm]) == sizes[erm] > 0
    assert workspace.removed_runs()["run_id"].tolist() == [ftft]
    assert workspace.purge_runs() == sizes[ftft]
    assert workspace.purge_runs() == 0
    assert list(workspace.trash.iterdir()) == []
    with workspace.database.reading() as connection:
        for table in ("all_runs", "predictions", "scores", "dynamics", "epochs", "data_map"):
            where = "WHERE run_no NOT IN (SELECT run_no FROM base.runs)"
            assert connection.execute(f"SELECT count(*) FROM base.{table} {where}").fetchall() == [(0,)], table
    with pytest.raises(NotFoundError, match="There is no run 'erm-1'"):
        workspace.run("erm-1")


def test_a_suite_is_kept_for_the_runs_in_the_trash(workspace: Workspace) -> None:
    for name in ("ftft-0", "ftft-1", "erm-0", "erm-1"):
        workspace.remove_run(name)
    workspace.remove_subset("ambiguous-33")
    reference = workspace.remove_run("map-run")
    with pytest.raises(InputError, match="in use") as refused:
        workspace.remove_suite("toy")
    assert f"removed run map-run (`ftft runs purge {reference}` deletes it for good)" in refused.value.problems
    workspace.purge_runs()
    workspace.remove_suite("toy")
    assert workspace.suites().empty


def test_the_suite_of_an_imported_run_goes_and_comes_with_it(workspace: Workspace) -> None:
    dynamics = workspace.dynamics("map-run")
    workspace.import_dynamics(dynamics, name="other")
    first = workspace.remove_run("other")
    assert workspace.suites()["suite"].tolist() == ["toy"]
    # The same once more, under the same name: what one does after a slip.
    workspace.import_dynamics(dynamics, name="other")
    assert workspace.restore_run(first) == "other-2"
    assert workspace.suites()["suite"].tolist() == ["toy", "other-2", "other"]
    assert workspace.run("other-2")["suite"] == "other-2"
    assert len(workspace.data_map("other-2")) == len(workspace.data_map("other"))
    workspace.remove_run("other")
    workspace.purge_runs()
    with workspace.database.reading() as connection:
        assert connection.execute("SELECT name FROM base.all_suites ORDER BY 1").fetchall() == [("other-2",), ("toy",)]


def test_what_waits_to_be_taken_in_is_taken_in_after_restoring(workspace: Workspace) -> None:
    run = queue(workspace, Path(workspace.run("map-run")["model"]), name="late", method="erm")
    leave_dynamics(workspace, run)
    workspace.remove_run(run)
    workspace.sync()
    assert len(list((workspace.trash / run / "outbox").glob("*.parquet"))) == 4
    workspace.restore_run(run)
    assert workspace.run(run)["counted_epochs"] == 4
    assert workspace.run(run)["status"] == "cancelled"


def test_an_interrupted_removal_is_finished_by_removing_or_restoring(workspace: Workspace) -> None:
    run_id = workspace.run("erm-0")["run_id"]
    folder = workspace.run_folder(run_id).path
    workspace.remove_run("erm-0")
    # Killed between the row and the folder.
    shutil.move(workspace.trash / run_id, folder)
    workspace.sync()
    assert workspace.restore_run(run_id) == "erm-0"
    assert folder.exists()
    # The same the other way round: marked as there, but not moved back.
    shutil.move(folder, workspace.trash / run_id)
    workspace.remove_run("erm-0")
    assert (workspace.trash / run_id / "run.json").exists()
    assert workspace.purge_runs([run_id]) > 0


def test_a_run_that_was_started_meanwhile_stays(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    run = queue(workspace, Path(workspace.run("map-run")["model"]), name="eager", method="erm")
    monkeypatch.setattr(type(workspace._queue), "kill", lambda self, folder: folder.claim("training"))
    with pytest.raises(RunError, match="started again while it was being removed"):
        workspace.remove_run(run)
    assert workspace.run_folder(run).path.exists()
    assert workspace.removed_runs().empty


def test_disk_use_counts_a_linked_file_once(workspace: Workspace) -> None:
    run = queue(workspace, Path(workspace.run("map-run")["model"]), name="heavy", method="erm")
    folder = workspace.run_folder(run).path
    bare = workspace.disk_bytes(run)
    for path, size in (("checkpoint-8/model.safetensors", 1000), ("model/weights", 300), ("best.safetensors", 50)):
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(b"x" * size)
    (folder / "checkpoint-8" / "best.safetensors").hardlink_to(folder / "best.safetensors")
    use = workspace.disk_use().set_index("run_id").loc[run]
    assert use.to_dict() == {
        "checkpoint_bytes": 1050, "model_bytes": 300, "other_bytes": bare, "total_bytes": bare + 1350
    }  # fmt: skip


def test_runs_of_an_older_workspace_are_all_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "old.duckdb"
    every = list(migrations.MIGRATIONS)
    monkeypatch.setattr(migrations, "MIGRATIONS", every[:4])
    with connection_module.Database(path).writing() as connection:
        connection.execute("INSERT INTO base.suites VALUES (1, 's', 'f', 't', ['a'], false, [], now()::TIMESTAMP)")
        connection.execute(
            "INSERT INTO base.runs (run_no, run_id, name, suite_no, suite_fingerprint, training_fingerprint, model,"
            " num_layers, method, seed, status, message, fraction, config, created_at, kept_step)"
            " VALUES (2, 'r2', 'two', 1, 'f', 't', 'm', 1, 'erm', 0, 'finished', '', 1, '{}', now()::TIMESTAMP, 7)"
        )
    monkeypatch.setattr(migrations, "MIGRATIONS", every)
    with connection_module.Database(path).reading() as connection:
        assert connection.execute("SELECT name, suite, kept_step FROM runs").fetchall() == [("two", "s", 7)]


def test_the_command_line_removes_restores_and_purges(workspace: Workspace, bare: CommandLine) -> None:
    of = ("--workspace", workspace.folder)
    shown = bare("runs", "show", "erm-0", "--json", *of).json
    assert shown["disk_bytes"] == workspace.disk_bytes("erm-0")
    removed = bare("runs", "remove", "erm-0", "--json", *of).json
    assert removed == {
        "removed": "erm-0", "run_id": shown["run_id"], "name": "erm-0", "disk_bytes": shown["disk_bytes"]
    }  # fmt: skip
    listed = bare("runs", "trash", "--json", *of).json
    assert [row["name"] for row in listed] == ["erm-0"]
    restored = bare("runs", "restore", "erm-0", "--json", *of)
    assert restored.json == {"run_id": shown["run_id"], "name": "erm-0", "status": "finished"}
    assert "`ftft runs restore r" in bare("runs", "remove", "erm-0", *of).stdout
    refused = bare("runs", "purge", *of)
    assert (refused.exit_code, "or give --all" in refused.stderr) == (2, True)
    purged = bare("runs", "purge", "--all", "--json", *of).json
    assert purged == {"purged": [shown["run_id"]], "freed_bytes": shown["disk_bytes"]}


def test_a_run_that_is_removed_while_it_waits_never_starts(workspace: Workspace) -> None:
    run = queue(workspace, Path(workspace.run("map-run")["model"]), name="waits", method="erm")
    workspace.remove_run(run)
    assert workspace._queue.waiting() == []
    workspace.restore_run(run)
    assert workspace.run(run)["status"] == "cancelled"
    finish(workspace, run, flops=1.0)
    assert workspace.run(run)["status"] == "finished"
