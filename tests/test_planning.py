"""Plans: what is expected is what a run then takes, a warm-up is kept for what it holds for, and survives a kill."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ftft_core.jobs.queue import Queue
from ftft_core.planning import (
    Machine,
    process,
    start,
    this_machine,
    warm_up_folder,
)
from ftft_core.planning.folder import measuring_lock
from ftft_core.planning.process import tidy
from ftft_core.workspace import Workspace, plans
from tests.conftest import ROOT
from tests.planning_workspace import (
    NUM_TRAIN,
    change_config,
    config,
    folder_of,
    make_planning_workspace,
    measure_here,
    spoilt,
)
from tests.training_runs import finish


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Workspace:
    """A workspace in which the warm-up of the tiny model was made."""
    workspace = make_planning_workspace(tmp_path_factory.mktemp("planning"), tiny_model)
    assert measure_here(workspace, config(tiny_model)) == 0
    return workspace


@pytest.fixture(autouse=True)
def no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that is queued here is trained by a worker."""
    monkeypatch.setattr(Queue, "ensure_worker", lambda _: None)


@pytest.fixture
def fresh(workspace: Workspace, tmp_path: Path) -> Workspace:
    """A copy in which nothing was measured."""
    shutil.copytree(workspace.folder, tmp_path / "workspace")
    shutil.rmtree(tmp_path / "workspace" / "plans")
    return Workspace(tmp_path / "workspace")


# -- what is expected ------------------------------------------------------------------------------------------------

RUNS: dict[str, dict[str, Any]] = {
    "epochs": {},
    "another seed": {"seed": 5},
    "part of an epoch": {"epochs": 1.3},
    "steps": {"epochs": None, "max_steps": 9},
    "FLOPs": {"epochs": None, "max_flops": 3e8},
    "reference": {"method": "reference"},
    "subset": {"subset": "third", "method": "random", "epochs": 3},
    "patience": {"stop": "patience", "patience": 1000, "epochs": 1},
}


@pytest.mark.parametrize("case", RUNS)
def test_steps_and_flops_are_those_that_the_run_takes(workspace: Workspace, tiny_model: Path, case: str) -> None:
    asked = config(tiny_model, **{name: value for name, value in RUNS[case].items()})
    plan = workspace.plan([asked])
    (expected,) = plan.runs
    assert expected is not None
    run = workspace.queue_run(asked)
    counters = finish(workspace.run_folder(run)).counters
    assert expected.num_steps == counters.step == plan.num_steps
    assert expected.train_flops == pytest.approx(counters.train_flops, rel=0.01)
    assert expected.stopping_flops == pytest.approx(
        counters.evaluation_flops if asked.stop == "patience" else 0.0, rel=0.01
    )


def test_a_plan_says_what_all_runs_take(workspace: Workspace, tiny_model: Path) -> None:
    asked = [config(tiny_model, seed=seed) for seed in (0, 1, 2)]
    plan, single = workspace.plan(asked), workspace.plan(asked[:1])
    assert plan.is_measured
    assert plan.problems == ()
    assert plan.num_steps == 3 * 2 * NUM_TRAIN // 16
    assert plan.train_flops == pytest.approx(3 * (single.train_flops or 0), rel=0.02)
    assert plan.seconds is not None
    assert plan.seconds > 3 * 0.9 * (single.seconds or 0)
    assert plan.peak_memory_bytes is not None
    assert plan.peak_memory_bytes > 50 * 2**20
    assert plan.erm_share == 1.0
    assert plan.words.startswith("3 runs, ")
    assert plan.words.endswith(", 100 % of plain fine-tuning")
    for run in plan.runs:
        assert run is not None
        assert run.seconds == pytest.approx(sum(run.parts.values()))
        assert run.train_seconds == run.parts["training"] > 0


