"""Trackers of a run: everything stands there once, going on goes on there, and what fails there harms nothing here.

TensorBoard is the real one, and its files are read back. Of the others, those that are installed and can write into a
folder are tried, too; the tests pass without them.
"""

from __future__ import annotations

import io
import json
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import redirect_stderr
from pathlib import Path

import pytest

from ftft_core.config import missing_trackers
from ftft_core.run_folder import RunFolder
from ftft_core.training.__main__ import main
from tests.conftest import environment, write_suite_files
from tests.training_runs import Runs, read_outbox

STEPS = 24  # 96 examples, 16 in a batch, 4 epochs
KEYS_OF_STEPS = ("train/loss", "train/learning_rate", "train/epoch", "cost/train_flops", "cost/train_seconds")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Runs:
    folder = tmp_path_factory.mktemp("tracking")
    return Runs(folder, write_suite_files(folder / "suite"), tiny_model)


def queue(runs: Runs, run_id: str, *trackers: str) -> RunFolder:
    return runs.queue(
        run_id, name=f"name-of-{run_id}", trackers=trackers, snapshots=2, budget={"epochs": 4}, checkpoint_seconds=0.05
    )


def train(folder: RunFolder) -> str:
    """Train a run to its end; give what it printed."""
    with redirect_stderr(io.StringIO()) as said:
        assert main(folder) == 0, said.getvalue()
    return said.getvalue()


def kill(folder: RunFolder, *, after_step: int) -> None:
    """Train a run in a process of its own, and kill that."""
    command = [sys.executable, "-m", "ftft_core.training", str(folder.path)]
    with subprocess.Popen(command, env=environment(folder.path), stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            if folder.checkpoints() and folder.read_progress().get("step", 0) >= after_step:
                process.kill()
            time.sleep(0.005)
    assert process.returncode == -signal.SIGKILL


def read_tensorboard(folder: RunFolder) -> dict[str, list[tuple[int, float]]]:
    """Give steps and values of every scalar, as TensorBoard shows them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    written = EventAccumulator(str(folder.trackers / "tensorboard" / f"name-of-{folder.run_id}"), {"scalars": 0})
    written.Reload()
    return {key: [(event.step, event.value) for event in written.Scalars(key)] for key in written.Tags()["scalars"]}


def assert_all_is_told_once(folder: RunFolder, told: dict[str, list[tuple[int, float]]]) -> None:
    history = folder.read_history()
    for key in KEYS_OF_STEPS:
        assert [step for step, _ in told[key]] == list(range(1, STEPS + 1)), key
    losses = [record["loss"] for record in history if record["kind"] == "step"]
    assert [value for _, value in told["train/loss"]] == pytest.approx(losses, rel=1e-6)
    assert [step for step, _ in told["dev/accuracy"]] == [6, 12, 18]
    for split in ("in_distribution/test", "out_of_distribution/shifted"):
        assert [step for step, _ in told[f"{split}/accuracy"]] == [8, 16]
    final = {record["split"]: record["accuracy"] for record in history if record.get("final")}
    for name, place in {"dev": "dev", "test": "in_distribution/test", "shifted": "out_of_distribution/shifted"}.items():
        assert told[f"final/{place}/accuracy"] == [(STEPS, pytest.approx(final[name], rel=1e-6))]
    assert told["cost/num_optimizer_steps"] == [(STEPS, STEPS)]
    assert told["cost/train_flops"][-1][1] == pytest.approx(folder.read_state()["train_flops"], rel=1e-6)
    assert told["cost/snapshot_flops"][0][1] == pytest.approx(folder.read_state()["snapshot_flops"], rel=1e-6)


def test_tensorboard_shows_a_killed_run_that_went_on_once_and_the_run_is_the_same_bits(runs: Runs) -> None:
    plain, tracked = queue(runs, "plain"), queue(runs, "tracked", "tensorboard")
    train(plain)
    kill(tracked, after_step=9)
    train(tracked)
    assert tracked.read_state()["resumed_from_step"] > 0
    assert_all_is_told_once(tracked, read_tensorboard(tracked))
    # Its configuration is told once, too, and holds no nulls.
    (told,) = tracked.trackers.glob("tensorboard/*/*/hparams.yml")
    said = told.read_text(encoding="utf-8")
    assert "suite: reviews" in said
    assert "training.learning_rate: 0.001" in said
    assert "budget.epochs: 4.0" in said
    assert "null" not in said

    assert not plain.trackers.exists()
    weights = [(run.model / "model.safetensors").read_bytes() for run in (plain, tracked)]
    assert weights[0] == weights[1]
    outboxes = [read_outbox(run) for run in (plain, tracked)]
    assert outboxes[0].keys() == outboxes[1].keys()
    for name, table in outboxes[0].items():
        assert table.to_json() == outboxes[1][name].to_json(), name
    # Nothing lies elsewhere, and beginning anew forgets it.
    names = [{path.name for path in run.path.iterdir()} for run in (plain, tracked)]
    assert names[1] - names[0] == {"trackers"}
    assert not [path for path in tracked.trackers.rglob(".*") if path.name.endswith(".new")]
    tracked.start_anew()
    assert not tracked.trackers.exists()


def test_a_tracker_that_fails_is_said_once_and_the_run_goes_on(runs: Runs) -> None:
    folder = queue(runs, "failing", "tensorboard")
    folder.trackers.mkdir()
    (folder.trackers / "tensorboard").write_text("in its way")
    said = train(folder)
    assert said.count("the run goes on, but is not logged to tensorboard any more: ") == 1, said
    state = folder.read_state()
    assert state["status"] == "finished"
    assert state["message"].startswith("not all of it was logged to tensorboard: ")
    assert len(read_outbox(folder)) == len(read_outbox(RunFolder(folder.path.with_name("plain"))))


def test_a_tracker_that_is_not_installed_where_the_run_is_trained_is_left_out(runs: Runs) -> None:
    if not missing_trackers(["trackio"]):
        pytest.skip("trackio is installed")
    folder = queue(runs, "elsewhere", "trackio", "tensorboard")
    said = train(folder)
    assert "is not logged to trackio any more" in said
    assert "`pip install trackio`" in folder.read_state()["message"]
    assert_all_is_told_once(folder, read_tensorboard(folder))


def test_trackio_goes_on_in_the_same_run(runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if missing_trackers(["trackio"]):
        pytest.skip("trackio is not installed")
    folder = queue(runs, "trackio", "trackio")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path))
    kill(folder, after_step=9)
    train(folder)
    (database,) = tmp_path.glob("reviews*.db")
    with sqlite3.connect(database) as connection:
        rows = connection.execute("SELECT run_name, step, metrics FROM metrics ORDER BY step, id").fetchall()
    assert {name for name, _, _ in rows} == {"name-of-trackio"}
    steps = [step for _, step, values in rows if "train/loss" in json.loads(values)]
    # It writes a moment later than it says; what a kill took with it is missing, but nothing stands there twice.
    assert sorted(set(steps)) == steps
    assert steps[-1] == STEPS


def test_wandb_goes_on_under_the_same_id(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    if missing_trackers(["wandb"]):
        pytest.skip("wandb is not installed")
    folder = queue(runs, "wandb", "wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    kill(folder, after_step=9)
    train(folder)
    parts = sorted((folder.trackers / "wandb").glob("offline-run-*"))
    assert len(parts) == 2
    assert len({part.name.partition("-run-")[2].partition("-")[2] for part in parts}) == 1
    assert folder.read_state()["message"] == ""
