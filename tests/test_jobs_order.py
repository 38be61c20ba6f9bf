"""The queue without training: order, trying again, repeating with changes, settings, and what is told of runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ftft_core.errors import InputError, NotFoundError, RunError
from ftft_core.jobs import Queue, WorkerSettings, devices, ends, find_devices
from ftft_core.jobs.devices import device_environment
from ftft_core.run_folder import RunFolder
from ftft_core.selection import Recipe
from ftft_core.workspace import Workspace
from tests.ui_workspace import leave_dynamics, make_workspace, queue


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make_workspace(tmp_path_factory.mktemp("order"))


@pytest.fixture
def workspace(toy: Workspace, tmp_path: Path) -> Workspace:
    shutil.copytree(toy.folder, tmp_path / "toy")
    return Workspace(tmp_path / "toy")


@pytest.fixture(autouse=True)
def nobody_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is trained here: what is queued waits."""
    monkeypatch.setattr(Queue, "ensure_worker", lambda _: None)


def queued(workspace: Workspace, *names: str) -> list[str]:
    model = Path(workspace.run("map-run")["model"])
    return [queue(workspace, model, name=name, method="erm") for name in names]


def waiting(workspace: Workspace) -> list[str]:
    frame = workspace.queue()
    assert frame["position"].tolist() == list(range(1, len(frame) + 1))
    return [str(name) for name in frame["name"]]


@pytest.mark.parametrize(
    ("moved", "position", "order"),
    [("c", 1, "cabd"), ("a", 4, "bcda"), ("a", 99, "bcda"), ("d", 2, "adbc"), ("b", 2, "abcd"), ("b", 3, "acbd")],
)
def test_a_waiting_run_goes_where_it_is_moved_and_the_others_stay_in_order(
    workspace: Workspace, moved: str, position: int, order: str
) -> None:
    queued(workspace, *"abcd")
    since = workspace.progress(moved).since
    workspace.move(moved, position)
    assert waiting(workspace) == list(order)
    assert workspace.progress(moved).since == since  # It waits no shorter than before.


def test_places_between_two_neighbours_never_run_out(workspace: Workspace) -> None:
    queued(workspace, *"abc")
    for _ in range(30):
        workspace.move("c", 2)
        workspace.move("b", 2)
    assert waiting(workspace) == list("abc")
    queued(workspace, "d")
    assert waiting(workspace) == list("abcd")


def test_only_what_waits_can_be_moved_and_only_to_a_place(workspace: Workspace) -> None:
    queued(workspace, "a")
    with pytest.raises(InputError, match="received 0; it must be at least 1, which is next"):
        workspace.move("a", 0)
    with pytest.raises(RunError, match="is finished; only a run that waits can be moved"):
        workspace.move("erm-0", 1)


def test_what_was_moved_keeps_its_place_beside_what_is_queued_later(workspace: Workspace) -> None:
    queued(workspace, "a", "b")
    workspace.move("b", 1)
    queued(workspace, "c")
    workspace.cancel("a")
    workspace.resume("a")
    assert waiting(workspace) == ["b", "c", "a"]


def test_a_run_is_tried_again_from_its_checkpoint_or_from_scratch(workspace: Workspace) -> None:
    (run_id,) = queued(workspace, "again")
    folder = workspace.run_folder(run_id)
    with pytest.raises(RunError, match="is queued, so there is nothing to try again"):
        workspace.retry("again")
    with pytest.raises(RunError, match=r"is finished, so .* `ftft train --like erm-0` trains it once more"):
        workspace.retry("erm-0")
    leave_dynamics(workspace, run_id)
    (folder.path / "checkpoint-8").mkdir()
    folder.write_progress({"step": 8, "num_steps": 30, "train_seconds": 2.0, "examples_seen": 64})
    folder.append_history({"kind": "step", "step": 8, "epoch": 0, "loss": 0.5})
    folder.set_status("failed", "out of luck", num_optimizer_steps=8)
    workspace.sync()
    told = workspace.progress("again")
    assert (told.can_resume, told.examples_per_second, told.message) == (True, 32.0, "out of luck")
    assert workspace.run("again")["counted_epochs"] == 4

    workspace.retry("again")
    assert waiting(workspace) == ["again"]
    assert folder.checkpoints() != []
    folder.set_status("lost", "gone")
    workspace.retry("again", from_scratch=True)
    row = workspace.run("again")
    assert (row["status"], row["counted_epochs"], row["num_optimizer_steps"]) == ("queued", 0, None)
    assert folder.checkpoints() == []
    assert workspace.curves("again").empty
    assert workspace.progress("again").step is None
    assert not workspace.progress("again").can_resume


