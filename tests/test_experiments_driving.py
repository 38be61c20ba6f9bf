"""Experiments as others see them: their record, who works on them, stopping, going on, and what they will take."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ftft_core import cli as command_line
from ftft_core import experiments
from ftft_core.errors import InputError, NotFoundError, RunError
from ftft_core.experiments import costs as costs_module
from ftft_core.experiments import follow, preview, preview_values, record
from ftft_core.experiments import running as running_module
from ftft_core.experiments.driving import drive, start_experiment, work_on
from ftft_core.jobs import Queue
from ftft_core.planning import duration_words
from ftft_core.suites import SpecText, look_again, origin_of
from ftft_core.workspace import Workspace
from tests.test_experiments_running import Instant, instant, toy, toy_recipe

__all__ = ["instant", "toy"]  # fixtures
NOBODY = 2**22 + 1
"""No process has this number: it is past the largest."""


@pytest.fixture
def recipe(instant: Instant, tmp_path: Path) -> Any:
    return toy_recipe(instant, tmp_path, methods=["erm", "ftft"], seeds=[0])


def unheard(_: object) -> None:
    """Watch nothing."""


def only(workspace: Workspace) -> record.Experiment:
    (found,) = experiments.experiments(workspace)
    return found


def test_whoever_works_on_an_experiment_leaves_a_record(instant: Instant, recipe: Any) -> None:
    seen: list[str] = []
    drive(instant.workspace, recipe, watch=lambda _: seen.append(only(instant.workspace).status))
    assert set(seen) == {"running"}
    found = only(instant.workspace)
    assert (found.status, found.recipe, found.suite) == ("finished", record._with_whole_paths(recipe), "toy")
    assert [(line.method, line.status) for line in found.runs] == [
        ("erm", "finished"), ("reference", "finished"), ("ftft", "finished"),
    ]  # fmt: skip
    assert found.runs[2].needs == (found.runs[1].key,)
    progress = follow(instant.workspace, found)
    assert (progress.num_finished, progress.fraction, progress.seconds_left) == (3, 1.0, None)
    # The same recipe is the same experiment, wherever the model's path is written from.
    again = recipe.model_copy(update={"seeds": (0,)})
    assert experiments.id_of(again) == found.experiment
    assert experiments.id_of(recipe.model_copy(update={"seeds": (1,)})) != found.experiment


def test_one_experiment_has_one_driver(instant: Instant, recipe: Any) -> None:
    told: list[str] = []

    def start_once_more(_: object) -> None:
        if told:
            return
        for start in (
            lambda: drive(instant.workspace, recipe, plan=plan, watch=unheard),
            lambda: start_experiment(instant.workspace, recipe, plan=plan),
        ):
            with pytest.raises(RunError, match=r"Experiment e[0-9a-f]{8} is under way already; .* stops it") as caught:
                start()
            told.append(caught.value.message)

    plan = preview(instant.workspace, recipe)
    drive(instant.workspace, recipe, plan=plan, watch=start_once_more)
    assert len(told) == 2
    folder = record.find(instant.workspace.folder, only(instant.workspace).experiment)
    with folder.driving(), pytest.raises(RunError, match="is under way already"):
        work_on(instant.workspace, folder, [], watch=unheard)


def test_a_wish_to_stop_is_heeded_and_the_next_one_goes_on(
    instant: Instant, recipe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr(Queue, "ensure_worker", lambda _: None)  # nothing ends by itself
    workspace = instant.workspace
    with pytest.raises(RunError, match="Stopped; the same command goes on from here"):
        drive(workspace, recipe, watch=lambda _: experiments.stop(workspace, only(workspace).experiment))
    found = only(workspace)
    assert found.status == "stopped"
    assert set(workspace.runs()["status"]) == {"cancelled", "finished"}
    with pytest.raises(RunError, match="so there is nothing to stop"):
        experiments.stop(workspace, found.experiment)
    monkeypatch.setattr(Queue, "ensure_worker", lambda _: instant.work())
    drive(workspace, recipe, watch=unheard)
    assert only(workspace).status == "finished"
    assert len(instant.trained) == 3


def test_a_driver_that_was_killed_is_seen_as_such_and_its_runs_can_be_stopped(
    instant: Instant, recipe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr(Queue, "ensure_worker", lambda _: None)
    workspace = instant.workspace
    folder = record.keep(workspace.folder, recipe)
    plan = preview(workspace, recipe)
    running_module._advance(workspace, plan.runs, start=True, started=set())
    folder.claim(plan.runs)
    folder.change(pid=NOBODY)
    found = only(workspace)
    assert (found.status, found.message.partition(" (")[0]) == ("interrupted", "its process ended without a word")
    assert not folder.is_driven()
    experiments.stop(workspace, found.experiment)
    assert only(workspace).status == "stopped"
    assert set(workspace.runs()["status"]) == {"cancelled", "finished"}


def test_stopping_one_leaves_what_another_waits_for(
    instant: Instant, tmp_path: Path, recipe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr(Queue, "ensure_worker", lambda _: None)
    workspace = instant.workspace
    other = toy_recipe(instant, tmp_path, methods=["erm", "focal"], seeds=[0])
    plan = preview(workspace, other)
    running_module._advance(workspace, plan.runs, start=True, started=set())
    record.keep(workspace.folder, other).claim(plan.runs)

    with pytest.raises(RunError, match="Stopped"):
        drive(workspace, recipe, watch=lambda _: experiments.stop(workspace, experiments.id_of(recipe)))
    statuses = workspace.runs().set_index("method")["status"]
    assert (statuses["erm"], statuses["focal"]) == ("queued", "queued")
    assert list(workspace.runs()["method"]).count("erm") == 1, "both use the same run"


def test_a_run_that_fails_is_told_by_the_record(instant: Instant, recipe: Any) -> None:
    instant.failing = lambda config: config.method == "reference"
    with pytest.raises(RunError, match="2 of 3 runs did not finish"):
        drive(instant.workspace, recipe, watch=unheard)
    found = only(instant.workspace)
    assert found.status == "failed"
    assert found.message.startswith("2 of 3 runs did not finish")
    assert [line.status for line in found.runs] == ["finished", "failed", "skipped"]


def test_an_unknown_one_is_told_and_a_broken_one_hides_no_other(instant: Instant, recipe: Any) -> None:
    drive(instant.workspace, recipe, watch=unheard)
    with pytest.raises(NotFoundError, match="There is no experiment 'e1'"):
        experiments.stop(instant.workspace, "e1")
    broken = instant.workspace.folder / "experiments" / "e0123abc"
    broken.mkdir()
    (broken / "state.json").write_text("{", encoding="utf-8")
    found = only(instant.workspace)
    experiments.remove(record.find(instant.workspace.folder, found.experiment))
    assert experiments.experiments(instant.workspace) == []
    assert len(instant.workspace.runs()) == 4, "the runs stay"


# -- what it will take -------------------------------------------------------------------------------------------------


def test_the_price_is_that_of_what_is_missing(instant: Instant, recipe: Any) -> None:
    workspace = instant.workspace
    before = preview(workspace, recipe)
    # map-run is of the same model: 1e9 FLOPs and 12 s in 30 steps; nothing is known of one with a single layer.
    assert (len(before.runs), before.num_missing, before.is_measured) == (3, 3, False)
    assert before.words == "3 runs, 0 of them finished already, 3 to do: not measured yet"
    assert before.erm_flops == pytest.approx(48 / 30 * 1e9)
    drive(workspace, recipe, watch=unheard)
    more = recipe.model_copy(update={"methods": ("erm", "ftft", "erm_matched", "random"), "seeds": (0, 1)})
    num_subsets = len(workspace.subsets())
    plan = preview(workspace, more)
    assert (len(plan.runs), plan.num_finished, plan.num_missing) == (10, 3, 7)
    # Instant takes 1e6 FLOPs a step: erm 48, its reference 8 (one layer, its own 2 epochs read as 8 steps), ftft and
    # random 16; matched is 16 + those of the reference, which the newest run of the kind tells.
    costs = {cost.method: cost for cost in plan.methods}
    assert costs["erm"].flops == pytest.approx(48e6)
    assert costs["ftft"].flops == costs["random"].flops == pytest.approx(16e6)
    assert costs["ftft"].share == pytest.approx((16e6 + costs["reference"].flops) / 48e6)
    assert costs["erm_matched"].flops == pytest.approx(costs["ftft"].flops + costs["reference"].flops)
    left = {"erm": 1, "reference": 1, "ftft": 1, "erm_matched": 2, "random": 2}
    assert plan.flops == pytest.approx(sum(count * costs[method].flops for method, count in left.items()))
    assert len(workspace.subsets()) == num_subsets, "looking saves nothing"


def test_several_devices_share_what_is_to_do(instant: Instant, recipe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    drive(instant.workspace, recipe, watch=unheard)
    more = recipe.model_copy(update={"seeds": (1, 2, 3)})
    alone = preview(instant.workspace, more)
    assert " devices" not in alone.words
    monkeypatch.setattr(costs_module, "find_devices", lambda: tuple(f"cuda:{number}" for number in range(8)))
    plan = preview(instant.workspace, more)
    assert plan.num_missing == 9
    assert plan.seconds == alone.seconds is not None
    # All seeds at once, but ftft waits for its reference, which is more than an eighth of their sum.
    seconds = {run.key: run.seconds or 0.0 for run in plan.runs}
    chain = max(seconds[run.key] + seconds[run.needs[0]] for run in plan.runs if run.needs)
    assert chain > plan.seconds / 8
    assert f"about {duration_words(max(chain, *seconds.values()))} on 8 devices" in plan.words
    monkeypatch.setattr(costs_module, "find_devices", lambda: ("cuda:0", "cuda:1"))
    assert f"about {duration_words(plan.seconds / 2)} on 2 devices" in preview(instant.workspace, more).words


def test_steps_on_all_the_data_are_priced_by_runs_on_all_the_data(instant: Instant, recipe: Any) -> None:
    workspace = instant.workspace
    instant.flops_of_step = lambda config: 1e6 if config.subset is None else 3e6
    drive(workspace, recipe, watch=unheard)
    costs = {cost.method: cost for cost in preview(workspace, recipe).methods}
    assert (costs["erm"].flops, costs["ftft"].flops) == (pytest.approx(48e6), pytest.approx(3 * 16e6))


def test_everything_that_speaks_against_a_recipe_is_told_at_once(instant: Instant) -> None:
    model = instant.workspace.run("map-run")["model"]
    values = {
        "suite": "nowhere", "main_model": {"model": model, "layers": 40}, "methods": ["magic"], "epochs": 0,
        "reference_model": [{"model": "no/such-folder/at-all"}, {"model": 7}],
    }  # fmt: skip
    parsed, plan = preview_values(instant.workspace, values)
    assert parsed is None
    said = " | ".join(plan.problems)
    for part in ("no method 'magic'", "epochs", "no suite 'nowhere'", "layers: received 40", "no/such-folder/at-all",
                 "reference_model.1.model"):  # fmt: skip
        assert part in said, said
    for nothing in ("text", None, [1], {}):
        assert preview_values(instant.workspace, nothing)[1].problems


def test_a_suite_whose_files_changed_since_it_was_added_is_refused(instant: Instant, tmp_path: Path) -> None:
    workspace, data = instant.workspace, tmp_path / "data"
    data.mkdir()
    for split in ("train", "dev", "test"):
        rows = "".join(f"{split} sentence {number},{'yes' if number % 2 else 'no'}\n" for number in range(32))
        (data / f"{split}.csv").write_text(f"text,label\n{rows}", encoding="utf-8")
    spec = "text: text\nlabel: label\ntrain: train.csv\ndev: {file: dev.csv}\nin_distribution: {test: 'te*.csv'}\n"
    (data / "spec.yaml").write_text(spec, encoding="utf-8")
    workspace.add_suite("mine", data / "spec.yaml")
    recipe = toy_recipe(instant, tmp_path, suite="mine", methods=["erm"])
    assert not preview(workspace, recipe).problems
    before = (data / "train.csv").read_text(encoding="utf-8")
    # Written anew, with other line ends: it is the same suite.
    (data / "train.csv").write_text(before.replace("\n", "\r\n"), encoding="utf-8", newline="")
    assert not preview(workspace, recipe).problems
    for wrong in (before.replace("sentence 3,", "sentence three,"), "text,label\n", None):
        (data / "train.csv").unlink()
        if wrong is not None:
            (data / "train.csv").write_text(wrong, encoding="utf-8")
        (problem,) = preview(workspace, recipe).problems
        assert problem.startswith(f"The suite 'mine' changed since it was added: {data / 'train.csv'}. Its runs")
        with pytest.raises(InputError, match="The experiment can't work, for 1 reason"):
            start_experiment(workspace, recipe)
    # Together with what else is wrong.
    said = " | ".join(preview_values(workspace, {"suite": "mine", "methods": ["magic"]})[1].problems)
    assert "no method 'magic'" in said
    assert "changed since it was added" in said
    (data / "train.csv").write_text(before, encoding="utf-8")
    assert not preview(workspace, recipe).problems
    # One that matches the pattern now is part of it; a suite whose spec is gone can't be told to have changed.
    (data / "tell.csv").write_text(before, encoding="utf-8")
    (problem,) = preview(workspace, recipe).problems
    assert str(data / "tell.csv") in problem
    (data / "spec.yaml").unlink()
    assert not preview(workspace, recipe).problems
    # One that was typed in is watched too; and what is forgotten is not held against who takes its name.
    (data / "tell.csv").unlink()
    workspace.remove_suite("mine")
    workspace.add_suite("mine", SpecText(spec, data))
    (data / "dev.csv").write_text(before, encoding="utf-8")
    (problem,) = preview(workspace, recipe).problems
    assert str(data / "dev.csv") in problem
    (data / "spec.yaml").write_text(spec, encoding="utf-8")
    workspace.add_suite("now", data / "spec.yaml")
    (origin,) = workspace.folder.glob("suites/*/origin-now.json")
    workspace.remove_suite("now")
    assert not origin.exists()


def test_where_a_suite_came_from_may_be_out_of_reach(instant: Instant, tmp_path: Path) -> None:
    workspace = instant.workspace
    (origin,) = workspace.folder.glob("suites/*/origin-toy.json")
    recipe = toy_recipe(instant, tmp_path, methods=["erm"])
    for damaged in ("{", "{}", '{"spec": 3, "files": {}}', '{"spec": "/\\u0000", "files": {}}'):
        origin.write_text(damaged, encoding="utf-8")
        assert not preview(workspace, recipe).problems, damaged


def test_options_of_a_source_and_folders_are_looked_into(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "part.arrow").write_bytes(b"1")
    spec = "text: a\nlabel: b\ntrain: data?split=train\ndev: data\n"
    origin = origin_of(SpecText(spec, tmp_path), drop_leaked=False)
    assert list(origin.files) == [str(tmp_path / "data" / "part.arrow")]
    assert look_again(origin, "x", "0") == ([], origin)
    (tmp_path / "data" / "part.arrow").write_bytes(b"2")
    assert look_again(origin, "x", "0")[0] == [str(tmp_path / "data" / "part.arrow")]


def test_what_can_not_work_is_refused_and_leaves_no_record(instant: Instant, tmp_path: Path) -> None:
    wrong = toy_recipe(instant, tmp_path, suite="nowhere")
    for start in (lambda: drive(instant.workspace, wrong, watch=unheard),
                  lambda: start_experiment(instant.workspace, wrong)):  # fmt: skip
        with pytest.raises(InputError, match="The experiment can't work, for 1 reason"):
            start()
    assert experiments.experiments(instant.workspace) == []


# -- a process of its own, and the command line ------------------------------------------------------------------------


def test_a_process_of_its_own_finishes_it_when_nothing_is_missing(
    instant: Instant, recipe: Any
) -> None:  # fmt: skip
    workspace = instant.workspace
    drive(workspace, recipe, watch=unheard)
    folder = record.find(workspace.folder, only(workspace).experiment)
    folder.claim([], os.getpid())  # as one that starts it does
    command = [sys.executable, "-m", "ftft_core.experiments", str(workspace.folder), folder.experiment]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all of it has finished" in done.stdout
    assert only(workspace).status == "finished"


def test_the_command_line_lists_experiments_and_says_their_price(
    instant: Instant,
    recipe: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    workspace = instant.workspace
    drive(workspace, recipe, watch=unheard)
    folder = record.find(workspace.folder, only(workspace).experiment)

    def ask(*arguments: object) -> str:
        capsys.readouterr()
        assert command_line.main([*map(str, arguments), "--workspace", str(workspace.folder)]) == 0
        return capsys.readouterr().out

    rows = json.loads(ask("experiments", "list", "--json"))
    assert [(row["experiment"], row["status"], row["finished"]) for row in rows] == [(folder.experiment, "finished", 3)]
    assert record.recipe_of(ask("experiments", "recipe", folder.experiment)) == only(workspace).recipe
    dry = json.loads(ask("experiment", folder.recipe_file, "--dry-run", "--json"))
    assert (dry["num_runs"], dry["num_missing"]) == (3, 0)
    assert dry["remarks"] == []
    little = folder.recipe_file.with_name("little.yaml")
    little.write_text(yaml.safe_dump({**yaml.safe_load(folder.recipe_file.read_text()), "fraction": 0.01}))
    (remark,) = json.loads(ask("experiment", little, "--dry-run", "--json"))["remarks"]
    assert re.search(r"^ftft, .*: trains on \d examples?, less than one batch of ", remark)
    assert ask("experiment", folder.recipe_file, "--dry-run").startswith("3 runs, 3 of them finished already, 0 to do.")
    assert "is under way" not in ask("experiments", "list")