def test_the_share_of_plain_fine_tuning_counts_the_reference(workspace: Workspace, tiny_model: Path) -> None:
    plain = workspace.plan([config(tiny_model, epochs=3)]).train_flops
    assert plain is not None
    reference = workspace.queue_run(config(tiny_model, method="reference", epochs=1))
    kept = workspace.expected(reference)
    assert kept is not None
    asked = config(tiny_model, subset="third", method="ftft", reference=reference, epochs=1)
    plan = workspace.plan([asked], full_steps=3 * NUM_TRAIN // 16)
    assert plan.train_flops is not None
    assert plan.erm_share == pytest.approx((plan.train_flops + kept["train_flops"]) / plain)
    assert plan.erm_share == pytest.approx((1 / 3 + 1) / 3, rel=0.1)


def test_the_full_budget_is_that_of_the_newest_plain_run(workspace: Workspace, tiny_model: Path) -> None:
    asked = config(tiny_model, subset="third", method="random", epochs=1)
    assert workspace.plan([asked]).erm_words == "3 epochs on everything"
    run = workspace.run_folder(workspace.queue_run(config(tiny_model, epochs=4, name="plain")))
    run.set_status("finished", "", num_steps_planned=24, train_flops=1.0)
    run.write_progress({"step": 24, "num_steps": 24, "train_flops": 1.0})
    workspace.sync()
    plan = workspace.plan([asked])
    assert plan.erm_words == "the 24 steps of plain"
    smaller = config(tiny_model, subset="third", method="random", epochs=1, batch_size=8)
    measure_here(workspace, smaller)
    halved = workspace.plan([smaller])
    assert halved.erm_words == "the 24 steps of 16 examples of plain"
    assert halved.erm_share == pytest.approx(plan.erm_share, rel=0.2), "as many examples cost as much"


def test_what_a_run_is_expected_to_take_is_kept_with_it(workspace: Workspace, tiny_model: Path) -> None:
    asked = config(tiny_model, name="expected")
    (estimate,) = workspace.plan([asked]).runs
    run = workspace.queue_run(asked)
    assert estimate is not None
    kept = json.loads((workspace.run_folder(run).path / "expected.json").read_text(encoding="utf-8"))
    assert kept["seconds"] == estimate.seconds
    assert workspace.expected(run) == kept
    unmeasured = workspace.queue_run(config(tiny_model, batch_size=7))
    assert workspace.expected(unmeasured) is None


# -- memory ----------------------------------------------------------------------------------------------------------


def test_more_memory_than_is_free_is_refused_with_the_batch_that_fits(
    workspace: Workspace, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = config(tiny_model)
    peak = (workspace.plan([asked]).peak_memory_bytes or 0) / 2**20
    monkeypatch.setattr(plans, "free_memory_mib", lambda: peak + 1)
    assert workspace.plan([asked]).problems == ()
    monkeypatch.setattr(plans, "free_memory_mib", lambda: peak - 1)
    (problem,) = workspace.plan([asked]).problems
    assert "with batch_size 16 takes about" in problem
    assert "lower batch_size" in problem


def test_a_warm_up_stops_before_memory_does(
    fresh: Workspace, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ftft_core.planning import __main__ as warming

    asked = config(tiny_model, batch_size=64)
    monkeypatch.setattr(warming, "free_memory_mib", lambda: 1.0)
    assert measure_here(fresh, asked) == 0
    result = folder_of(fresh, asked).result()
    assert result is not None
    assert not result.has_timings
    assert "steps" not in result.numbers
    # There is more by now, so it is as if it had not been tried.
    plan = fresh.plan([asked])
    assert (plan.problems, plan.is_measured) == ((), False)


# -- what a warm-up holds for ----------------------------------------------------------------------------------------

SAME: dict[str, dict[str, Any]] = {
    "seed": {"seed": 3},
    "budget": {"epochs": 9},
    "learning rate": {"learning_rate": 1e-3},
    "subset": {"subset": "third", "method": "random"},
    "method": {"method": "reference"},
    "name": {"name": "another"},
}
OTHER: dict[str, dict[str, Any]] = {
    "batch size": {"batch_size": 17},
    "precision": {"precision": "bf16"},
    "length": {"max_length": 64},
    "layers": {"layers": 3},
    "suite": {"suite": "other"},
}


@pytest.mark.parametrize("changes", SAME.values(), ids=SAME)
def test_a_warm_up_holds_for(workspace: Workspace, tiny_model: Path, changes: dict[str, Any]) -> None:
    assert workspace.plan([config(tiny_model, **changes)]).is_measured


@pytest.mark.parametrize("changes", OTHER.values(), ids=OTHER)
def test_a_warm_up_does_not_hold_for(workspace: Workspace, tiny_model: Path, changes: dict[str, Any]) -> None:
    plan = workspace.plan([config(tiny_model, **changes)])
    assert (plan.problems, plan.is_measured) == ((), False)


def test_a_warm_up_does_not_hold_for_other_files_of_the_model(
    workspace: Workspace, tiny_model: Path, tmp_path: Path
) -> None:
    model = spoilt(tiny_model, tmp_path / "model", lambda _: None)
    before = folder_of(workspace, config(model)).path
    assert folder_of(workspace, config(model)).path == before
    change_config(model, hidden_dropout_prob=0.3)
    assert folder_of(workspace, config(model)).path != before


@pytest.mark.parametrize("other", [Machine("cuda", "H100", 1), Machine("cpu", "x", 2), Machine("cpu", "y", 1)])
def test_a_warm_up_does_not_hold_for_another_machine(tmp_path: Path, tiny_model: Path, other: Machine) -> None:
    suite = {"fingerprint": "f", "folder": "suites/f", "num_train": 10}
    here = warm_up_folder(tmp_path, config(tiny_model), suite, Machine("cpu", "x", 1))
    assert warm_up_folder(tmp_path, config(tiny_model), suite, other).path != here.path


def test_the_threads_are_those_that_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert this_machine().num_threads == 3


# -- the process -----------------------------------------------------------------------------------------------------


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


@pytest.mark.slow
def test_a_killed_warm_up_leaves_no_trace_and_can_be_made_again(fresh: Workspace, tiny_model: Path) -> None:
    asked = config(tiny_model)
    plan_folder = fresh.folder / "plans"
    plan_folder.mkdir()
    with measuring_lock(plan_folder):  # Somebody else measures, so it waits.
        fresh.start_measuring([asked])
        assert fresh.measuring([asked]) is not None
        wait_until(lambda: str(fresh.measuring([asked])).startswith("waiting for another measurement"))
        # It is not started a second time.
        assert start(plan_folder, [folder_of(fresh, asked)], again=True) == []
        folder = folder_of(fresh, asked)
        (folder.path / ".checkpoint-1").mkdir()
        (folder.path / "checkpoint-1").mkdir()
        pid = json.loads((folder.path / "progress.json").read_text(encoding="utf-8"))["pid"]
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: fresh.measuring([asked]) is None)
        plan = fresh.plan([asked])
        assert not plan.is_measured
        assert plan.measuring_failed is not None
        assert "ended without a word" in plan.measuring_failed
        assert plan.words == "1 run, 12 steps, could not be measured"
        tidy(plan_folder)
        assert not list(folder.path.glob("*checkpoint-1"))
    assert measure_here(fresh, asked) == 0
    assert fresh.plan([asked]).measuring_failed is None
    assert fresh.plan([asked]).is_measured
    # What is measured is not measured again.
    assert start(plan_folder, [folder_of(fresh, asked)], again=True) == []


def test_of_those_that_wait_only_the_last_asked_for_stays(fresh: Workspace, tiny_model: Path) -> None:
    first, second = config(tiny_model), config(tiny_model, batch_size=8)
    plan_folder = fresh.folder / "plans"
    plan_folder.mkdir()
    with measuring_lock(plan_folder):
        fresh.start_measuring([first])
        fresh.start_measuring([second])
        wait_until(lambda: fresh.measuring([first]) is None)
        assert fresh.plan([first]).measuring_failed is None
        assert fresh.measuring([second]) is not None
        progress = folder_of(fresh, second).path / "progress.json"
        os.kill(json.loads(progress.read_text(encoding="utf-8"))["pid"], signal.SIGKILL)
        wait_until(lambda: fresh.measuring([second]) is None)


def test_what_only_loading_tells_is_a_problem_too(fresh: Workspace, tiny_model: Path, tmp_path: Path) -> None:
    model = spoilt(tiny_model, tmp_path / "model", lambda folder: change_config(folder, intermediate_size=128))
    asked = config(model)
    assert fresh.plan([asked]).problems == ()
    assert measure_here(fresh, asked) == 1
    plan = fresh.plan([asked])
    assert len(plan.problems) == 1
    assert "its files lack" in plan.problems[0]
    # The page asks every two seconds: it is not tried again at once.
    fresh.start_measuring([asked])
    assert fresh.measuring([asked]) is None


def test_a_large_workspace_keeps_the_newest_warm_ups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "MOST_KEPT", 2)
    for number in range(4):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        (folder / "measured.json").write_text("{}", encoding="utf-8")
        os.utime(folder, (number, number))
    tidy(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2", "3"]


def test_planning_imports_no_torch(workspace: Workspace, tiny_model: Path) -> None:
    code = f"""
import sys
from ftft_core.workspace import Workspace
asked = {{"suite": "reviews", "model": {str(tiny_model)!r}, "batch_size": 16, "epochs": 2}}
workspace = Workspace({str(workspace.folder)!r})
assert workspace.plan([asked]).is_measured
assert workspace.plan([{{**asked, "layers": 99}}]).problems
workspace.start_measuring([asked])
assert workspace.measuring([asked]) is None
print([name for name in ("torch", "transformers", "datasets") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"