def test_a_run_that_still_has_a_process_is_not_emptied(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    (run_id,) = queued(workspace, "held")
    folder = workspace.run_folder(run_id)
    folder.set_status("lost", "nobody heard of it")
    monkeypatch.setattr("ftft_core.jobs.queue._LEAVE_SECONDS", 0.05)
    with folder.training(), pytest.raises(RunError, match="A process still trains run"):
        workspace.retry("held", from_scratch=True)


def test_a_run_is_repeated_with_everything_but_what_is_changed(workspace: Workspace) -> None:
    given = workspace.config_of("ftft-0")
    assert (given.name, given.method, given.subset) == (None, "ftft", workspace.run("ftft-0")["subset"])
    like = workspace.config_of(workspace.duplicate("ftft-0", {"seed": 5, "batch_size": 8}))
    assert like == given.model_copy(update={"seed": 5, "training": given.training.model_copy(update={"batch_size": 8})})
    row = workspace.run(workspace.duplicate("ftft-0", {"max_steps": 3, "name": "mine"}))
    assert (row["name"], row["reference_run"]) == ("mine", workspace.run("ftft-0")["reference_run"])
    assert json.loads(row["config"])["budget"] == {"epochs": None, "max_steps": 3, "max_flops": None}
    assert workspace.run(workspace.duplicate("ftft-0", {}))["name"] == "ftft-0-3"


def test_what_belongs_to_something_that_is_changed_goes_with_it(workspace: Workspace) -> None:
    patient = workspace.duplicate("erm-0", {"stop": "patience", "patience": 2})
    assert workspace.config_of(patient).patience == 2
    settled = workspace.config_of(workspace.duplicate(patient, {"stop": "settled"}))
    assert (settled.patience, settled.settled_overlap) == (None, 0.8)
    assert workspace.config_of(workspace.duplicate(patient, {"stop": None})).stop_values == {}
    # A reference that came with the subset goes with it.
    plain = workspace.config_of(workspace.duplicate("ftft-0", {"method": "erm", "subset": None}))
    assert (plain.subset, plain.reference) == (None, None)


def test_a_repetition_that_cannot_be_is_refused_with_the_way_out(workspace: Workspace) -> None:
    before = len(workspace.runs())
    with pytest.raises(InputError) as refused:
        workspace.duplicate("erm-0", {"epochs": "many", "colour": "red"})
    assert "budget.epochs: received 'many'; it must be a number." in refused.value.problems
    assert any("colour: unknown key" in problem for problem in refused.value.problems)
    with pytest.raises(NotFoundError, match="There is no run 'nobody'"):
        workspace.duplicate("nobody", {})
    with pytest.raises(NotFoundError, match="There is no suite 'elsewhere'"):
        workspace.duplicate("erm-0", {"suite": "elsewhere"})
    # What a run was trained on can't be removed as long as the run is there; what else was is told with the way back.
    gone = workspace.save_subset(Recipe(source_run="map-run", strategy="hard", fraction=0.2), name="gone")
    workspace.remove_subset("gone")
    with pytest.raises(NotFoundError, match=rf"was removed; `ftft subset restore {gone.subset}`"):
        workspace.duplicate("ftft-0", {"subset": gone.subset})
    shutil.rmtree(workspace.folder / "suites")
    with pytest.raises(InputError, match="nothing can be trained on it"):
        workspace.duplicate("erm-0", {})
    assert len(workspace.runs()) == before


def test_places_are_settings_of_the_workspace(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    assert workspace.worker_settings() == WorkerSettings(devices=None, runs_per_device=1)
    monkeypatch.setattr("ftft_core.jobs.devices.find_devices", lambda: ("cuda:0", "cuda:1"))
    workspace.change_worker_settings(devices=("cuda:1", "cpu"), runs_per_device="2")
    workspace.change_worker_settings(runs_per_device=3)
    assert Workspace(workspace.folder).worker_settings() == WorkerSettings(devices=("cuda:1", "cpu"), runs_per_device=3)
    for changes, said in (
        ({"devices": ("cuda:2",)}, "received cuda:2; this machine has cuda:0, cuda:1, cpu"),
        ({"devices": ("gpu",)}, "received gpu; it must name each device once"),
        ({"devices": ("cpu", "cpu")}, "received cpu, cpu; it must name each device once"),
        ({"devices": ()}, "received none"),
        ({"runs_per_device": 0}, "it must be at least 1"),
        ({"colour": "red"}, "colour: unknown key"),
    ):
        with pytest.raises(InputError) as refused:
            workspace.change_worker_settings(**changes)
        assert said in str(refused.value)
    (workspace.folder / "settings.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match=r"can't be understood .* remove it for the defaults"):
        workspace.worker_settings()


def test_gpus_are_found_and_a_process_is_kept_to_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    if not find_devices()[0].startswith("cuda"):
        assert find_devices() == (devices.this_machine().device,)
        assert device_environment(find_devices()[0]) == {}

    machine = devices.this_machine()
    monkeypatch.setattr(devices, "this_machine", lambda: type(machine)("cuda", "a GPU", 1))
    monkeypatch.setattr(devices, "_count_gpus", lambda: 3)
    assert find_devices() == ("cuda:0", "cuda:1", "cuda:2")
    order = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    assert device_environment("cuda:2") == {**order, "CUDA_VISIBLE_DEVICES": "2"}
    assert device_environment("cpu") == {"CUDA_VISIBLE_DEVICES": "", "ACCELERATE_USE_CPU": "true"}
    # Where some GPUs are hidden from us, names count those that are left.
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-5a, 7")
    assert find_devices() == ("cuda:0", "cuda:1")
    assert device_environment("cuda:1") == {**order, "CUDA_VISIBLE_DEVICES": "7"}


def test_curves_name_the_split_and_its_role(workspace: Workspace) -> None:
    (run_id,) = queued(workspace, "curved")
    folder = workspace.run_folder(run_id)
    folder.append_history({"kind": "step", "step": 2, "epoch": 0, "loss": 0.7, "learning_rate": 1e-4})
    for split, step, accuracy in (("dev", 4, 0.5), ("usual", 6, 0.6), ("far", 6, 0.7), ("dev", 8, 0.8)):
        scores = {"accuracy": accuracy, "macro_f1": accuracy / 2, "ece": 0.1, "num_examples": 40}
        kind = {"kind": f"evaluation:{split}", "step": step, "epoch": step // 8, "split": split, "final": False}
        folder.append_history({**kind, **scores})
    frame = workspace.curves("curved")
    assert frame.columns.tolist() == ["step", "epoch", "what", "split", "role", "value"]
    assert frame.iloc[0].tolist() == [2, 0, "loss", None, "train", 0.7]
    accuracy = frame[frame["what"] == "accuracy"][["step", "split", "role", "value"]]
    assert accuracy.to_numpy().tolist() == [
        [4, "dev", "dev", 0.5],
        [6, "usual", "in_distribution", 0.6],
        [6, "far", "out_of_distribution", 0.7],
        [8, "dev", "dev", 0.8],
    ]
    assert set(frame["what"]) == {"loss", "accuracy", "macro_f1", "ece"}


def claimed(folder: RunFolder, **facts: Any) -> None:
    """Have a run claimed for a process that has ended since."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        folder.claim("starting", pid=process.pid, **facts)
        process.kill()


def test_a_run_that_never_began_is_tried_again_but_not_for_ever(workspace: Workspace) -> None:
    first, _ = queued(workspace, "first", "second")
    folder = workspace.run_folder(first)
    place = ends.place_of(folder.read_state())
    for attempt in range(1, ends.MOST_ATTEMPTS):
        claimed(folder, place=place, attempts=attempt, runs_on="cpu")
        assert workspace.progress("first").status == "queued"
        assert waiting(workspace) == ["first", "second"]
        assert folder.read_state()["attempts"] == attempt
    claimed(folder, place=place, attempts=ends.MOST_ATTEMPTS)
    assert workspace.progress("first").status == "lost"


def test_a_run_that_was_to_be_handed_back_is_whoever_looks_first(workspace: Workspace) -> None:
    (run_id,) = queued(workspace, "returning")
    folder = workspace.run_folder(run_id)
    for ended in ("cancelled", "lost"):
        ends.ask_to_return(folder, 5.0)
        folder.request_cancel()
        folder.set_status(ended, "stopped on request")
        told = workspace.progress("returning")
        assert (told.status, told.message) == ("queued", ends.RETURNED)
        assert not folder.cancel_requested
        assert not ends.returns(folder)
        assert ends.place_of(folder.read_state()) == 5.0
    # What finished or failed meanwhile has ended.
    for ended in ("failed", "finished"):
        ends.ask_to_return(folder, 5.0)
        folder.set_status(ended, "so it is")
        assert workspace.progress("returning").status == ended
        assert not ends.returns(folder)


def test_what_is_cancelled_while_its_worker_stops_stays_cancelled(workspace: Workspace) -> None:
    (run_id,) = queued(workspace, "unwanted")
    folder = workspace.run_folder(run_id)
    folder.claim("training")
    ends.ask_to_return(folder, 5.0)
    workspace.cancel("unwanted")
    folder.set_status("cancelled", "stopped on request")
    assert workspace.progress("unwanted").status == "cancelled"


def test_a_run_on_another_machine_is_alive_as_long_as_that_gives_signs_of_life(workspace: Workspace) -> None:
    (run_id,) = queued(workspace, "far-away")
    folder = workspace.run_folder(run_id)
    folder.set_status("running", "training", pid=1, pid_started=0, host="elsewhere")
    state = folder.path / "state.json"

    def silent_for(seconds: float) -> None:
        """Have its last progress, and the last touch of the worker there, be that long ago."""
        then = time.time() - seconds
        (folder.path / "progress.json").write_text(json.dumps({"updated_at": then}), encoding="utf-8")
        os.utime(state, (then, then))

    silent_for(5)
    assert workspace.progress("far-away").message == "training"
    silent_for(100)
    told = workspace.progress("far-away")
    assert told.status == "running"
    assert "nothing was heard of it for 100 s; its machine elsewhere may sleep or be off" in told.message
    os.utime(state)  # In a long evaluation there is no progress to write, but its worker is there.
    assert workspace.progress("far-away").message == "training"
    silent_for(100_000)
    assert workspace.progress("far-away").status == "lost"
