"""The queue on the command line: its order, moving, trying again, logs, repeating, and the worker's settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from ftft_core.jobs import Queue, WorkerSettings
from ftft_core.workspace import Workspace
from tests.cli.conftest import Ask
from tests.ui_workspace import queue


@pytest.fixture(autouse=True)
def nobody_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is trained here: what is queued waits."""
    monkeypatch.setattr(Queue, "ensure_worker", lambda _: None)


@pytest.fixture
def waiting(workspace: Workspace) -> list[str]:
    model = Path(workspace.run("map-run")["model"])
    return [queue(workspace, model, name=name, method="erm") for name in ("first", "second", "third")]


def names(ask: Ask) -> list[tuple[str, int | None]]:
    return [(row["name"], row["position"]) for row in ask("runs", "list").json]


def test_the_list_stands_as_the_queue_does_and_a_run_can_be_moved_in_it(
    ask: Ask, bare: Ask, workspace: Workspace, waiting: list[str]
) -> None:
    folder = workspace.run_folder(waiting[1])
    folder.claim("training", runs_on="cpu")
    folder.write_progress({"step": 3, "num_steps": 30, "seconds_left": 240.0})
    assert names(ask)[:4] == [("second", 0), ("first", 1), ("third", 2), ("ftft-1", None)]
    assert ask("runs", "list").json[0]["seconds_left"] == 240
    moved = ask("runs", "move", "third", "--to", 1).json
    assert moved == {"run_id": waiting[2], "name": "third", "status": "queued", "position": 1}
    assert names(ask)[:3] == [("second", 0), ("third", 1), ("first", 2)]
    shown = bare("runs", "list", "--workspace", workspace.folder).stdout
    assert shown.index("second") < shown.index("third") < shown.index("first") < shown.index("ftft-1")
    assert "4 min" in shown
    assert "is running; only a run that waits can be moved" in ask("runs", "move", "second", "--to", 1).failed(1)
    assert "received 0; it must be at least 1" in ask("runs", "move", "first", "--to", 0).failed()
    assert "Missing option '--to'" in ask("runs", "move", "first").failed()


def test_a_run_that_failed_is_tried_again_and_its_log_says_why_it_had_to(
    ask: Ask, bare: Ask, workspace: Workspace, waiting: list[str]
) -> None:
    folder = workspace.run_folder(waiting[0])
    assert ask("runs", "log", "first").json["log"] == ""
    folder.log.write_text("\n".join(f"line {number}" for number in range(100)), encoding="utf-8")
    folder.set_status("failed", "for a reason")
    assert ask("runs", "log", "first", "--lines", 2).json["log"] == "line 98\nline 99"
    assert bare("runs", "log", "first", "--workspace", workspace.folder).stdout.startswith("line 60\n")
    (folder.path / "checkpoint-4").mkdir()
    assert ask("runs", "retry", "first", "--detach").json["status"] == "queued"
    assert folder.checkpoints()
    folder.set_status("lost")
    assert ask("runs", "retry", "first", "--from-scratch", "--detach").json["status"] == "queued"
    assert not folder.checkpoints()
    assert "there is nothing to try again" in ask("runs", "retry", "first").failed(1)


def test_a_run_is_repeated_with_what_is_given_changed(ask: Ask, workspace: Workspace) -> None:
    given = workspace.config_of("ftft-0")
    answer = ask("train", "--like", "ftft-0", "--seed", 9, "--gradient-clip-norm", "none", "--detach").json
    again = workspace.config_of(answer["run_id"])
    assert (again.seed, again.training.gradient_clip_norm) == (9, None)
    assert (again.subset, again.reference, again.budget) == (given.subset, given.reference, given.budget)
    logged = ask("train", "--like", "ftft-0", "--tracker", "tensorboard", "--seed", 8, "--detach").json["run_id"]
    assert workspace.config_of(logged).training.trackers == ("tensorboard",)
    like = ask("train", "--like", logged, "--seed", 7, "--detach").json["run_id"]
    assert workspace.config_of(like).training.trackers == ("tensorboard",)
    unlogged = ask("train", "--like", logged, "--tracker", "none", "--seed", 6, "--detach").json["run_id"]
    assert workspace.config_of(unlogged).training.trackers == ()
    refused = ask("train", "--like", logged, "--tracker", "mlflow", "--tracker", "tensorbord").failed()
    assert "There is no tracker 'tensorbord' (known: wandb, mlflow, tensorboard, trackio)" in refused
    plain = ask("train", "--like", "ftft-0", "--subset", "none", "--method", "erm", "--name", "plain", "--detach").json
    assert plain["name"] == "plain"
    assert workspace.run("plain")["subset"] is None
    assert "There is no run 'nobody'" in ask("train", "--like", "nobody").failed()
    assert (
        "layers: received 'x'; it must be a whole number" in ask("train", "--like", "ftft-0", "--layers", "x").failed()
    )
    assert "A run named 'erm-0' is there already" in ask("train", "--like", "ftft-0", "--name", "erm-0").failed()


def test_the_worker_keeps_what_it_is_told_about_places(
    ask: Ask, bare: Ask, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftft_core.jobs.worker._IDLE_SECONDS", 0.1)
    answer = ask("worker", "--until-idle", "--devices", "cpu", "--runs-per-device", 3).json
    assert answer == {"settings": {"devices": ["cpu"], "runs_per_device": 3}, "runs": []}
    assert workspace.worker_settings() == WorkerSettings(devices=("cpu",), runs_per_device=3)
    assert ask("worker", "--until-idle", "--devices", "all").json["settings"]["devices"] is None
    assert (
        "runs_per_device: received 'many'; it must be a whole number"
        in ask("worker", "--runs-per-device", "many").failed()
    )
    assert "received cuda:77; this machine has" in ask("worker", "--devices", "cuda:77").failed()
    said = bare("worker", "--until-idle", "--workspace", workspace.folder)
    assert said.stdout == "0 runs worked on; 0 in the queue.\n"
    assert "3 at a time on" in said.stderr
